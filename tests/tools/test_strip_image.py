import importlib.util
import stat
from pathlib import Path

TOOL = Path(__file__).parents[2] / "tools" / "strip_image.py"
_spec = importlib.util.spec_from_file_location("strip_image", TOOL)
assert _spec is not None and _spec.loader is not None
tool = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tool)


def root(tmp_path: Path) -> Path:
    for name in (
        "usr/bin/dash",
        "usr/bin/apt-get",
        "usr/sbin/ldconfig",
        "usr/local/bin/python3.11",
        "usr/local/bin/python3.11-config",
        "usr/local/bin/pip",
        "var/lib/dpkg/status",
        "opt/blastwall/site/fargate_proxy/__main__.py",
        "usr/lib/helper",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    (tmp_path / "usr/local/bin/python3").symlink_to("python3.11")
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "usr/lib/helper").chmod(0o755 | stat.S_ISUID)
    return tmp_path


def test_shells_package_tools_and_set_user_ids_go_and_python_stays(tmp_path: Path) -> None:
    place = root(tmp_path)
    assert tool.strip(place) > 0
    left = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    assert left == {
        "usr/sbin/ldconfig",
        "usr/local/bin/python3.11",
        "usr/local/bin/python3",
        "opt/blastwall/site/fargate_proxy/__main__.py",
    }
    assert tool.strip(place) == 0


def test_listing_names_what_would_go_and_removes_nothing(tmp_path: Path) -> None:
    place = root(tmp_path)
    named = {str(path.relative_to(place)) for path in tool.removable(place)}
    assert {"usr/bin/dash", "usr/local/bin/pip", "usr/lib/helper", "var/lib/dpkg"} <= named
    assert (place / "usr/bin/dash").exists()
