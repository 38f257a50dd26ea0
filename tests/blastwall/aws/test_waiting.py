"""Starting once, sealing for one request, ending a wait that may have ended: asked of real clients' answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from blastwall.aws.waiting import Waiting
from blastwall.errors import OurFault
from tests.blastwall.approvals.asking import REQUEST, ask
from tests.blastwall.aws import stage


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any, Waiting]]:
    with stage.aws(monkeypatch):
        machines, keys = stage.client("stepfunctions"), stage.client("kms")
        arn = stage.state_machine(machines)
        key = keys.create_key()["KeyMetadata"]["KeyId"]
        yield machines, keys, Waiting(machines, keys, arn, key)


def inputs(machines: Any) -> dict[str, dict[str, Any]]:
    arn = machines.list_state_machines()["stateMachines"][0]["stateMachineArn"]
    executions = machines.list_executions(stateMachineArn=arn)["executions"]
    return {
        one["name"]: json.loads(machines.describe_execution(executionArn=one["executionArn"])["input"])
        for one in executions
    }


def test_an_execution_is_named_by_its_request_and_begins_once(aws: tuple[Any, Any, Waiting]) -> None:
    machines, _, waiting = aws
    waiting.start(REQUEST)
    waiting.start(REQUEST)
    assert inputs(machines) == {"a-1": {"version": 1, "id": "a-1", "first_seconds": 100, "then_seconds": 0}}


@pytest.mark.parametrize(
    ("escalate_at", "expected"), [(130.0, (30, 70)), (100.2, (1, 100)), (500.0, (100, 0)), (0.0, (100, 0))]
)
def test_the_wait_is_divided_where_others_are_asked(
    aws: tuple[Any, Any, Waiting], escalate_at: float, expected: tuple[int, int]
) -> None:
    machines, _, waiting = aws
    waiting.start(ask(id="a-9", escalate_at=escalate_at))
    found = inputs(machines)["a-9"]
    assert (found["first_seconds"], found["then_seconds"]) == expected


def test_a_sealed_token_opens_for_its_own_request_only(aws: tuple[Any, Any, Waiting]) -> None:
    _, _, waiting = aws
    sealed = waiting.seal("a-1", "t" * 600)
    assert b"t" * 20 not in sealed
    with pytest.raises(OurFault):
        waiting.answer("a-2", sealed)


def test_ending_what_has_ended_is_nothing(aws: tuple[Any, Any, Waiting], monkeypatch: pytest.MonkeyPatch) -> None:
    machines, keys, waiting = aws
    told: list[dict[str, str]] = []

    class Over:
        def send_task_success(self, **given: str) -> None:
            told.append(given)
            raise machines.exceptions.TaskTimedOut({"Error": {"Code": "TaskTimedOut"}}, "SendTaskSuccess")

    over = Waiting(Over(), keys, "", waiting._key_id)
    over.answer("a-1", over.seal("a-1", "token"))
    assert told == [{"taskToken": "token", "output": '{"id": "a-1"}'}]
