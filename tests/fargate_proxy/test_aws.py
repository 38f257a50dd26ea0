"""A task's ports, made of its environment; each adapter is proved beside itself."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from blastwall.approvals import binding, request_id
from blastwall.aws.approvals import ApprovalTable
from blastwall.aws.sessions import SessionTable
from blastwall.config.bundle import load_bundle
from blastwall.model import (
    ApprovalRequest,
    ApprovalState,
    Effect,
    Facts,
    Principal,
    Risk,
    Session,
    Statement,
    Target,
)
from blastwall.settings import ProxySettings
from fargate_proxy.aws import REQUIRED, compose, missing
from fargate_proxy.gateway import Ports
from tests.blastwall.aws.stage import SESSIONS, TABLE, approvals_table, aws, client, credential_tables

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


async def test_what_an_ended_session_waits_for_is_withdrawn_even_if_nobody_can_be_told(
    cloud: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dynamodb = client("dynamodb")
    approvals_table(dynamodb)
    credential_tables(dynamodb)
    settings = replace(NAMED, sessions_table=SESSIONS, approvals_table=TABLE)
    parts = compose(BUNDLE, settings, recording(tmp_path / "spool"))
    try:
        now = parts.clock.now()
        principal = Principal("iss", "bot", "bot", token_id="t", issued_at=now, expires_at=now + 600)
        session = await parts.sessions.open(principal, Target("shop", "postgres", "db", 5432))
        asked = request_of(session, now)
        ApprovalTable(dynamodb, TABLE, parts.clock).file(asked)
        table = SessionTable(dynamodb, SESSIONS, parts.clock)
        table.lock("bot", "enough", "carol")
        ended = await asyncio.wait_for(parts.sessions.ended(session), 30)
        assert ended == "agent locked by carol: enough"
        other = await parts.sessions.open(replace(principal, agent="other", token_id="t2"), Target("x", "p", "h", 1))
        again = request_of(other, now)
        ApprovalTable(dynamodb, TABLE, parts.clock).file(again)
        held = parts.sessions._table
        assert await asyncio.to_thread(held.kill, other.id, "enough", "carol")
        status = await parts.people.latest(again.binding)
        assert status is not None and status.state is ApprovalState.WITHDRAWN
    finally:
        parts.close()


def request_of(session: Session, now: float) -> ApprovalRequest:
    statement = Statement("DELETE FROM orders")
    bound = binding(
        principal=session.principal, session=session.id, target=session.target, statement=statement, policy_version="v"
    )
    facts = Facts(Effect.DESTROY, "delete")
    return ApprovalRequest(
        request_id(secrets.token_bytes(10)), bound, session.id, session.principal, session.target, statement, facts,
        Risk(1), (), "v", now, now + 60,
    )  # fmt: skip
