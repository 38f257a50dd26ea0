"""A task's ports, made of its environment; each adapter is proved beside itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from blastwall.config.bundle import load_bundle
from blastwall.settings import ProxySettings
from fargate_proxy.aws import REQUIRED, compose, missing
from fargate_proxy.gateway import Ports
from tests.blastwall.aws.stage import aws, client

BUNDLE = load_bundle(Path(__file__).parents[2] / "config")
NAMED = replace(ProxySettings(), adapters="aws", **dict.fromkeys(REQUIRED, "named"))


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with aws(monkeypatch):
        yield


def recording(spool: Path) -> dict[str, str]:
    key = client("kms").create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    made: dict[str, Any] = {"RECORDINGS_BUCKET": "recordings", "SPOOL": str(spool), "MANIFEST_KEY_ID": key}
    return {**os.environ, **{f"BLASTWALL_{name}": value for name, value in made.items()}}


def test_every_port_has_its_adapter(cloud: None, tmp_path: Path) -> None:
    parts = compose(BUNDLE, NAMED, recording(tmp_path / "spool"))
    try:
        for port in fields(Ports):
            assert getattr(parts, port.name).__module__.startswith("blastwall.aws") or port.name == "clock"
    finally:
        parts.close()


def test_what_the_environment_lacks_is_named(cloud: None, tmp_path: Path) -> None:
    lacking = replace(NAMED, sessions_table="", credential_vendor_function="")
    assert missing(lacking) == ("BLASTWALL_SESSIONS_TABLE", "BLASTWALL_CREDENTIAL_VENDOR_FUNCTION")
    with pytest.raises(ValueError, match="set BLASTWALL_SESSIONS_TABLE, BLASTWALL_CREDENTIAL_VENDOR_FUNCTION"):
        compose(BUNDLE, lacking, {})
    with pytest.raises(ValueError, match="BLASTWALL_RECORDINGS_BUCKET"):
        compose(BUNDLE, NAMED, {})
