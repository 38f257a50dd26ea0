"""How the image is made, as far as that can be told without Docker; `make image-check` does all of it."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD, LAST = (ROOT / "fargate_proxy" / "Dockerfile").read_text().split("\nFROM ")[1:]


def test_the_last_stage_is_nobodys_and_has_no_shell_to_run_anything_with() -> None:
    assert "USER 10001:10001" in LAST and "USER = 10001\n" in (ROOT / "stacks" / "storage.py").read_text()
    entry = re.search(r"^ENTRYPOINT (.*)$", LAST, re.MULTILINE)
    assert entry is not None and entry[1].startswith('["'), "without a shell: there is none"
    after = LAST.partition('strip_image.py"]')[2]
    assert after and not re.search(r"^(RUN|COPY|ADD) ", after, re.MULTILINE), "nothing is added after the tools went"
    assert not re.search(r"^ADD ", BUILD + LAST, re.MULTILINE)


def test_what_the_task_names_is_where_the_image_has_it() -> None:
    assert "tools/image.sh /opt/blastwall" in BUILD and "COPY --from=build /opt/blastwall /opt/blastwall" in LAST
    assert '"/opt/blastwall/rds-ca.pem"' in (ROOT / "stacks" / "gateway.py").read_text()
    assert '"$prefix/rds-ca.pem"' in (ROOT / "tools" / "image.sh").read_text()


@pytest.mark.parametrize("given", [{}, {"RDS_CA_SHA256": ""}, {"RDS_CA_SHA256": "latest"}])
def test_nothing_is_built_before_it_is_said_which_authorities_are_trusted(
    tmp_path: Path, given: dict[str, str]
) -> None:
    assert "ARG RDS_CA_SHA256\n" in BUILD.partition("tools/image.sh")[0], "no default: whoever builds says it"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RDS_CA")}
    done = subprocess.run(
        [str(ROOT / "tools" / "image.sh"), str(tmp_path / "image")],
        env={**environ, **given},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1 and "give the SHA-256 of the bundle" in done.stderr
    assert not list((tmp_path / "image" / "site").iterdir())


#: Used where they are there: botocore brings its own certificates, cryptography needs no bcrypt here; the rest is this checkout's.
OPTIONAL = {"certifi", "bcrypt", "__editable___blastwall_0_1_0_finder", "_virtualenv", "_distutils_hack", "setuptools"}
PROGRAM = """
import importlib, pkgutil, sys
import fargate_proxy, blastwall.aws
from blastwall import registry
for package in (fargate_proxy, blastwall.aws):
    for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(found.name)
for name in registry.names():
    package = importlib.import_module(f"blastwall.protocols.{name}")
    for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(found.name)
print(*sorted({getattr(module, "__file__", None) or "" for module in list(sys.modules.values())}), sep="\\n")
"""


def test_every_import_of_a_task_is_among_its_pinned_requirements() -> None:
    """Also those that come late: a protocol's engine, the adapters for AWS. Asked of a fresh interpreter."""
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environ, cwd=ROOT, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    loaded = {match[1] for match in re.finditer(r"site-packages/([A-Za-z0-9_]+)", done.stdout)}
    lines = (ROOT / "fargate_proxy" / "requirements.txt").read_text().splitlines()
    pins = [re.split(r"[\[=]", line)[0].strip() for line in lines if "==" in line.partition("#")[0]]
    provided = {file.parts[0].split(".")[0] for pin in pins for file in importlib.metadata.files(pin) or []}
    assert "asyncssh" in loaded and "boto3" in loaded, "this looked at what tasks run"
    assert sorted(loaded - provided - OPTIONAL) == []
