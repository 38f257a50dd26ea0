"""What functions run on: the deployed version, told in the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from blastwall.config.bundle import load_bundle
from blastwall.errors import ConfigFault
from lambdas import approval_parts, configuration, credential_parts

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / "config")
VERSION = load_bundle(Path(CONFIG)).version
PARTS = (approval_parts, credential_parts)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("APPROVALS_TABLE", "SESSIONS_TABLE", "LEASES_TABLE"):
        monkeypatch.setenv(f"BLASTWALL_{name}", "table")
    monkeypatch.setenv("BLASTWALL_CONFIG", CONFIG)
    return monkeypatch


@pytest.mark.parametrize("parts", PARTS, ids=lambda parts: parts.__name__.rpartition(".")[2])
def test_a_function_runs_on_what_it_was_deployed_with_and_says_so(
    parts: object, environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    environment.setenv("BLASTWALL_CONFIG_VERSION", VERSION)
    caplog.set_level("INFO", configuration.logger.name)
    parts.forget()  # type: ignore[attr-defined]  # both have it
    assert parts.bundle().version == VERSION  # type: ignore[attr-defined]
    parts.bundle()  # type: ignore[attr-defined]
    said = [getattr(record, "version", "") for record in caplog.records if record.getMessage() == "configuration"]
    assert said == [VERSION], "once, however often it is asked for"


@pytest.mark.parametrize("parts", PARTS, ids=lambda parts: parts.__name__.rpartition(".")[2])
def test_any_other_version_is_refused(parts: object, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("BLASTWALL_CONFIG_VERSION", "0" * 64)
    parts.forget()  # type: ignore[attr-defined]  # both have it
    with pytest.raises(ConfigFault, match="which was deployed"):
        parts.bundle()  # type: ignore[attr-defined]
    parts.forget()  # type: ignore[attr-defined]


def test_without_a_version_whatever_is_there_is_taken() -> None:
    assert configuration.configuration(CONFIG, "").version == VERSION
