import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from blastwall.config.bundle import load_bundle
from blastwall.settings import ProxySettings
from fargate_proxy.check import examine

ROOT = Path(__file__).parents[2]
BUNDLE = load_bundle(ROOT / "config")


def test_what_would_start_is_said() -> None:
    said = examine(ProxySettings(), BUNDLE, {})
    assert said == f"ready: postgres; 1 target(s); local adapters; {BUNDLE.version[:12]}"


def test_unknown_adapters_are_named_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match=r"BLASTWALL_ADAPTERS='clay': choose one of aws, local"):
        examine(replace(ProxySettings(), adapters="clay"), BUNDLE, {})


def checked(config: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fargate_proxy", "--check", "--config", config]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=dict(os.environ), check=False)


def test_the_entry_point_checks_and_does_not_start() -> None:
    done = checked("config")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("ready: ")


def test_a_configuration_that_is_wrong_is_told(tmp_path: Path) -> None:
    done = checked(str(tmp_path))
    assert done.returncode == 1 and "gateway.yaml" in done.stderr and "Traceback" not in done.stderr


def test_a_bundle_of_authorities_that_is_not_there_is_said_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no certificates"):
        examine(ProxySettings(), BUNDLE, {"BLASTWALL_CA_BUNDLE": str(tmp_path / "absent.pem")})
