"""People take back what they gave, and AWS keys end with their session, through a real gateway and the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from moto.server import ThreadedMotoServer

from blastwall.credentials.denials import write_denials
from cli import aws
from tests.e2e.conftest import Start
from tests.e2e.stacks import ROOT, Stack
from tests.e2e.test_credentials import gone, login_of, proof, within

HELD = """
@id("held-connect")
@approvers("owners")
permit (principal in Group::"held", action == Action::"connect", resource) when { context.approved };

@id("held-reads")
permit (principal in Group::"held", action in [Action::"session", Action::"read"], resource);
"""
#: What docs/credentials.md promises is two seconds; this machine may be busy with others' work meanwhile.
SECONDS = 30.0


@pytest.fixture(scope="module")
def policy() -> Iterator[str]:
    """The policy of ended sessions, in an account on loopback; this process and the gateway it starts may change it."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "eu-central-1",
        }.items():
            patch.setenv(name, value)
        made = boto3.client("iam").create_policy(PolicyName="ended", PolicyDocument=write_denials({}))
        yield str(made["Policy"]["Arn"])
    server.stop()


@pytest.fixture(scope="module")
def held(start: Start, policy: str, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """The shipped configuration, with a group that a person must let in each time, and a role in AWS."""

    def change(document: dict[str, Any]) -> None:
        document["aws_roles"] = {
            "reports": {
                "role_arn": "arn:aws:iam::123456789012:role/reports",
                "region": "eu-central-1",
                "labels": {"group": "agents"},
                "allow": [{"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::reports/*"]}],
                "denials_policy_arn": policy,
            }
        }

    config = tmp_path_factory.mktemp("held") / "config"
    shutil.copytree(ROOT / "config", config)
    (config / "policies" / "15-held.cedar").write_text(HELD)
    return start("held", config, "shop", change)


def asked(stack: Stack, agent: str) -> str:
    """The id of the agent's one request that waits."""
    (found,) = [one for one in stack.listed("approvals", "ls") if one["request"]["principal"]["agent"] == agent]
    return str(found["request"]["id"])


def test_a_connection_ends_when_its_approval_is_taken_back(held: Stack) -> None:
    token = held.token("let-in", ("held",))
    with pytest.raises(psycopg.OperationalError, match="approv"):
        held.connect(token)
    first = asked(held, "let-in")
    held.blastwall("approvals", "approve", first)
    with held.connect(token, autocommit=True) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        user = login_of(held, "let-in")
        session = str(held.session("let-in")["id"])
        assert "denied" in held.blastwall("approvals", "deny", first, "--note", "a mistake")
        within(SECONDS, lambda: gone(held, user))
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    told = proof(held, "let-in")
    assert told["reason"] == f"its approval {first} was denied: a mistake" and told["seconds"] < SECONDS
    assert held.ask("sessions", "show", session)["reason"] == told["reason"]
    with pytest.raises(psycopg.OperationalError, match="approv"):
        held.connect(token)
    assert asked(held, "let-in") != first, "it may ask again, and a person decides again"


def test_aws_keys_are_denied_as_soon_as_their_session_is_killed(held: Stack, policy: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(held.token("keyed"))
    keys = aws.obtain("reports", aws.Way(None, held.state, file))["keys"]
    session = str(held.session("keyed")["id"])
    held.blastwall("sessions", "kill", session)
    iam = boto3.client("iam")

    def denied() -> bool:
        version = iam.get_policy(PolicyArn=policy)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=policy, VersionId=version)["PolicyVersion"]["Document"]
        return session in json.dumps(document)

    within(SECONDS, denied)
    told = proof(held, "keyed")
    assert told["kind"] == "sts" and told["seconds"] < SECONDS
    shown = held.ask("sessions", "show", session)["credentials"]
    assert [one["state"] for one in shown] == ["closed"]
    assert keys["SecretAccessKey"] not in (held.state / "gateway.log").read_text()
