"""A guarded statement, message by message: what the server is asked, and what the client hears of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from blastwall.errors import OurFault, UpstreamFault
from blastwall.model import Guard, Permit, Statement
from blastwall.protocols.postgres import inner, messages, replies
from blastwall.protocols.postgres.inner import Refused
from blastwall.protocols.postgres.legs import POISON
from blastwall.undo.capture import Kept
from tests.blastwall.protocols.postgres.playbook import Playbook, frames, types

IDLE, OPEN, FAILED = (messages.ready_for_query(status) for status in (b"I", b"T", b"E"))
DELETE = messages.query(b"DELETE FROM t WHERE x")


def done(tag: str) -> bytes:
    return messages.command_complete(tag)


def error_of(data: bytes) -> dict[str, str]:
    return next(replies.error_fields(frame) for frame in frames(data) if frame[:1] == b"E")


def guarded(statement: Statement) -> Permit:
    """Every change of rows was approved for three of them."""
    changes = statement.text.startswith(("DELETE", "UPDATE", "WITH"))
    return Permit(statement.text, guard=Guard(3, 5) if changes else None, approval="a-1")


def outcomes(play: Playbook) -> list[object]:
    """What the recording says came of guarded statements."""
    return [fields["outcome"] for name, fields in play.notes if name == "row_bound"]  # type: ignore[attr-defined]


@pytest.fixture
async def play() -> AsyncIterator[Playbook]:
    async with Playbook(guarded) as play:
        play.slow = True
        play.notes = []  # type: ignore[attr-defined]  # what was noted, for these tests only
        play.legs.note = lambda name, fields: play.notes.append((name, dict(fields)))  # type: ignore[attr-defined]
        yield play


async def begun(play: Playbook) -> None:
    """The statement is at the server, in the gateway's own transaction."""
    assert await play.say(DELETE) == messages.query(b"BEGIN")
    play.up.receive(done("BEGIN") + OPEN)
    assert await play.sent() == DELETE


async def test_within_its_bound_it_is_committed_and_heard_as_ever(play: Playbook) -> None:
    assert await play.say(DELETE) == messages.query(b"BEGIN")
    play.up.receive(done("BEGIN") + OPEN)
    assert await play.sent() == DELETE
    row = messages.data_row((b"1",))
    play.up.receive(row + done("DELETE 3") + OPEN)
    assert await play.sent() == messages.query(b"COMMIT")
    assert play.heard() == b"", "nothing is heard before it is certain"
    assert await play.answer(done("COMMIT") + IDLE) == row + done("DELETE 3") + IDLE
    assert play.notes == [  # type: ignore[attr-defined]
        ("row_bound", {"statement": 1, "approval": "a-1", "outcome": "within", "bound": 3, "rows": 3})
    ]


async def test_beyond_it_is_rolled_back_and_refused(play: Playbook) -> None:
    await begun(play)
    play.up.receive(messages.data_row((b"secret",)) + done("DELETE 4") + OPEN)
    assert await play.sent() == messages.query(b"ROLLBACK")
    heard = await play.answer(done("ROLLBACK") + IDLE)
    assert types(heard) == "EZ" and heard.endswith(IDLE) and b"secret" not in heard
    assert (error_of(heard)["C"], error_of(heard)["D"]) == (
        "XB004",
        "it changed 4 rows, and was approved for at most 3",
    )
    assert await play.say(messages.query(b"SELECT 1")) == messages.query(b"SELECT 1"), "and the session goes on"


@pytest.mark.parametrize("tag", ["SELECT 1", "DELETE", "DELETE x", "DELETE -1", "TRUNCATE TABLE"])
async def test_a_tag_that_does_not_count_is_no_count(play: Playbook, tag: str) -> None:
    await begun(play)
    play.up.receive(done(tag) + OPEN)
    assert await play.sent() == messages.query(b"ROLLBACK")


async def test_the_servers_own_error_is_heard_as_it_is(play: Playbook) -> None:
    await begun(play)
    error = messages.error_response("ERROR", "23502", "null value")
    play.up.receive(error + FAILED)
    assert await play.sent() == messages.query(b"ROLLBACK")
    assert await play.answer(done("ROLLBACK") + IDLE) == error + IDLE


async def test_what_commit_finds_takes_the_place_of_the_completion(play: Playbook) -> None:
    await begun(play)
    row = messages.data_row((b"1",))
    play.up.receive(row + done("DELETE 1") + OPEN)
    assert await play.sent() == messages.query(b"COMMIT")
    error = messages.error_response("ERROR", "23503", "still referenced")
    assert await play.answer(error + IDLE) == row + error + IDLE
    assert outcomes(play) == ["failed"], "it was within its bound, and did not happen"


CANCELLED = messages.error_response("ERROR", "57014", "canceling statement due to user request")


async def test_a_cancel_that_hits_the_commit_leaves_the_client_in_no_transaction(play: Playbook) -> None:
    await begun(play)
    play.up.receive(done("DELETE 1") + OPEN)
    assert await play.sent() == messages.query(b"COMMIT")
    play.up.receive(CANCELLED + FAILED)
    assert await play.sent() == messages.query(b"ROLLBACK"), "the client never began it"
    assert await play.answer(done("ROLLBACK") + IDLE) == CANCELLED + IDLE
    assert outcomes(play) == ["failed"]


async def test_a_cancel_that_hits_the_begin_is_the_statements(play: Playbook) -> None:
    assert await play.say(DELETE) == messages.query(b"BEGIN")
    assert await play.answer(CANCELLED + IDLE) == CANCELLED + IDLE
    assert await play.say(messages.query(b"SELECT 1")) == messages.query(b"SELECT 1"), "and the session goes on"


async def test_a_cancel_that_hits_the_rollback_does_not_keep_the_transaction(play: Playbook) -> None:
    await begun(play)
    play.up.receive(done("DELETE 4") + OPEN)
    for _ in range(2):
        assert await play.sent() == messages.query(b"ROLLBACK")
        play.up.receive(CANCELLED + FAILED)
    assert await play.sent() == messages.query(b"ROLLBACK")
    heard = await play.answer(done("ROLLBACK") + IDLE)
    assert types(heard) == "EZ" and error_of(heard)["C"] == "XB004" and heard.endswith(IDLE)


async def test_a_transaction_that_does_not_end_ends_the_connection(play: Playbook) -> None:
    await begun(play)
    play.up.receive(done("DELETE 4") + OPEN)
    for _ in range(10):
        assert await play.sent() == messages.query(b"ROLLBACK")
        play.up.receive(CANCELLED + FAILED)
    await play.sent()
    assert isinstance(play.fault, UpstreamFault) and b"Z" not in play.heard()


async def test_a_server_that_goes_while_it_commits_is_not_said_to_have_committed(play: Playbook) -> None:
    await begun(play)
    play.up.receive(messages.data_row((b"1",)) + done("DELETE 1") + OPEN)
    assert await play.sent() == messages.query(b"COMMIT")
    play.up_wire.connection_lost(None)
    await play.sent()
    assert isinstance(play.fault, UpstreamFault) and play.heard() == b""
    assert outcomes(play) == ["not known"]


async def test_what_rules_let_run_is_not_said_to_have_been_approved() -> None:
    def ruled(statement: Statement) -> Permit:
        return Permit(statement.text, ("small-writes",), guard=Guard(3) if "DELETE" in statement.text else None)

    async with Playbook(ruled) as play:
        play.slow = True
        assert await play.say(DELETE) == messages.query(b"BEGIN")
        play.up.receive(done("BEGIN") + OPEN)
        await play.sent()
        play.up.receive(done("DELETE 4") + OPEN)
        await play.sent()
        heard = error_of(await play.answer(done("ROLLBACK") + IDLE))
        assert "small-writes" in heard["M"] and "approved" not in heard["D"] + heard["H"]
        assert "it changed 4 rows" in heard["D"] and "at most 3" in heard["D"]


async def test_in_a_transaction_the_servers_fails_with_the_refusal(play: Playbook) -> None:
    await play.say(messages.query(b"BEGIN"))
    await play.answer(done("BEGIN") + OPEN)
    assert await play.say(DELETE) == DELETE, "it is open already"
    play.up.receive(done("DELETE 4") + OPEN)
    assert await play.sent() == messages.query(POISON)
    heard = await play.answer(messages.error_response("ERROR", "42601", "syntax error") + FAILED)
    assert types(heard) == "EZ" and error_of(heard)["C"] == "XB004" and heard.endswith(FAILED)
    assert await play.say(DELETE) == DELETE, "a failed one is the server's to refuse"
    refused = messages.error_response("ERROR", "25P02", "aborted")
    assert await play.answer(refused + FAILED) == refused + FAILED


async def test_in_a_transaction_it_stays_open_within_the_bound(play: Playbook) -> None:
    await play.say(messages.query(b"BEGIN"))
    await play.answer(done("BEGIN") + OPEN)
    await play.say(DELETE)
    assert await play.answer(done("DELETE 2") + OPEN) == done("DELETE 2") + OPEN


async def test_what_cannot_be_counted_is_not_run(play: Playbook) -> None:
    assert await play.say(messages.query(b"WITH d AS (x) SELECT 1")) == b""
    heard = play.heard()
    assert types(heard) == "EZ" and error_of(heard)["C"] == "XB004"
    assert "outside WITH" in error_of(heard)["H"]
    await begun(play)
    play.up.receive(done("DELETE 4") + OPEN)
    assert await play.sent() == messages.query(b"ROLLBACK"), "and the next one is held to its bound"


PREPARING = messages.parse(b"s", b"SELECT 1", ()) + messages.describe(b"S", b"s") + messages.FLUSH
PREPARING_ANSWER = messages.PARSE_COMPLETE + messages.frame(b"t", b"\0\0") + messages.frame(b"n", b"")


async def test_a_batch_that_only_prepared_something_is_ended_before_a_guarded_query(play: Playbook) -> None:
    """What asyncpg does: it prepares with Flush, and then sends a simple query."""
    assert types(await play.say(PREPARING)) == "PDH"
    assert await play.answer(PREPARING_ANSWER) == PREPARING_ANSWER
    assert await play.say(DELETE) == messages.SYNC
    play.up.receive(IDLE)
    assert await play.sent() == messages.query(b"BEGIN")
    play.up.receive(done("BEGIN") + OPEN)
    assert await play.sent() == DELETE
    play.up.receive(done("DELETE 3") + OPEN)
    assert await play.sent() == messages.query(b"COMMIT")
    assert play.heard() == b"", "nor was the end of the batch, for which the client did not ask"
    assert await play.answer(done("COMMIT") + IDLE) == done("DELETE 3") + IDLE


async def test_a_batch_in_which_something_ran_is_not_ended_for_a_guarded_query(play: Playbook) -> None:
    ran = messages.parse(b"", b"SELECT 1", ()) + messages.bind(b"", b"", (), (), ()) + messages.execute(b"")
    await play.say(ran + messages.parse(b"s", b"SELECT 2", ()) + messages.FLUSH)
    await play.answer(PREPARED + done("SELECT 1") + messages.PARSE_COMPLETE)
    assert await play.say(DELETE) == messages.query(POISON), "it would commit what ran before"
    heard = await play.answer(messages.error_response("ERROR", "42601", "syntax error") + IDLE)
    assert types(heard) == "EZ" and error_of(heard)["C"] == "XB004" and "Sync" in error_of(heard)["H"]


async def test_a_cancel_that_hits_the_end_of_the_batch_is_the_statements(play: Playbook) -> None:
    await play.say(PREPARING)
    await play.answer(PREPARING_ANSWER)
    await play.say(DELETE)
    assert await play.answer(CANCELLED + IDLE) == CANCELLED + IDLE
    assert outcomes(play) == ["not run"]


BATCH = messages.parse(b"", b"DELETE FROM t WHERE x", ()) + messages.bind(b"", b"", (), (), ())
PREPARED = messages.PARSE_COMPLETE + messages.BIND_COMPLETE


async def test_a_portal_is_run_to_its_end_and_given_out_in_portions(play: Playbook) -> None:
    sent = await play.say(BATCH + messages.execute(b"", 2) + messages.execute(b"", 2) + messages.SYNC)
    assert types(sent) == "PBH"
    play.up.receive(PREPARED)
    sent = await play.sent()
    assert types(sent) == "EH" and messages.execute(b"", 0) in sent, "all of it, whatever was asked for"
    row = [messages.data_row((text,)) for text in (b"1", b"2", b"3")]
    assert types(play.heard()) == "12"
    heard = await play.answer(b"".join(row) + done("DELETE 3"))
    assert heard == row[0] + row[1] + messages.frame(b"s", b"") + row[2] + done("DELETE 3")
    assert await play.sent() == messages.SYNC
    assert await play.answer(IDLE) == IDLE


async def test_beyond_it_the_batch_fails_up_to_sync(play: Playbook) -> None:
    await play.say(BATCH + messages.execute(b"") + BATCH + messages.execute(b"") + messages.SYNC)
    play.up.receive(PREPARED)
    await play.sent()
    play.up.receive(messages.data_row((b"secret",)) + done("DELETE 4"))
    sent = await play.sent()
    assert types(sent) == "PH" and POISON in sent
    play.up.receive(messages.error_response("ERROR", "42601", "syntax error"))
    assert types(await play.sent()) == "S", "what follows is skipped, here and there"
    heard = play.heard() + await play.answer(IDLE)
    assert types(heard) == "12EZ" and error_of(heard)["C"] == "XB004" and b"secret" not in heard


async def test_an_error_before_it_means_that_it_does_not_run(play: Playbook) -> None:
    await play.say(BATCH + messages.execute(b"") + messages.SYNC)
    play.up.receive(messages.PARSE_COMPLETE + messages.error_response("ERROR", "22P02", "invalid input"))
    assert types(await play.sent()) == "S"
    assert types(play.heard() + await play.answer(IDLE)) == "1EZ"


async def test_what_portals_hold_has_one_limit_for_all_of_them(play: Playbook, monkeypatch: pytest.MonkeyPatch) -> None:
    row = messages.data_row((b"x" * 60,))

    async def execute(name: bytes) -> str:
        bind = messages.bind(name, b"", (), (), ())
        await play.say(
            messages.parse(b"", b"DELETE FROM t WHERE x", ()) + bind + messages.execute(name, 1) + messages.FLUSH
        )
        play.up.receive(PREPARED)
        await play.sent()
        play.up.receive(row + row[:-60] + b"y" * 60 + done("DELETE 2"))
        await play.sent()
        return types(play.heard())

    monkeypatch.setattr("blastwall.protocols.postgres.bound.MOST_HELD", 200)
    assert await execute(b"one") == "12Ds", "one row of it is still held"
    assert play.names.portals["one"].portion is not None
    assert await execute(b"two") == "12", "which leaves no room for another of this size"
    heard = await play.answer(messages.error_response("ERROR", "42601", "syntax error"))
    assert types(heard) == "E" and error_of(heard)["C"] == "XB004"
    assert outcomes(play) == ["within", "too much to hold"]


KEPT = Kept((), 1)


class Keeper:
    """Keeps what it is told to, or does not."""

    def __init__(self, before: Any = KEPT, after: Any = ("a-1-x", "")) -> None:
        self._before, self._after = before, after

    async def before(self, statement: Statement, most: int, *, sync: bool) -> Any:
        assert most == 5
        return self._give(self._before)

    async def after(self, kept: Kept, rows: int | None, approval: str, verb: str) -> Any:
        assert (approval, verb) == ("a-1", "delete")
        return self._give(self._after)

    def _give(self, given: Any) -> Any:
        if isinstance(given, Exception):
            raise given
        return given


ERROR = messages.error_response("ERROR", "55P03", "lock timeout")
REFUSED = Refused(ERROR, {"C": "55P03"})


@pytest.mark.parametrize(
    ("keeper", "capsule", "reason"),
    [(Keeper(), "a-1-x", ""), (Keeper("no key"), "", "no key"), (Keeper(after=("", "moved")), "", "moved")],
)
async def test_what_was_kept_or_why_not_is_noted(play: Playbook, keeper: Any, capsule: str, reason: str) -> None:
    play.legs.keeper = keeper
    await begun(play)
    await play.answer(done("DELETE 1") + OPEN)
    assert await play.answer(done("COMMIT") + IDLE) == done("DELETE 1") + IDLE
    (name, fields), within = play.notes  # type: ignore[attr-defined]
    assert (name, fields["capsule"], fields["reason"]) == ("undo_capsule", capsule, reason)
    assert within[1]["outcome"] == "within"


@pytest.mark.parametrize("fault", [OurFault("the disk is full"), REFUSED])
async def test_what_cannot_be_kept_does_not_stand(play: Playbook, fault: Exception) -> None:
    play.legs.keeper = Keeper(after=fault)  # type: ignore[assignment]
    await begun(play)
    play.up.receive(done("DELETE 1") + OPEN)
    assert (await play.sent()).endswith(messages.query(b"ROLLBACK"))
    heard = await play.answer(done("ROLLBACK") + IDLE)
    assert types(heard) == "EZ" and "could not be kept" in error_of(heard)["D"]
    assert "Narrow it" not in error_of(heard)["H"], "that would not help"
    assert outcomes(play) == ["not kept"], "and nothing on record says that it was let stand"


async def test_what_the_server_refuses_the_keeper_it_refuses_the_statement(play: Playbook) -> None:
    play.legs.keeper = Keeper(before=REFUSED)  # type: ignore[assignment]
    await play.say(DELETE)
    play.up.receive(done("BEGIN") + OPEN)
    assert await play.sent() == messages.query(b"ROLLBACK")
    assert await play.answer(done("ROLLBACK") + IDLE) == ERROR + IDLE


async def test_in_a_batch_that_what_is_asked_after_it_fails_the_refusal_comes_at_once(play: Playbook) -> None:
    """The server discards until Sync: a message that is made to fail would never be answered."""

    class Asking(Keeper):
        async def after(self, kept: Kept, rows: int | None, approval: str, verb: str) -> Any:
            await inner.ask(play.legs, "SELECT 1")

    play.legs.keeper = Asking()  # type: ignore[assignment]
    await play.say(BATCH + messages.execute(b"") + BATCH + messages.execute(b"") + messages.SYNC)
    play.up.receive(PREPARED)
    await play.sent()
    play.up.receive(done("DELETE 1"))
    assert types(await play.sent()) == "CPBECCH"
    play.up.receive(messages.CLOSE_COMPLETE + ERROR)
    assert await play.sent() == messages.SYNC, "what follows is skipped, here and there"
    heard = play.heard() + await play.answer(IDLE)
    assert types(heard) == "12EZ" and error_of(heard)["C"] == "XB004" and "could not be kept" in error_of(heard)["D"]
    assert outcomes(play) == ["not kept"]
