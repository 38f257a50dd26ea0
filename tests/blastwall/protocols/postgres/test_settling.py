"""In the midst of a batch what was asked is answered before anything is judged or dropped that depends on it."""

from __future__ import annotations

from blastwall.protocols.postgres import messages, replies
from blastwall.protocols.postgres.looking import Cancelled
from tests.blastwall.protocols.postgres.playbook import Playbook, frames, types, written

IDLE = messages.ready_for_query(b"I")
MADE = messages.PARSE_COMPLETE + messages.BIND_COMPLETE + messages.command_complete("CREATE TABLE")
NAMED = messages.PARSE_COMPLETE + messages.BIND_COMPLETE


def run(text: bytes, portal: bytes = b"") -> bytes:
    return messages.parse(b"", text, ()) + messages.bind(portal, b"", (), (), ()) + messages.execute(portal)


def failed() -> bytes:
    return messages.error_response("ERROR", "42P07", 'relation "t" already exists')


async def test_what_comes_behind_a_definition_waits_until_its_answer_was_looked_at() -> None:
    async with Playbook() as play:
        batch = run(b"CREATE TABLE t (a int)") + run(b"SELECT * FROM t") + messages.SYNC
        assert types(await play.say(batch)) == "PBEH"
        assert len(play.judged) == 2
        assert play.reader.caught_up == 0
        heard = await play.answer(MADE)
        assert heard == MADE
        assert play.reader.caught_up == 1
        assert types(written(play.legs.up_wire)) == "PBES", "and then the rest goes on by itself"
        assert len(play.judged) == 4
        await play.answer(NAMED + messages.command_complete("SELECT 0") + IDLE)


async def test_a_definition_that_ends_its_batch_asks_for_nothing_more() -> None:
    async with Playbook() as play:
        assert types(await play.say(run(b"CREATE TABLE t (a int)") + messages.SYNC)) == "PBES"
        await play.answer(MADE + IDLE)
        assert types(await play.say(run(b"SELECT * FROM t") + messages.SYNC)) == "PBES"
        assert play.reader.caught_up == 0, "between batches that is looked at anyway"
        await play.answer(NAMED + messages.command_complete("SELECT 0") + IDLE)


async def test_where_it_fails_the_server_passes_over_the_rest_and_so_does_the_gateway() -> None:
    async with Playbook() as play:
        await play.say(run(b"CREATE TABLE t (a int)") + run(b"DELETE FROM t") + run(b"DELETE FROM t") + messages.SYNC)
        heard = await play.answer(NAMED + failed())
        assert types(heard) == "12E"
        assert types(written(play.legs.up_wire)) == "S"
        assert len(play.judged) == 2, "nobody is asked about what does not run"
        assert play.reader.caught_up == 0
        assert await play.answer(IDLE) == IDLE


async def test_a_cancel_that_hits_the_look_fails_the_batch_and_not_the_session() -> None:
    async with Playbook() as play:
        told = messages.error_response("ERROR", "57014", "canceling statement due to user request")

        async def cancelled() -> None:
            play.legs.answers.skipping = True
            raise Cancelled(told)

        play.reader.catch_up = cancelled  # type: ignore[method-assign]
        await play.say(run(b"CREATE TABLE t (a int)") + run(b"DELETE FROM t") + messages.SYNC)
        assert await play.answer(MADE) == MADE + told
        assert types(written(play.legs.up_wire)) == "S"
        assert len(play.judged) == 2
        assert await play.answer(IDLE) == IDLE


async def test_a_portal_that_was_made_before_is_looked_behind_too() -> None:
    async with Playbook() as play:
        await play.say(run(b"CREATE TABLE t (a int)", b"p")[: -len(messages.execute(b"p"))] + messages.FLUSH)
        await play.answer(NAMED)
        sent = await play.say(messages.execute(b"p") + messages.query(b"SELECT * FROM t"))
        assert types(sent) == "EH"
        await play.answer(messages.command_complete("CREATE TABLE"))
        assert play.reader.caught_up == 1
        assert types(written(play.legs.up_wire)) == "Q"
        await play.answer(messages.command_complete("SELECT 0") + IDLE)


async def test_a_copys_data_may_come_right_behind_its_execute() -> None:
    async with Playbook() as play:
        copy = run(b"COPY t FROM STDIN") + messages.copy_data(b"1\n") + messages.COPY_DONE + messages.SYNC
        assert types(await play.say(copy)) == "PBEH", "they go on only once the server wants them"
        heard = await play.answer(NAMED + messages.copy_response(b"G", 0, (0,)))
        assert types(heard) == "12G"
        assert types(written(play.legs.up_wire)) == "dcS"
        assert types(await play.answer(messages.command_complete("COPY 1") + IDLE)) == "CZ"


async def test_another_statement_where_a_copy_wants_its_data_ends_the_connection() -> None:
    async with Playbook() as play:
        copy = messages.parse(b"", b"COPY t FROM STDIN", ()) + messages.bind(b"c", b"", (), (), ())
        await play.say(copy + messages.FLUSH)
        await play.answer(NAMED)
        await play.say(run(b"CREATE TABLE t (a int)") + messages.execute(b"c") + run(b"SELECT 1"))
        heard = await play.answer(MADE + messages.copy_response(b"G", 0, (0,)))
        errors = [replies.error_fields(frame) for frame in frames(heard) if frame[:1] == b"E"]
        assert [(fields["S"], fields["C"]) for fields in errors] == [("FATAL", "08P01")]
        assert len(play.judged) == 4, "it was not judged"
