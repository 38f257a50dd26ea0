"""Operations find a deployment's names, and ask functions for what no operator should be able to do."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest

from blastwall.approvals import Ballot
from blastwall.aws.operations import FUNCTIONS, OUTPUTS, Operations, ServiceClock, find
from blastwall.aws.sessions import SessionTable
from blastwall.credentials.lease import Lease
from blastwall.errors import ClientFault, OurFault, TokenFault
from blastwall.local.clock import ManualClock, SystemClock
from blastwall.model import DenialCode, Principal, Secret, Session, Target
from blastwall.settings import OperatorSettings
from tests.blastwall.aws import stage

GIVEN = OperatorSettings(stage.SESSIONS, stage.LEASES, stage.TABLE, "decide", "revoke")
NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
BALLOT = Ballot(False, "shown", "no")


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with stage.aws(monkeypatch):
        dynamodb = stage.client("dynamodb")
        stage.approvals_table(dynamodb)
        stage.credential_tables(dynamodb)
        yield


def answering(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    calls: list[tuple[str, dict[str, Any]]] = []

    def handler(name: str) -> Any:
        def handle(event: dict[str, Any], _: object) -> dict[str, Any]:
            calls.append((name, event))
            return answer

        return handle

    stage.lambdas_in_process(monkeypatch, {name: handler(name) for name in ("decide", "revoke")})
    return calls


def opened(agent: str = "bot") -> Session:
    now = time.time()
    table = SessionTable(stage.client("dynamodb"), stage.SESSIONS, SystemClock())
    principal = Principal("iss", agent, agent, token_id=f"t-{agent}", issued_at=now, expires_at=now + 600)
    return table.open(principal, Target("reports", "aws", "sts", 443, linger_minutes=60.0))


def operations() -> Operations:
    return Operations(GIVEN, SystemClock(), stage.client)


def test_names_come_out_of_the_stacks_and_given_ones_stand(cloud: None) -> None:
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {output: {"Value": f"{output}-1"} for output in OUTPUTS.values()},
    }
    stage.client("cloudformation").create_stack(StackName="Prod-Data", TemplateBody=json.dumps(template))
    found = find("Prod", OperatorSettings(leases_table="mine"), stage.client)
    assert (found.sessions_table, found.leases_table) == ("SessionsTableName-1", "mine")
    assert found.approval_decide_function == "prod-approval-decide"
    assert set(FUNCTIONS) | set(OUTPUTS) == set(OperatorSettings.__dataclass_fields__)


def test_a_stack_without_the_output_is_told_to_be_deployed_again(cloud: None) -> None:
    template = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
    stage.client("cloudformation").create_stack(StackName="Old-Data", TemplateBody=json.dumps(template))
    with pytest.raises(ClientFault, match="no output SessionsTableName: deploy it again"):
        find("Old", OperatorSettings(), stage.client)
    with pytest.raises(ClientFault, match="--stack"):
        find("None", OperatorSettings(), stage.client)
    assert find("None", replace(GIVEN), stage.client) == GIVEN, "nothing has to be looked up"


async def test_only_sessions_with_aws_keys_are_sent_to_the_revoker(
    cloud: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway ends the others by itself, tries what it holds, and puts that on record."""
    calls = answering(monkeypatch, {"revocations": []})
    plain, keyed = opened("plain"), opened("keyed")
    operator = operations()
    now = time.time()
    for session, kind in ((plain, "role"), (keyed, "sts")):
        await operator._leases.write(Lease(session.id, f"{kind}-1", "reports", kind, "reports", "", now, now + 60))
    assert await operator.kill(plain.id, "enough", "carol") and calls == []
    assert await operator.lock("keyed", "enough", "carol") == 1
    assert calls == [("revoke", {"session": keyed.id, "holder": "operator"})]
    assert not await operator.kill(plain.id, "again", "carol")
    assert await operator.unlock("keyed") and not await operator.unlock("keyed")


async def test_a_revoker_that_fails_is_told_but_the_session_has_ended(
    cloud: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, {"fault": {"kind": "ours", "message": "IAM is away", "hint": ""}})
    session, operator, now = opened(), operations(), time.time()
    await operator._leases.write(Lease(session.id, "sts-1", "reports", "sts", "reports", "", now, now + 60))
    with pytest.raises(OurFault, match="IAM is away"):
        await operator.kill(session.id, "enough", "carol")
    standing = await operator.show(session.id)
    assert standing is not None and standing.ended_at is not None


async def test_an_answer_is_the_functions_word(cloud: None, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = answering(monkeypatch, {"refused": {"code": "policy", "reason": "not yours", "hint": "ask bob"}})
    denial = await operations().decide("a-1", Secret("carols"), BALLOT)
    assert denial is not None and (denial.code, denial.reason) == (DenialCode.POLICY, "not yours")
    sent = calls[0][1]
    assert (sent["id"], sent["token"], sent["approve"], sent["shown"]) == ("a-1", "carols", False, "shown")
    answering(monkeypatch, {"fault": {"kind": "token", "message": "expired", "hint": ""}})
    with pytest.raises(TokenFault, match="expired"):
        await operations().decide("a-1", Secret("carols"), BALLOT)
    answering(monkeypatch, {"status": {}})
    assert await operations().decide("a-1", Secret("carols"), BALLOT) is None


def test_who_it_is_is_whom_aws_knows(cloud: None) -> None:
    assert operations().who().startswith("arn:aws:")


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("Fri, 15 Jan 2027 08:00:00 GMT", NOW),  # this machine is an hour ahead
        ("Fri, 15 Jan 2027 09:00:03 GMT", NOW + 3600),  # near enough
        ("", NOW + 3600),
        ("yesterday", NOW + 3600),
    ],
)
def test_time_is_what_aws_says_it_is(date: str, expected: float) -> None:
    clock = ManualClock(NOW + 3600)
    service = ServiceClock(clock, date)
    assert service.now() == expected
    clock.advance(60)
    assert service.now() == expected + 60


async def test_looking_at_sessions_with_a_clock_that_is_ahead_ends_none(cloud: None) -> None:
    session = opened()
    ahead = ManualClock(time.time() + 86_400)

    class Dated:
        """DynamoDB's answers with the header that AWS sends."""

        def __init__(self) -> None:
            self._client = stage.client("dynamodb")

        def __getattr__(self, name: str) -> Any:
            def call(**arguments: Any) -> Any:
                answer = getattr(self._client, name)(**arguments)
                headers = answer["ResponseMetadata"].setdefault("HTTPHeaders", {})
                headers["date"] = formatdate(time.time(), usegmt=True)
                return answer

            return call

    def make(service: str) -> Any:
        return Dated() if service == "dynamodb" else stage.client(service)

    operator = Operations(GIVEN, ahead, make)
    assert [row.session.id for row in await operator.ls()] == [session.id]
    standing = await operator.show(session.id)
    assert standing is not None and standing.ended_at is None


async def test_who_may_only_look_sees_what_has_ended_and_writes_nothing(cloud: None) -> None:
    session = opened()

    class ReadOnly:
        """DynamoDB for whoever has the rights of docs/credentials.md for looking."""

        def __getattr__(self, name: str) -> Any:
            assert name in ("get_item", "query", "scan"), f"{name} is no looking"
            return getattr(stage.client("dynamodb"), name)

    def make(service: str) -> Any:
        return ReadOnly() if service == "dynamodb" else stage.client(service)

    clock = ManualClock(time.time() + 7200)  # and no Date header here: the session's time is long up
    looker = Operations(GIVEN, clock, make)
    looker._sessions.clock = clock
    assert await looker.ls() == []
    ((ended,), seen) = await looker.ls(live=False), await looker.show(session.id)
    assert seen == ended and ended.reason == "the session's time is up" and ended.ended_at == clock.now()


async def test_one_agents_session_that_cannot_be_denied_keeps_no_other_from_it(
    cloud: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = answering(monkeypatch, {"fault": {"kind": "ours", "message": "IAM is away", "hint": ""}})
    operator, now, table = (
        operations(),
        time.time(),
        SessionTable(stage.client("dynamodb"), stage.SESSIONS, SystemClock()),
    )
    for number in range(3):
        principal = Principal("iss", "bot", "bot", token_id=f"t-{number}", issued_at=now, expires_at=now + 600)
        session = table.open(principal, Target("reports", "aws", "sts", 443, linger_minutes=60.0))
        await operator._leases.write(Lease(session.id, "sts-1", "reports", "sts", "reports", "", now, now + 60))
    with pytest.raises(OurFault, match="IAM is away"):
        await operator.lock("bot", "enough", "carol")
    assert len(calls) == 3
