import hashlib
import importlib.metadata
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from rig.certificates import ensure_certificates
from stacks import bundling
from stacks.bundling import WithPip, install, source_hash, sources, staged

ROOT = Path(__file__).parents[2]


def small(tmp_path: Path) -> Path:
    for name, text in {
        "blastwall/__init__.py": "",
        "blastwall/table.toml": "a = 1",
        "blastwall/__pycache__/x.pyc": "",
        "blastwall/fast.so": "",
        "lambdas/one/handler.py": "def handler(): ...",
        "lambdas/requirements.lock": "",
        "cli/secret.py": "",
    }.items():
        file = tmp_path / "root" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "root"


def test_the_asset_holds_our_sources_and_nothing_compiled_or_foreign(tmp_path: Path) -> None:
    root = small(tmp_path)
    target = staged(root, tmp_path, source_hash(root))
    found = {str(file.relative_to(target)) for file in target.rglob("*") if file.is_file()}
    assert found == {
        "blastwall/__init__.py",
        "blastwall/table.toml",
        "lambdas/one/handler.py",
        "lambdas/requirements.lock",
    }


def test_the_hash_follows_sources_and_pins(tmp_path: Path) -> None:
    root = small(tmp_path)
    first = source_hash(root)
    (root / "cli" / "secret.py").write_text("changed")
    assert source_hash(root) == first
    (root / "lambdas" / "requirements.lock").write_text("boto3==1.0")
    pinned = source_hash(root)
    (root / "blastwall" / "table.toml").write_text("a = 2")
    assert len({first, pinned, source_hash(root)}) == 3


def wheel(folder: Path, name: str, tag: str) -> str:
    """Make a wheel; return its line in a lock."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-1.0-{tag}.whl", "w") as made:
        made.writestr(f"{name}.py", "value = 1\n")
        made.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        made.writestr(f"{name}-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
        made.writestr(f"{name}-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256((folder / f"{name}-1.0-{tag}.whl").read_bytes()).hexdigest()
    return f"{name}==1.0 --hash=sha256:{digest}\n"


def test_bundling_takes_wheels_for_lambda_and_not_for_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, links = small(tmp_path), tmp_path / "links"
    lock = root / "lambdas" / "requirements.lock"
    lock.write_text(wheel(links, "quick", "cp313-cp313-manylinux2014_aarch64"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    out = tmp_path / "out"
    out.mkdir()
    assert WithPip(staged(root, tmp_path, source_hash(root)), lock).try_bundle(str(out), {})
    assert (out / "quick.py").is_file() and (out / "lambdas" / "one" / "handler.py").is_file()
    lock.write_text(wheel(links, "elsewhere", "cp313-cp313-manylinux2014_x86_64"))
    with pytest.raises(RuntimeError, match=r"dependencies cannot be installed:[^$]*elsewhere"):
        install(lock, out)


def test_a_wheel_of_that_version_with_other_bytes_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links, lock = tmp_path / "links", tmp_path / "requirements.lock"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    lock.write_text(wheel(links, "quick", "py3-none-any"))
    with zipfile.ZipFile(links / "quick-1.0-py3-none-any.whl", "a") as made:
        made.writestr("quick_too.py", "value = 2\n")
    with pytest.raises(RuntimeError, match="DO NOT MATCH THE HASHES"):
        install(lock, tmp_path / "out")


def pins(name: str) -> dict[str, str]:
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return {re.split(r"[\[=]", line)[0].lower(): line.partition("==")[2] for line in lines if "==" in line}


def test_functions_and_gateway_run_the_same_versions() -> None:
    functions, gateway = pins("lambdas/requirements.txt"), pins("fargate_proxy/requirements.txt")
    both = functions.keys() & gateway.keys()
    assert len(both) > 10
    assert {name: functions[name] for name in both} == {name: gateway[name] for name in both}


#: Used where they are there: botocore brings its own certificates, cryptography needs no bcrypt here, an editable installation its finder.
OPTIONAL = {"certifi", "bcrypt", "__editable___blastwall_0_1_0_finder", "_virtualenv", "_distutils_hack", "setuptools"}


def test_every_import_of_the_functions_is_in_the_asset() -> None:
    """What a handler imports, directly or not, is ours or among the pinned requirements: asked of a fresh interpreter."""
    handlers = [f"lambdas.{file.parent.name}.handler" for file in sorted((ROOT / "lambdas").glob("*/handler.py"))]
    code = (
        f"import sys, importlib\nfor name in {handlers!r}: importlib.import_module(name)\n"
        "from pathlib import Path\n"
        "from blastwall.config.bundle import load_bundle\n"
        "from blastwall.config.vending import Composer\n"
        "bundle = load_bundle(Path('tests/stacks/config'))\n"  # protocols load what they need to make logins late
        "Composer({}).rules(bundle), Composer({}).roles(bundle)\n"
        "print('\\n'.join(sorted({getattr(m, '__file__', None) or '' for m in sys.modules.values()})))"
    )
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "POWERTOOLS_TRACE_DISABLED": "1"}
    environ |= {"POWERTOOLS_SERVICE_NAME": "test", "AWS_DEFAULT_REGION": "eu-west-1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    loaded = {match[1] for match in re.finditer(r"site-packages/([A-Za-z0-9_]+)", done.stdout)}
    provided = provided_by(pins("lambdas/requirements.txt"))
    assert sorted(loaded - provided - OPTIONAL) == []
    ours = {
        path.relative_to(ROOT).parts[0]
        for path in map(Path, done.stdout.split())
        if path.is_relative_to(ROOT) and ".venv" not in path.parts
    }
    assert ours <= set(bundling.PACKAGES)


def provided_by(requirements: dict[str, str]) -> set[str]:
    found = set()
    for name in requirements:
        for file in importlib.metadata.files(name) or []:
            found.add(file.parts[0].split(".")[0])
    return found


def test_the_repositorys_own_asset_is_complete() -> None:
    names = {str(path.relative_to(ROOT)) for path in sources(ROOT)}
    assert "blastwall/policy/schema.cedarschema" in names and "blastwall/audit/columns.toml" in names


def test_rdss_authorities_are_in_the_asset_if_they_are_the_pinned_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundling, "install", lambda requirements, target: None)
    bundle = ensure_certificates(tmp_path / "authority", time.time()).ca
    digest = hashlib.sha256(bundle.read_bytes()).hexdigest()
    root = small(tmp_path)
    for authorities, expected in ((("", ""), False), ((str(bundle), digest), True)):
        output = tmp_path / f"asset-{expected}"
        output.mkdir()
        assert WithPip(root, root / "none", authorities).try_bundle(str(output)) is True
        assert (output / bundling.CA_BUNDLE).exists() is expected
    with pytest.raises(RuntimeError, match="is not what was pinned"):
        WithPip(root, root / "none", (str(bundle), "0" * 64)).try_bundle(str(output))
