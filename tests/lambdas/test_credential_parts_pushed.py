"""A host that takes pushed keys: the vendor function makes and pushes one for each connection, and hands it to the task."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncssh
import pytest
import yaml

from blastwall.aws.functions import Functions
from blastwall.aws.sessions import SessionTable
from blastwall.aws.vendor import AwsVendor
from blastwall.config.bundle import load_bundle
from blastwall.credentials.desk import principal_of
from blastwall.local.clock import SystemClock
from blastwall.model import Permit, Secret, Session, Target
from lambdas import credential_parts
from lambdas.credential_vendor.handler import handler as vend
from lambdas.token_verifier.handler import handler as verify
from rig.issuer import LocalIssuer
from tests.blastwall.aws import stage

ROOT = Path(__file__).parents[2]
INSTANCE = "i-0123456789abcdef0"
CONTEXT = SimpleNamespace(function_name="f", memory_limit_in_mb=256, invoked_function_arn="arn", aws_request_id="test")


class Pushes:
    """EC2 Instance Connect: takes keys, and remembers for whom."""

    def __init__(self) -> None:
        self.taken: list[dict[str, str]] = []

    def send_ssh_public_key(self, **given: str) -> dict[str, Any]:
        self.taken.append(given)
        return {"RequestId": "r", "Success": True}


class Invoked:
    """A Lambda client in front of the function."""

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:
        assert FunctionName == "credential-vendor"
        answer = json.dumps(vend(json.loads(Payload), CONTEXT)).encode()
        return {"Payload": SimpleNamespace(read=lambda: answer)}


@pytest.fixture
def pushes(monkeypatch: pytest.MonkeyPatch) -> Pushes:
    made = Pushes()
    monkeypatch.setattr("blastwall.aws.clients.client", lambda service, region=None: made)
    return made


@pytest.fixture
def issued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[LocalIssuer, SessionTable, Target]]:
    """A configuration with one host, its issuer, and the table of sessions."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config" / "masking.yaml").unlink()
    issuer = LocalIssuer.open(tmp_path / "state", port=0)
    issuer.serve()
    file = tmp_path / "config" / "gateway.yaml"
    document = yaml.safe_load(file.read_text())
    document["identity"]["issuers"][0] |= {"issuer": issuer.issuer, "audience": issuer.audience, "jwks_url": None}
    document["listen"] = {"ssh": "127.0.0.1:2222"}
    document["protocols"] = {"ssh": {"host_key": "elsewhere/host_key", "user_ca": "elsewhere/user_ca"}}
    document["targets"] = {
        "web": {
            "protocol": "ssh",
            "host": "10.0.0.7",
            "port": 22,
            "labels": {"group": "agents"},
            "credential": {"kind": "instance_connect", "user": "deploy", "instance": INSTANCE, "region": "eu-west-1"},
        }
    }
    file.write_text(yaml.safe_dump(document))
    for name, value in {
        "POWERTOOLS_TRACE_DISABLED": "1",
        "BLASTWALL_SESSIONS_TABLE": stage.SESSIONS,
        "BLASTWALL_LEASES_TABLE": stage.LEASES,
        "BLASTWALL_CONFIG": str(tmp_path / "config"),
    }.items():
        monkeypatch.setenv(name, value)
    with stage.aws(monkeypatch):
        dynamodb = stage.Atomic(stage.client("dynamodb"))
        stage.credential_tables(dynamodb)
        monkeypatch.setattr(credential_parts, "client", lambda service: dynamodb)
        credential_parts.forget()
        target = load_bundle(tmp_path / "config").targets["web"]
        yield issuer, SessionTable(dynamodb, stage.SESSIONS, SystemClock()), target
        credential_parts.forget()
    issuer.stop()


async def test_each_connection_gets_a_key_of_its_own_for_the_configured_account(
    issued: tuple[LocalIssuer, SessionTable, Target], pushes: Pushes
) -> None:
    issuer, table, target = issued
    token = issuer.mint("bot", ("agents",))
    verified = await asyncio.to_thread(verify, {"token": token}, CONTEXT)  # functions have a loop of their own
    session: Session = table.open(principal_of(verified["principal"]), target)
    vendor = AwsVendor(Functions(Invoked()), "credential-vendor", "session-revoker", "task-1", {}, SystemClock())
    permit = Permit("connect to web at web")
    found = [await vendor.vend(session, target, permit, None, Secret(token)) for _ in range(2)]
    assert [(item.user, item.kind) for item in found] == [("deploy", "instance_connect")] * 2
    assert [(item["InstanceId"], item["InstanceOSUser"]) for item in pushes.taken] == [(INSTANCE, "deploy")] * 2
    for credential, pushed in zip(found, pushes.taken, strict=True):
        assert credential.secret is not None
        private = asyncssh.import_private_key(credential.secret.reveal())
        assert private.convert_to_public() == asyncssh.import_public_key(pushed["SSHPublicKey"])
        assert session.id in pushed["SSHPublicKey"], "the host's own log names the session"
    assert pushes.taken[0]["SSHPublicKey"] != pushes.taken[1]["SSHPublicKey"]
