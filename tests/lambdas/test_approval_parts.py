"""The state machine as it is deployed, run for real, with the functions' own handlers (the corpus' APR rows by id)."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from blastwall.approvals import Ballot, Event, to_document
from blastwall.approvals.view import view_of
from blastwall.aws.approvals import AwsApprovals
from blastwall.model import ApprovalRequest, ApprovalState, Principal
from lambdas import approval_parts
from lambdas.approval_decide.handler import handler as decide
from lambdas.approval_notify.handler import handler as notify
from lambdas.approval_request.handler import handler as request
from tests.blastwall.aws import stage
from tests.lambdas.machine import Machine, machine

ROUNDS = 100


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POWERTOOLS_TRACE_DISABLED", "1")
        with machine(tmp_path_factory.mktemp("machine"), patch) as rig:
            yield rig


def test_approve(rig: Machine) -> None:
    asked = rig.ask()
    assert rig.file(asked)["status"]["state"] == "requested"
    rig.waits(asked)
    assert rig.decide(asked, note="go ahead")["status"]["state"] == "approved"
    assert rig.over(asked) == {"status": "SUCCEEDED", "output": {"id": asked.id, "state": "approved"}}
    status = rig.table.redeem(asked.binding)
    assert status is not None and (status.by, status.note) == (("bob",), "go ahead")
    assert rig.table.redeem(asked.binding) is None
    assert rig.told(asked) == ["reporter waits for owners", "approved by bob, for at most 12 rows"]


def test_deny(rig: Machine) -> None:
    asked = rig.ask()
    rig.file(asked)
    rig.waits(asked)
    assert rig.decide(asked, approve=False)["status"]["state"] == "denied"
    assert rig.over(asked)["output"]["state"] == "denied"
    assert rig.table.redeem(asked.binding) is None


def test_nobody_answers_so_others_are_asked_and_then_it_expires(rig: Machine) -> None:
    asked = rig.ask(seconds=6.0, escalate=3.0)
    rig.file(asked)
    first = rig.waits(asked)
    early = rig.decide(asked, token=rig.token("sue", "security"))
    assert "no rule permits" in early["refused"]["reason"], "not yet routed to security"
    rig.waits(asked, but=first)
    assert rig.over(asked)["output"]["state"] == "expired"
    assert rig.status(asked).state is ApprovalState.EXPIRED
    assert rig.decide(asked)["refused"]["code"] == "expired"
    assert rig.told(asked) == [
        "reporter waits for owners", "nobody has answered yet", "expired",
    ]  # fmt: skip


def test_the_second_group_may_decide_once_it_is_asked(rig: Machine) -> None:
    asked = rig.ask(seconds=60, escalate=1.0)
    rig.file(asked)
    rig.waits(asked, but=rig.waits(asked))
    assert rig.decide(asked, token=rig.token("sue", "security"))["status"]["by"] == ["sue"]
    assert rig.over(asked)["output"]["state"] == "approved"


def test_a_quorum_of_different_people(rig: Machine) -> None:
    asked = rig.ask(quorum=2)
    rig.file(asked)
    rig.waits(asked)
    assert rig.decide(asked)["status"]["state"] == "requested"
    assert "one person is one vote" in rig.decide(asked)["refused"]["reason"]
    assert rig.table.token(asked.id) is not None, "the machine still waits"
    assert rig.decide(asked, "carol")["status"]["by"] == ["bob", "carol"]
    assert rig.over(asked)["output"]["state"] == "approved"


def test_withdrawn_by_the_gateway(rig: Machine) -> None:
    asked = rig.ask()
    rig.file(asked)
    rig.waits(asked)
    handlers = {"approval_request": request, "approval_decide": decide}
    people = AwsApprovals(rig.table, lambda name, event: rig.call(handlers[name], event))
    status = asyncio.run(people.withdraw(asked.id, "disconnected"))
    assert (status.state, status.note) == (ApprovalState.WITHDRAWN, "disconnected")
    assert rig.over(asked)["output"]["state"] == "withdrawn"
    assert rig.decide(asked)["refused"]["code"] == "withdrawn"


def test_the_same_request_twice_is_one_execution(rig: Machine) -> None:
    asked = rig.ask(agent="twice")
    first, second = rig.file(asked), rig.file(asked)
    assert first["status"]["id"] == second["status"]["id"] == asked.id
    again = rig.ask(agent="twice")
    assert rig.file(again)["status"]["id"] == asked.id, "the same statement of the same session, under a new id"
    rig.waits(asked)
    executions = rig.machines.list_executions(stateMachineArn=rig.arn)["executions"]
    assert [one["name"] for one in executions if one["name"] in (asked.id, again.id)] == [asked.id]
    rig.decide(asked)
    rig.over(asked)
    assert rig.file(asked)["status"]["state"] == "approved"
    assert len(rig.told(asked)) == 2


def opened(rig: Machine, asked: Any, sealed: bytes) -> str:
    """The task token as somebody gets it who may decrypt it, or listens where it passes."""
    plain = stage.client("kms").decrypt(CiphertextBlob=sealed, EncryptionContext={"approval": asked.id})["Plaintext"]
    return str(plain.decode())


def test_a_forged_success_of_the_task_is_a_denial(rig: Machine) -> None:
    asked = rig.ask()
    rig.file(asked)
    token = opened(rig, asked, rig.waits(asked))
    forged = {"id": asked.id, "state": "approved", "status": {"state": "approved", "by": ["bob"]}}
    rig.machines.send_task_success(taskToken=token, output=json.dumps(forged))
    assert rig.over(asked)["output"]["state"] == "denied"
    assert rig.table.redeem(asked.binding) is None
    assert rig.decide(asked)["refused"]["code"] == "denied"
    assert "nobody had decided" in rig.status(asked).note


def test_a_forged_failure_of_the_task_is_a_denial_too(rig: Machine) -> None:
    asked = rig.ask()
    rig.file(asked)
    rig.machines.send_task_failure(taskToken=opened(rig, asked, rig.waits(asked)), error="approved")
    assert rig.over(asked)["output"]["state"] == "denied"


def test_a_notifier_that_breaks_denies_nothing(rig: Machine) -> None:
    """A channel that hangs must not decide: the page shows the request, and its time runs as if people had been told."""
    asked, calls = rig.ask(seconds=6.0, escalate=3.0), []
    broken = {
        step: type(error, (Exception,), {})
        for step, error in (("ask", "Sandbox.Timedout"), ("escalate", "Lambda.Unknown"))
    }

    def breaking(event: dict[str, Any], context: Any) -> dict[str, Any]:
        calls.append(event["step"])
        if event["step"] in broken:
            raise broken[event["step"]]("it took too long")
        return dict(notify(event, context))

    with pytest.MonkeyPatch.context() as patch:
        stage.lambdas_in_process(patch, {"approval_notify": breaking})
        rig.file(asked)
        deadline = time.monotonic() + 30
        while not calls and time.monotonic() < deadline:
            time.sleep(0.02)
        assert rig.status(asked).state is ApprovalState.REQUESTED
        assert rig.decide(asked, approve=False, note="no")["status"]["state"] == "denied"
        assert rig.over(asked, 30.0) == {"status": "SUCCEEDED", "output": {"id": asked.id, "state": "denied"}}
    assert calls == ["ask", "escalate", "settle"]
    assert rig.status(asked).note == "no", "a person's word, not the machine's"


def test_what_was_decided_before_the_machine_waits_needs_no_waiting(rig: Machine, monkeypatch: Any) -> None:
    asked = rig.ask()
    rig.table.file(asked)
    assert rig.decide(asked)["status"]["state"] == "approved"
    rig.machines.start_execution(
        stateMachineArn=rig.arn,
        name=asked.id,
        input=json.dumps({"version": 1, "id": asked.id, "first_seconds": 60, "then_seconds": 0}),
    )
    assert rig.over(asked)["output"]["state"] == "approved"


def test_an_input_of_another_version_ends_at_once(rig: Machine) -> None:
    asked = rig.ask()
    given = {"version": 2, "id": asked.id, "first_seconds": 60, "then_seconds": 0}
    rig.machines.start_execution(stateMachineArn=rig.arn, name=asked.id, input=json.dumps(given))
    assert rig.over(asked)["status"] == "FAILED"


@pytest.mark.parametrize("change", [{"principal": 1e308}, {"expires_at": float("inf")}, {"statement": []}])
def test_what_is_no_request_is_told_and_not_raised_to_the_gateway(rig: Machine, change: dict[str, Any]) -> None:
    answer = rig.call(request, to_document(rig.ask()) | change)
    assert answer["fault"]["kind"] == "ours" and "not an approval request" in answer["fault"]["message"]


def test_the_token_is_stored_sealed_and_in_no_message(rig: Machine) -> None:
    asked = rig.ask()
    rig.file(asked)
    sealed = rig.waits(asked)
    token = opened(rig, asked, sealed)
    rows = rig.dynamodb.scan(TableName=stage.TABLE)["Items"]
    assert token not in repr(rows) and token.encode() not in sealed
    assert "https://page.example/requests/" + asked.id in rig.heard(asked)
    assert token not in rig.heard(asked)
    kms = stage.client("kms")
    with pytest.raises(kms.exceptions.ClientError):
        kms.decrypt(CiphertextBlob=sealed, EncryptionContext={"approval": "a-other"})


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        pytest.param({"token": "not a token"}, "token", id="no token"),
        pytest.param({"approve": "yes"}, "policy", id="not a decision"),
        pytest.param({"rows": float("inf")}, "policy", id="more rows than there are numbers"),
        pytest.param({"grant_seconds": 10**400}, "policy", id="longer than there are numbers"),
        pytest.param({"shown": None}, "policy", id="APR-015 another text than was shown"),
        pytest.param({"id": "a-aaaaaaaaaaaaaaaa"}, "policy", id="APR-014 a guessed id"),
        pytest.param({"id": "b#" + "0" * 64}, "policy", id="APR-014 the name of a pointer"),
    ],
)
def test_what_decides_nothing(rig: Machine, change: dict[str, Any], kind: str) -> None:
    asked = rig.ask()
    rig.file(asked)
    answer = rig.decide(asked, **change)
    assert answer.get("fault", {}).get("kind") == kind or answer["refused"]["code"] == kind
    assert rig.status(asked).state is ApprovalState.REQUESTED


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"sub": "bob"}, id="APR-009 a token that opens the gateway"),
        pytest.param({"sub": "itself", "aud": "blastwall/approvals"}, id="the agent itself"),
        pytest.param({"sub": "alice", "aud": "blastwall/approvals"}, id="self-approval by the person behind the agent"),
        pytest.param(
            {"sub": "bot", "on_behalf_of": "dora", "aud": "blastwall/approvals"}, id="APR-009 a forwarded token"
        ),
        pytest.param({"sub": "ina", "groups": ["interns"], "aud": "blastwall/approvals"}, id="not in the group"),
    ],
)
def test_who_decides_nothing(rig: Machine, claims: dict[str, Any], request: pytest.FixtureRequest) -> None:
    asked = rig.ask(agent="itself", session=request.node.name)
    rig.file(asked)
    token = rig.issuer.mint("bob", **({"groups": ["owners"]} | claims))
    answer = rig.decide(asked, token=token)
    assert "fault" in answer or "refused" in answer
    assert rig.status(asked).state is ApprovalState.REQUESTED


def test_anybody_may_say_that_it_is_over_and_it_changes_nothing(rig: Machine) -> None:
    asked = rig.ask()
    rig.file(asked)
    sealed = rig.waits(asked)
    assert rig.call(decide, {"answer": asked.id}) == {}
    assert rig.table.token(asked.id) == sealed
    assert rig.status(asked).state is ApprovalState.REQUESTED


def race(rig: Machine, asked: ApprovalRequest) -> list[str]:
    """Two people approve and two connections redeem, all at once. Returns who redeemed."""
    won: list[str] = []
    barrier = threading.Barrier(2)

    def approve_and_run(who: str) -> None:
        person = Principal(rig.issuer.issuer, who, who, frozenset({"owners"}), None, f"token-{who}")
        barrier.wait()
        rig.table.vote(asked.id, person, Ballot(True, view_of(asked).shown), lambda *_: None)
        if rig.table.redeem(asked.binding) is not None:
            won.append(who)

    racers = [threading.Thread(target=approve_and_run, args=(who,)) for who in ("bob", "carol")]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    return won


def test_two_approvers_at_once_make_one_redemption_a_hundred_times(rig: Machine) -> None:
    """Deciding and redeeming race as they do between processes; the machine is not needed for it."""
    for number in range(ROUNDS):
        asked = rig.ask(agent=f"racer-{number}")
        rig.table.file(asked)
        won = race(rig, asked)
        assert len(won) == 1, f"round {number}: {won}"
        assert rig.status(asked).used == 1


def test_a_fault_of_the_table_is_told_and_not_raised_to_the_gateway(
    rig: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approval_parts.table()._items, "name", "gone")
    assert rig.file(rig.ask())["fault"]["kind"] == "ours"
    assert rig.decide(rig.ask())["fault"]["kind"] == "ours"
    assert rig.call(request, {"id": "a-1"})["fault"]["kind"] == "ours"


def test_the_state_machine_and_the_table_agree_on_a_session_that_ends(rig: Machine) -> None:
    asked = rig.ask()
    rig.file(asked)
    rig.waits(asked)
    assert rig.table.withdraw_all(asked.principal.identity, "s-1", "the session ended") == [asked.id]
    assert rig.table.withdraw_all(asked.principal.identity, "s-1", "again") == []
    assert rig.status(asked).state is ApprovalState.WITHDRAWN
    assert rig.table.move(asked.id, Event.APPROVE).state is ApprovalState.WITHDRAWN
    rig.call(decide, {"answer": asked.id})
    assert rig.over(asked)["output"]["state"] == "withdrawn"


def test_the_notifier_says_that_an_unknown_request_need_not_be_waited_for(rig: Machine) -> None:
    with pytest.raises(Exception, match="decided, or never made"):
        rig.call(notify, {"step": "ask", "id": "a-none", "token": "t" * 64})
