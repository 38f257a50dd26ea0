"""What the table does beyond the contract (tests/contracts/test_approvals.py): lists, limits of size, what is kept beside."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest

from blastwall.approvals import Ballot, Event, binding
from blastwall.approvals.view import view_of
from blastwall.aws.approvals import ApprovalTable, AwsApprovals
from blastwall.errors import ClientFault, OurFault
from blastwall.local.clock import ManualClock
from blastwall.model import ApprovalRequest, ApprovalState, Statement, StatementKind
from tests.blastwall.approvals.asking import ask, person
from tests.blastwall.aws import stage

NOW = 150.0


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[ApprovalTable]:
    with stage.aws(monkeypatch):
        client = stage.client("dynamodb")
        stage.approvals_table(client)
        yield ApprovalTable(client, stage.TABLE, ManualClock(NOW))


def request(id: str, text: str = "", **changes: object) -> ApprovalRequest:
    made = ask(id=id, text=text or f"DELETE {id}", quorum=1, **changes)
    names = ("principal", "session", "target", "statement", "policy_version")
    bound = binding(**{name: getattr(made, name) for name in names})
    return ask(id=id, text=text or f"DELETE {id}", quorum=1, binding=bound, **changes)


def test_the_list_is_newest_first_and_live_ones_on_demand(table: ApprovalTable) -> None:
    for number in range(4):
        table.file(request(f"a-{number}", requested_at=100.0 + number))
    table.move("a-1", Event.WITHDRAW)
    table.vote("a-2", person("bob"), Ballot(True, view_of(request("a-2", requested_at=102.0)).shown), lambda *_: None)
    assert [filed.request.id for filed in table.ls()] == ["a-3", "a-2", "a-1", "a-0"]
    assert [filed.request.id for filed in table.ls(live=True)] == ["a-3", "a-2", "a-0"]
    assert [filed.request.id for filed in table.ls(limit=1)] == ["a-3"]
    assert [vote.approver.subject for vote in table.ls()[1].votes] == ["bob"]


def test_what_no_item_can_hold_is_refused(table: ApprovalTable) -> None:
    with pytest.raises(ClientFault, match="too large"):
        table.file(request("a-1", "SELECT '" + secrets.token_hex(400_000) + "'"))
    assert table.file(request("a-2", "SELECT '" + "x" * 400_000 + "'")).state is ApprovalState.REQUESTED


async def test_what_no_call_can_carry_is_refused_in_the_same_words(table: ApprovalTable) -> None:
    """Text that packs well would fit into an item; but Lambda takes 6 MB, and its refusal names no statement."""

    def unreachable(function: str, event: object) -> dict[str, object]:
        raise AssertionError(f"{function} was called")

    with pytest.raises(ClientFault, match="too large"):
        await AwsApprovals(table, unreachable).request(request("a-1", "SELECT '" + "x" * 6_000_000 + "'"))


def test_what_an_approver_sees_is_exactly_what_was_asked(table: ApprovalTable) -> None:
    made = request("a-1", "DELETE /* \u202e */ FROM t\r\n\x00\udcff")
    table.file(made)
    filed = table.show("a-1")
    assert filed is not None and filed.request == made
    for name in ("a-2", "b#" + made.binding, ""):
        assert table.show(name) is None


def test_messages_are_kept_beside(table: ApprovalTable) -> None:
    table.file(request("a-1"))
    assert table.messages("a-1") == {}
    table.keep_messages("a-1", {"slack": {"ts": "1"}})
    assert table.messages("a-1") == {"slack": {"ts": "1"}}
    assert table.messages("a-none") == {}


def test_a_token_is_kept_only_while_somebody_is_waited_for(table: ApprovalTable) -> None:
    table.file(request("a-1"))
    assert table.keep_token("a-1", b"sealed") and table.token("a-1") == b"sealed"
    table.forget_token("a-1")
    assert table.token("a-1") is None
    table.move("a-1", Event.DENY)
    assert not table.keep_token("a-1", b"sealed") and not table.keep_token("a-none", b"sealed")


def test_a_move_may_be_meant_for_one_state_only(table: ApprovalTable) -> None:
    made = request("a-1")
    table.file(made)
    table.vote("a-1", person("bob"), Ballot(True, view_of(made).shown), lambda *_: None)
    assert table.move("a-1", Event.EXPIRE, only=ApprovalState.REQUESTED).state is ApprovalState.APPROVED
    assert table.move("a-1", Event.EXPIRE).state is ApprovalState.EXPIRED


def test_a_statement_of_another_kind_keeps_its_formats(table: ApprovalTable) -> None:
    made = request("a-1")
    formats = Statement(made.statement.text, results=b"\x01")
    names = ("principal", "session", "target", "policy_version")
    bound = binding(statement=formats, **{name: getattr(made, name) for name in names})
    table.file(ask(id="a-1", statement=formats, quorum=1, binding=bound))
    filed = table.show("a-1")
    assert filed is not None and filed.request.statement.results == b"\x01"


class Doors:
    """Sessions whose time cannot be limited."""

    def shut(self, session: str, reason: str, by: str) -> bool:
        raise AssertionError("nothing is taken back here")

    def shut_by(self, session: str, until: float) -> None:
        raise OurFault("the table of sessions does not answer")


def test_a_connection_for_a_while_is_not_used_before_its_end_is_written(table: ApprovalTable) -> None:
    """The process may end in between: then the session would go on for as long as its token."""
    made = request("a-1", "connect")
    statement = made.statement._replace(kind=StatementKind.CONNECT)
    bound = binding(
        principal=made.principal,
        session=made.session,
        target=made.target,
        statement=statement,
        policy_version=made.policy_version,
    )
    made = replace(made, statement=statement, binding=bound, shape="s" * 64)
    table.file(made)
    table.vote("a-1", person("bob"), Ballot(True, view_of(made).shown, "", 600.0), lambda *_: None)
    table.doors = Doors()
    with pytest.raises(OurFault):
        table.redeem(made.binding)
    filed = table.show("a-1")
    assert filed is not None and filed.status.used == 0
