"""``--aws``: operators see and end a deployment's sessions, and people answer, from their own machines."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from blastwall.approvals import binding, request_id
from blastwall.approvals.documents import status_document
from blastwall.approvals.view import view_of
from blastwall.aws.approvals import ApprovalTable
from blastwall.aws.following import LOOK_SECONDS, AwsSessions
from blastwall.aws.leases import AwsLeases
from blastwall.aws.sessions import SessionTable
from blastwall.credentials.lease import Lease
from blastwall.errors import TokenFault
from blastwall.local.clock import SystemClock
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
from cli.__main__ import run
from tests.blastwall.aws import stage

TARGET = Target("shop", "postgres", "db", 5432)
OUTPUTS = {"SessionsTableName": stage.SESSIONS, "LeasesTableName": stage.LEASES, "ApprovalsTableName": stage.TABLE}


@dataclass
class Cloud:
    dynamodb: Any
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = SystemClock()
        self.table = SessionTable(self.dynamodb, stage.SESSIONS, self.clock)
        self.leases = AwsLeases(self.dynamodb, stage.LEASES, stage.SESSIONS)
        self.approvals = ApprovalTable(self.dynamodb, stage.TABLE, self.clock)

    def principal(self, agent: str) -> Principal:
        now = time.time()
        groups = frozenset({"agents"})
        return Principal("iss", agent, agent, groups, "ada", f"token-{agent}", issued_at=now, expires_at=now + 600)

    def open(self, agent: str, target: Target = TARGET) -> Session:
        session = self.table.open(self.principal(agent), target)
        self.table.attach(session, f"c-{agent}")
        return session

    def ask(self, session: Session) -> ApprovalRequest:
        now, statement = time.time(), Statement("DELETE FROM orders WHERE id = 7")
        bound = binding(
            principal=session.principal, session=session.id, target="shop", statement=statement, policy_version="v"
        )
        asked = ApprovalRequest(
            request_id(secrets.token_bytes(10)), bound, session.id, session.principal, "shop", statement,
            Facts(Effect.WRITE, "delete"), Risk(7), ("owners",), "v", now, now + 300,
        )  # fmt: skip
        self.approvals.file(asked)
        return asked


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    with stage.aws(monkeypatch):
        dynamodb = stage.Atomic(stage.client("dynamodb"))
        stage.approvals_table(dynamodb)
        stage.credential_tables(dynamodb)
        made = Cloud(dynamodb)
        template = {
            "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
            "Outputs": {name: {"Value": value} for name, value in OUTPUTS.items()},
        }
        stage.client("cloudformation").create_stack(StackName="Blastwall-Data", TemplateBody=json.dumps(template))

        def decide(event: dict[str, Any], _: object) -> dict[str, Any]:
            made.calls.append(("decide", event))
            if "answer" in event:
                return {}
            if event["token"] != "carols":
                return {"fault": {"kind": "token", "message": "not known here", "hint": ""}}
            changed = made.approvals._items.get(event["id"])
            assert changed is not None
            state = ApprovalState.APPROVED if event["approve"] else ApprovalState.DENIED
            made.approvals._items.change(changed, {"state": {"S": str(state)}})
            status = made.approvals.show(event["id"])
            assert status is not None
            return {"status": status_document(status.status)}

        def revoke(event: dict[str, Any], _: object) -> dict[str, Any]:
            made.calls.append(("revoke", event))
            return {"revocations": []}

        handlers = {"blastwall-approval-decide": decide, "blastwall-session-revoker": revoke}
        stage.lambdas_in_process(monkeypatch, handlers)
        yield made


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert run([*words, "--aws"]) == code, capsys.readouterr()
    found = capsys.readouterr()
    return found.out + found.err


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[Any]:
    return [json.loads(line) for line in said(capsys, *words, "--format", "json").splitlines()]


def told(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    (found,) = listed(capsys, *words)
    return found


def test_sessions_are_listed_and_shown_with_what_was_vended(cloud: Cloud, capsys: Any) -> None:
    first, second = cloud.open("first"), cloud.open("second")
    lease = Lease(first.id, "bw_x", "shop", "role", "agent", "task-1", time.time(), time.time() + 60)
    asyncio.run(cloud.leases.write(lease))
    asyncio.run(cloud.leases.close(lease, time.time(), "the target refuses it"))
    rows = listed(capsys, "sessions", "ls")
    assert {row["id"] for row in rows} == {first.id, second.id}
    assert {row["principal"]["agent"]: row["connections"] for row in rows}["first"] == ["c-first"]
    shown = told(capsys, "sessions", "show", first.id)
    assert [(one["id"], one["state"], one["note"]) for one in shown["credentials"]] == [
        ("bw_x", "closed", "the target refuses it")
    ]
    assert "first" in said(capsys, "sessions", "ls") and "there is no session" in said(
        capsys, "sessions", "show", "s-none", code=1
    )
    cloud.table.kill(second.id, "enough", "carol")
    assert [row["id"] for row in listed(capsys, "sessions", "ls")] == [first.id]
    assert len(listed(capsys, "sessions", "ls", "--all")) == 2


@pytest.mark.parametrize("order", ["kill", "lock"])
async def test_a_task_notices_within_two_seconds(cloud: Cloud, capsys: Any, order: str) -> None:
    session, other = cloud.open("bot"), cloud.open("other")
    waiting_for = cloud.ask(session)
    looks: list[float] = []

    class Watched(SessionTable):
        def look(self, sessions: Sequence[Session]) -> dict[str, str]:
            looks.append(time.monotonic())
            return super().look(sessions)

    elsewhere = AwsSessions(Watched(cloud.dynamodb, stage.SESSIONS, cloud.clock))
    ended = asyncio.ensure_future(elsewhere.ended(session))
    goes_on = asyncio.ensure_future(elsewhere.ended(other))
    await asyncio.sleep(0)
    words = ("sessions", "kill", session.id) if order == "kill" else ("agents", "lock", "bot")
    await asyncio.to_thread(said, capsys, *words, "--reason", "enough")
    told_at = time.monotonic()
    reason = await asyncio.wait_for(ended, 30)
    # In looks, not in seconds, which depend on what else this machine does: one may have begun before.
    assert len([at for at in looks if at > told_at]) <= 2 and LOOK_SECONDS <= 0.5
    assert "arn:aws:" in reason and reason.endswith("enough"), "who did it is whom AWS knows, not what they say"
    assert not goes_on.done()
    goes_on.cancel()
    status = cloud.approvals.latest(waiting_for.binding)
    assert status is not None and status.state is ApprovalState.WITHDRAWN
    assert ("decide", {"answer": waiting_for.id}) in cloud.calls, "the state machine need not wait any more"
    with pytest.raises(TokenFault, match="enough"):
        cloud.table.open(cloud.principal("bot"), TARGET)
    if order == "lock":
        assert "unlocked" in await asyncio.to_thread(said, capsys, "agents", "unlock", "bot")
        assert cloud.table.open(cloud.principal("bot"), TARGET).id != session.id


def test_aws_keys_of_a_killed_session_are_denied_at_once(cloud: Cloud, capsys: Any) -> None:
    session = cloud.open("keys", replace(TARGET, name="reports", protocol="aws"))
    now = time.time()
    asyncio.run(cloud.leases.write(Lease(session.id, "sts-1", "reports", "sts", "reports", "", now, now + 1800)))
    said(capsys, "sessions", "kill", session.id)
    assert cloud.calls == [("revoke", {"session": session.id, "holder": "operator"})]


def test_requests_are_seen_with_aws_credentials_and_decided_with_a_token(
    cloud: Cloud, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = cloud.ask(cloud.open("bot"))
    assert asked.id in said(capsys, "approvals", "ls")
    assert "DELETE FROM orders WHERE id = 7" in said(capsys, "approvals", "show", asked.id)
    monkeypatch.delenv("BLASTWALL_APPROVER_TOKEN", raising=False)
    assert "AWS credentials decide nothing" in said(capsys, "approvals", "approve", asked.id, code=4)
    monkeypatch.setenv("BLASTWALL_APPROVER_TOKEN", "mallorys")
    assert "not known here" in said(capsys, "approvals", "approve", asked.id, code=4)
    monkeypatch.setenv("BLASTWALL_APPROVER_TOKEN", "carols")
    assert "approved" in said(capsys, "approvals", "approve", asked.id, "--note", "go")
    sent = cloud.calls[-1][1]
    assert (sent["approve"], sent["note"], sent["shown"]) == (True, "go", view_of(asked).shown)
    assert "no request" in said(capsys, "approvals", "deny", "a-none", code=1)


def test_what_cannot_be_found_is_said_with_what_to_do(cloud: Cloud, capsys: Any) -> None:
    assert "--stack" in said(capsys, "sessions", "ls", "--stack", "Elsewhere", code=4)


def test_names_in_the_environment_need_no_stack(cloud: Cloud, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    session = cloud.open("bot")
    for name, table in (("SESSIONS", stage.SESSIONS), ("LEASES", stage.LEASES), ("APPROVALS", stage.TABLE)):
        monkeypatch.setenv(f"BLASTWALL_{name}_TABLE", table)
    assert [row["id"] for row in listed(capsys, "sessions", "ls", "--stack", "Elsewhere")] == [session.id]
