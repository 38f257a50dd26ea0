"""A write that meets somebody else's transaction is made again, and is never taken for a condition that did not hold."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from blastwall.aws.conflicts import ATTEMPTS, in_the_way, persistent
from blastwall.aws.items import Items
from blastwall.aws.tables import Calls, Lost, text
from blastwall.errors import OurFault


def refusal(code: str, *reasons: str) -> ClientError:
    about: Any = {"Error": {"Code": code, "Message": code}}
    if reasons:
        about["CancellationReasons"] = [{"Code": reason} for reason in reasons]
    return ClientError(about, "UpdateItem")


CONFLICT = refusal("TransactionConflictException")
CANCELLED = refusal("TransactionCanceledException", "None", "TransactionConflict")
THROTTLED = refusal("TransactionCanceledException", "ThrottlingError")
FAILED = refusal("ConditionalCheckFailedException")
LOST = refusal("TransactionCanceledException", "ConditionalCheckFailed", "TransactionConflict")


class Client:
    """DynamoDB, which refuses so often before it does what it is asked."""

    def __init__(self, fault: ClientError, times: int) -> None:
        self.fault, self.times, self.called = fault, times, 0

    def _call(self, **_: Any) -> dict[str, Any]:
        self.called += 1
        if self.called <= self.times:
            raise self.fault
        return {"Attributes": {"id": text("1")}, "ResponseMetadata": {}}

    update_item = transact_write_items = _call


@pytest.mark.parametrize("fault", [CONFLICT, CANCELLED, THROTTLED])
def test_what_others_were_in_the_way_of_is_tried_again_after_growing_pauses(fault: ClientError) -> None:
    client, pauses = Client(fault, ATTEMPTS - 1), list[float]()
    assert in_the_way(fault) and persistent(client.update_item, {}, pauses.append)["Attributes"]
    assert client.called == ATTEMPTS and len(pauses) == ATTEMPTS - 1 and sum(pauses) < 2
    with pytest.raises(ClientError):
        persistent(Client(fault, ATTEMPTS).update_item, {}, pauses.append)


@pytest.mark.parametrize("fault", [FAILED, LOST, refusal("ValidationException")])
def test_what_is_somebodys_condition_or_our_mistake_is_not(fault: ClientError) -> None:
    client = Client(fault, 1)
    with pytest.raises(ClientError):
        persistent(client.update_item, {}, lambda seconds: None)
    assert client.called == 1 and not in_the_way(fault)


def calls(client: Client) -> Calls:
    return Calls(client, "t", lambda seconds: None)


def test_a_session_does_not_seem_to_have_ended_because_another_connection_is_being_vended_to() -> None:
    """Joining it is one write to its item, and vending a transaction that checks the same item."""
    assert calls(Client(CONFLICT, 3)).update({"id": text("1")}, "SET a = :a", {":a": text("")}, "attribute_exists(id)")
    with pytest.raises(OurFault):
        calls(Client(CONFLICT, ATTEMPTS)).update({"id": text("1")}, "SET a = :a", {":a": text("")})
    with pytest.raises(Lost):
        calls(Client(FAILED, 1)).update({"id": text("1")}, "SET a = :a", {":a": text("")})
    with pytest.raises(Lost) as lost:
        calls(Client(LOST, 1)).together({"Put": {"Item": {}}})
    assert lost.value.reasons == (True, False)
    with pytest.raises(Lost) as lost:
        calls(Client(CANCELLED, ATTEMPTS)).together({"Put": {"Item": {}}})
    assert lost.value.reasons == (False, False), "try again"


def items(client: Client) -> Items:
    return Items(client, "t", lambda seconds: None)


def test_a_request_does_not_seem_decided_because_somebody_votes() -> None:
    assert items(Client(CONFLICT, 3)).set("a-1", "token", text("sealed"))
    assert not items(Client(FAILED, 1)).set("a-1", "token", text("sealed"))
    assert items(Client(CANCELLED, 3)).put_together({"Item": {}})
    assert not items(Client(LOST, 1)).put_together({"Item": {}})
    for fault in (CONFLICT, CANCELLED):
        with pytest.raises(OurFault):
            items(Client(fault, ATTEMPTS)).put_together({"Item": {}})
