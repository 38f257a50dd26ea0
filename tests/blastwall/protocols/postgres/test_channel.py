"""The channel against played bytes: order, names, refusals, COPY; the wire rows W2 to W12 of the threat catalogue."""

from __future__ import annotations

import asyncio

import pytest

from blastwall.errors import UpstreamFault
from blastwall.masking.plan import Treatment
from blastwall.model import Parameter, Permit
from blastwall.protocols.postgres import messages, replies
from blastwall.protocols.postgres.channel import TURN
from blastwall.protocols.postgres.inflow import PIECES
from blastwall.protocols.postgres.legs import POISON, ClientGone
from tests.blastwall.protocols.postgres.playbook import Playbook, frames, types, written

IDLE, OPEN, FAILED = (messages.ready_for_query(status) for status in (b"I", b"T", b"E"))


def parse(name: bytes, text: bytes) -> bytes:
    return messages.parse(name, text, ())


def bind(portal: bytes, statement: bytes) -> bytes:
    return messages.bind(portal, statement, (), (), ())


def syntax_error() -> bytes:
    return messages.error_response("ERROR", "42601", 'syntax error at or near "blastwall"')


def error_of(data: bytes) -> dict[str, str]:
    return next(replies.error_fields(frame) for frame in frames(data) if frame[:1] == b"E")


async def test_a_permitted_query_travels_both_ways_as_it_is() -> None:
    async with Playbook() as play:
        query = messages.query(b"SELECT 1")
        assert await play.say(query) == query
        answer = messages.data_row((b"1",)) + messages.command_complete("SELECT 1") + IDLE
        assert await play.answer(answer) == answer
        assert [(c.rows, c.tag, c.statement) for c in play.chunks] == [(1, "SELECT 1", 1)]


async def test_a_denied_query_reaches_nobody_and_the_session_goes_on() -> None:
    async with Playbook() as play:
        assert await play.say(messages.query(b"DROP TABLE t")) == b""
        heard = play.heard()
        assert types(heard) == "EZ"
        assert error_of(heard)["C"] == "42501"
        assert "no-drop" in error_of(heard)["M"]
        assert await play.say(messages.query(b"SELECT 1")) == messages.query(b"SELECT 1")


async def test_a_denial_inside_a_transaction_fails_the_servers_transaction_too() -> None:
    async with Playbook() as play:
        await play.say(messages.query(b"BEGIN"))
        await play.answer(messages.command_complete("BEGIN") + OPEN)
        assert await play.say(messages.query(b"DROP TABLE t")) == messages.query(POISON)
        heard = await play.answer(syntax_error() + FAILED)
        assert types(heard) == "EZ"
        assert error_of(heard)["C"] == "42501"
        assert heard.endswith(FAILED)


async def test_w4_after_a_denied_parse_nothing_runs_before_sync() -> None:
    async with Playbook() as play:
        first = parse(b"", b"INSERT INTO t VALUES (1)") + bind(b"", b"") + messages.execute(b"") + messages.SYNC
        assert types(await play.say(first)) == "PBES"
        await play.answer(
            messages.PARSE_COMPLETE + messages.BIND_COMPLETE + messages.command_complete("INSERT 0 1") + IDLE
        )
        second = parse(b"", b"DROP TABLE t") + bind(b"", b"") + messages.execute(b"") + messages.SYNC
        assert types(await play.say(second)) == "S", "only Sync may follow a refusal"
        heard = await play.answer(IDLE)
        assert types(heard) == "EZ"
        # and the earlier unnamed statement is gone for the client, as it would be at the server
        assert types(await play.say(bind(b"", b"") + messages.SYNC)) == "S"
        assert error_of(play.heard() + await play.answer(IDLE))["C"] == "26000"


async def test_w4_a_denial_behind_a_permitted_statement_undoes_the_batch() -> None:
    async with Playbook() as play:
        batch = (
            parse(b"", b"INSERT INTO t VALUES (1)")
            + bind(b"", b"")
            + messages.execute(b"")
            + parse(b"", b"DROP TABLE t")
            + bind(b"", b"")
            + messages.execute(b"")
            + messages.SYNC
        )
        sent = await play.say(batch)
        assert types(sent) == "PBEPS"
        assert POISON in sent
        heard = await play.answer(
            messages.PARSE_COMPLETE
            + messages.BIND_COMPLETE
            + messages.command_complete("INSERT 0 1")
            + syntax_error()
            + IDLE
        )
        assert types(heard) == "12CEZ"
        assert error_of(heard)["C"] == "42501"


async def test_w4_a_denial_behind_flushed_answers_undoes_the_batch_too() -> None:
    async with Playbook() as play:
        insert = parse(b"", b"INSERT INTO t VALUES (1)") + bind(b"", b"") + messages.execute(b"")
        await play.say(insert + messages.FLUSH)
        done = messages.PARSE_COMPLETE + messages.BIND_COMPLETE + messages.command_complete("INSERT 0 1")
        assert types(await play.answer(done)) == "12C"
        sent = await play.say(parse(b"", b"DROP TABLE t") + messages.SYNC)
        assert types(sent) == "PS" and POISON in sent, "until Sync it is one transaction: the server must fail it"
        heard = await play.answer(syntax_error() + IDLE)
        assert types(heard) == "EZ" and error_of(heard)["C"] == "42501"
        assert await play.say(parse(b"", b"DROP TABLE t") + messages.SYNC) == messages.SYNC, "now nothing is open"


async def test_only_the_first_write_of_an_open_batch_waits_for_a_person() -> None:
    async with Playbook() as play:
        write = parse(b"", b"INSERT INTO t VALUES (1)") + bind(b"", b"")
        done = messages.PARSE_COMPLETE + messages.BIND_COMPLETE + messages.command_complete("INSERT 0 1")
        await play.say(write + messages.execute(b"") + messages.FLUSH)
        await play.answer(done)
        await play.say(write + messages.SYNC)
        await play.answer(messages.PARSE_COMPLETE + messages.BIND_COMPLETE + IDLE)
        await play.say(write)
        assert [waits for statement, waits in play.judged if statement.kind == "execute"] == [True, False, True]


async def test_w5_a_query_after_an_error_and_before_sync_is_ignored() -> None:
    async with Playbook() as play:
        assert await play.say(parse(b"", b"DROP TABLE t") + messages.query(b"SELECT 1")) == b""
        assert await play.say(messages.SYNC) == messages.SYNC
        assert len(play.judged) == 1


async def test_w6_a_simple_query_destroys_the_unnamed_statement() -> None:
    async with Playbook() as play:
        await play.say(parse(b"", b"SELECT 1") + messages.SYNC)
        await play.answer(messages.PARSE_COMPLETE + IDLE)
        await play.say(messages.query(b"SELECT 2"))
        await play.answer(messages.command_complete("SELECT 1") + IDLE)
        assert types(await play.say(bind(b"", b"") + messages.SYNC)) == "S"
        assert error_of(play.heard() + await play.answer(IDLE))["C"] == "26000"


async def test_w2_a_name_never_means_another_text_upstream() -> None:
    async with Playbook() as play:
        one = await play.say(parse(b"s", b"SELECT 1") + messages.SYNC)
        await play.answer(messages.PARSE_COMPLETE + IDLE)
        await play.say(messages.close(b"S", b"s") + messages.SYNC)
        await play.answer(messages.CLOSE_COMPLETE + IDLE)
        two = await play.say(parse(b"s", b"SELECT 2") + messages.SYNC)
        name_one, name_two = (sent[5:].split(b"\0")[0] for sent in (one, two))
        assert name_one != name_two
        assert name_one != b"s"


async def test_w2_the_client_sees_its_own_names_in_errors() -> None:
    async with Playbook() as play:
        sent = await play.say(parse(b"mine", b"SELECT 1") + messages.SYNC)
        upstream = sent[5:].split(b"\0")[0].decode()
        heard = await play.answer(
            messages.error_response("ERROR", "26000", f'prepared statement "{upstream}" does not exist') + IDLE
        )
        assert error_of(heard)["M"] == 'prepared statement "mine" does not exist'


async def test_a_closed_name_that_the_server_skipped_still_exists() -> None:
    async with Playbook() as play:
        await play.say(parse(b"s", b"SELECT 1") + messages.SYNC)
        await play.answer(messages.PARSE_COMPLETE + IDLE)
        batch = parse(b"", b"SELECT broken") + messages.close(b"S", b"s") + parse(b"s", b"SELECT 2") + messages.SYNC
        assert types(await play.say(batch)) == "PCPS"
        await play.answer(messages.error_response("ERROR", "42703", "no such column") + IDLE)
        assert play.names.prepared["s"].text == "SELECT 1"
        assert "" not in play.names.prepared


async def test_w3_portals_are_renamed_and_die_with_the_transaction() -> None:
    async with Playbook() as play:
        sent = await play.say(parse(b"", b"SELECT 1") + bind(b"cur", b"") + messages.execute(b"cur", 1) + messages.SYNC)
        assert b"cur" not in sent
        row = messages.data_row((b"1",))
        await play.answer(messages.PARSE_COMPLETE + messages.BIND_COMPLETE + row + messages.PORTAL_SUSPENDED + IDLE)
        assert types(await play.say(messages.execute(b"cur") + messages.SYNC)) == "S"
        assert error_of(play.heard() + await play.answer(IDLE))["C"] == "34000"


async def test_w7_each_pipelined_query_is_judged_on_its_own_and_in_order() -> None:
    async with Playbook() as play:
        assert await play.say(messages.query(b"SELECT 1") + messages.query(b"DROP TABLE t")) == messages.query(
            b"SELECT 1"
        )
        assert len(play.judged) == 1, "the second waits for the first one's end"
        heard = await play.answer(messages.command_complete("SELECT 1") + IDLE)
        assert types(heard) == "CZEZ"
        assert [s.text for s, _ in play.judged] == ["SELECT 1", "DROP TABLE t"]


async def test_only_a_single_unpipelined_statement_may_be_held() -> None:
    async with Playbook() as play:
        await play.say(messages.query(b"SELECT 1"))
        await play.answer(messages.command_complete("SELECT 1") + IDLE)
        whole = parse(b"", b"DELETE FROM t") + bind(b"", b"") + messages.execute(b"") + messages.SYNC
        await play.say(whole)
        await play.answer(
            messages.PARSE_COMPLETE + messages.BIND_COMPLETE + messages.command_complete("DELETE 1") + IDLE
        )
        await play.say(whole + whole)
        held = [interactive for _, interactive in play.judged]
        assert held[0] is True
        assert held[2] is True, "Bind of a lone batch"
        assert held[4] is False, "Bind with another batch behind it"


async def test_nothing_is_held_once_the_transaction_has_written() -> None:
    async with Playbook() as play:
        await play.say(messages.query(b"BEGIN"))
        await play.answer(messages.command_complete("BEGIN") + OPEN)
        await play.say(messages.query(b"INSERT INTO t VALUES (1)"))
        await play.answer(messages.command_complete("INSERT 0 1") + OPEN)
        await play.say(messages.query(b"DELETE FROM t WHERE id = 1"))
        assert [interactive for _, interactive in play.judged] == [True, True, False]


async def test_w9_rows_without_a_describe_are_relayed_and_counted() -> None:
    async with Playbook() as play:
        await play.say(parse(b"", b"SELECT 1") + bind(b"", b"") + messages.execute(b"") + messages.SYNC)
        rows = messages.data_row((b"1",)) * 3
        await play.answer(
            messages.PARSE_COMPLETE + messages.BIND_COMPLETE + rows + messages.command_complete("SELECT 3") + IDLE
        )
        assert sum(chunk.rows for chunk in play.chunks) == 3


async def test_w1_function_call_ends_the_connection() -> None:
    async with Playbook() as play:
        body = b"\0\0\x03\xe8" + b"\0\0" + b"\0\0" + b"\0\0"
        assert await play.say(b"F" + (len(body) + 4).to_bytes(4, "big") + body) == b""
        error = error_of(play.heard())
        assert (error["S"], error["C"]) == ("FATAL", "42501")
        assert play.task.done()


COPYING = b"G" + (7).to_bytes(4, "big") + b"\0\0\0"


async def test_copy_in_carries_data_only_while_the_server_asks_for_it() -> None:
    async with Playbook() as play:
        assert await play.say(messages.copy_data(b"stray\n")) == b""
        await play.say(messages.query(b"COPY t FROM STDIN"))
        await play.answer(COPYING)
        sent = await play.say(messages.copy_data(b"1\n") + messages.copy_data(b"2\n") + messages.COPY_DONE)
        assert sent == messages.copy_data(b"1\n2\n") + messages.COPY_DONE
        heard = await play.answer(messages.command_complete("COPY 2") + IDLE)
        assert types(heard) == "CZ"
        assert play.chunks[1].data == b"1\n2\n", "what was sent is on the record's way too"


async def test_w12_a_query_during_copy_in_ends_the_connection() -> None:
    async with Playbook() as play:
        await play.say(messages.query(b"COPY t FROM STDIN"))
        await play.answer(COPYING)
        assert await play.say(messages.query(b"SELECT 1")) == b""
        error = error_of(play.heard())
        assert (error["S"], error["C"]) == ("FATAL", "08P01")


async def test_copy_in_of_an_extended_batch_swallows_the_sync_before_it() -> None:
    async with Playbook() as play:
        await play.say(parse(b"", b"COPY t FROM STDIN") + bind(b"", b"") + messages.execute(b"") + messages.SYNC)
        await play.answer(messages.PARSE_COMPLETE + messages.BIND_COMPLETE + COPYING)
        sent = await play.say(messages.copy_data(b"1\n") + messages.COPY_DONE + messages.SYNC)
        assert types(sent) == "dcS"
        heard = await play.answer(messages.command_complete("COPY 1") + IDLE)
        assert types(heard) == "CZ"
        assert play.answers.quiescent


async def test_an_answer_nobody_asked_for_is_a_fault_of_the_server() -> None:
    async with Playbook() as play:
        await play.answer(messages.data_row((b"1",)))
        assert isinstance(play.fault, UpstreamFault)


async def test_w21_a_pinned_setting_that_changes_ends_the_session() -> None:
    async with Playbook() as play:
        await play.say(messages.query(b"SELECT 1"))
        heard = await play.answer(messages.parameter_status("standard_conforming_strings", "off"))
        assert isinstance(play.fault, UpstreamFault)
        assert heard == b""


async def test_w21_notifications_are_dropped_unless_listening_is_allowed() -> None:
    async with Playbook() as play:
        body = (1).to_bytes(4, "big") + b"channel\0payload\0"
        note = b"A" + (len(body) + 4).to_bytes(4, "big") + body
        assert await play.answer(note) == b""
        assert play.fault is None


async def test_w23_leaving_stages_nothing() -> None:
    async with Playbook() as play:
        assert await play.say(messages.TERMINATE) == b""
        assert play.task.done()
        assert play.fault is None


async def test_invalid_utf8_is_spoiled_and_never_mistaken_for_its_escaped_form() -> None:
    async with Playbook(lambda statement: Permit(statement.text)) as play:
        await play.say(messages.query(b"SELECT '\xc0\x27'"))
        assert 1 in play.reader.spoiled


async def test_parameters_of_a_type_of_somebodys_own_spoil_what_they_are_declared_for() -> None:
    async with Playbook() as play:
        await play.say(messages.parse(b"", b"SELECT $1", (99_999,)) + messages.SYNC)
        assert 1 in play.reader.spoiled
        await play.say(messages.parse(b"", b"SELECT $1", (23,)) + messages.SYNC)
        assert 2 not in play.reader.spoiled


async def test_results_flow_while_a_long_pipeline_is_still_being_read() -> None:
    """A server whose output fills up stops reading: the gateway must relay before Sync arrives."""
    async with Playbook() as play:
        await play.say(parse(b"", b"SELECT 1") + bind(b"", b"") + messages.execute(b""))
        heard = await play.answer(messages.PARSE_COMPLETE + messages.BIND_COMPLETE + messages.data_row((b"1",)))
        assert types(heard) == "12D"


async def test_parse_describe_flush_is_answered_without_a_sync() -> None:
    async with Playbook() as play:
        sent = await play.say(parse(b"s", b"SELECT 1") + messages.describe(b"S", b"s") + messages.FLUSH)
        assert types(sent) == "PDH"
        answer = messages.PARSE_COMPLETE + messages.parameter_description(()) + messages.NO_DATA
        assert await play.answer(answer) == answer


@pytest.mark.parametrize(("size", "slow"), [(1, False), (2, False), (3, False), (7, False), (7, True), (1 << 20, True)])
async def test_the_chop_test_any_cut_of_both_streams_gives_the_same_bytes(size: int, slow: bool) -> None:
    """... and so does a road on which everything has to be waited for."""
    client = (
        messages.query(b"BEGIN")
        + parse(b"s", b"SELECT 1")
        + bind(b"", b"s")
        + messages.describe(b"P", b"")
        + messages.execute(b"")
        + messages.SYNC
        + messages.query(b"DROP TABLE t")
        + messages.query(b"COMMIT")
    )
    server = [
        messages.command_complete("BEGIN") + OPEN,
        messages.PARSE_COMPLETE
        + messages.BIND_COMPLETE
        + messages.NO_DATA
        + messages.data_row((b"1",))
        + messages.command_complete("SELECT 1")
        + OPEN,
        syntax_error() + FAILED,
        messages.command_complete("ROLLBACK") + IDLE,
    ]

    async def play_it(cut: int, slow: bool) -> tuple[bytes, bytes]:
        sent = heard = b""
        async with Playbook() as play:
            play.slow = slow
            for start in range(0, len(client), cut):
                sent += await play.say(client[start : start + cut])
            for answer in server:
                for start in range(0, len(answer), cut):
                    heard += await play.answer(answer[start : start + cut])
                    sent += written(play.up_wire)
            assert play.fault is None
        return sent, heard

    assert await play_it(size, slow) == await play_it(1 << 20, False)


async def test_bound_values_for_masked_columns_are_marked_as_withheld() -> None:
    text = "SELECT id FROM people WHERE ssn = $1 AND id = $2"
    async with Playbook() as play:
        play.reader.treatments = {text: (Treatment(True, None, frozenset({1})),)}
        bound = messages.bind(b"", b"", parameters=(b"CANARY", b"7"))
        await play.say(messages.parse(b"", text.encode()) + bound + messages.SYNC)
    (_, (asked, _)) = play.judged
    assert asked.parameters == (Parameter(b"CANARY", withheld=True), Parameter(b"7"))


async def test_a_client_that_takes_nothing_holds_up_its_own_results_and_no_more() -> None:
    async with Playbook() as play:
        await play.say(messages.query(b"SELECT 1"))
        play.down_wire.choked = True
        assert await play.answer(messages.data_row((b"1",))) == messages.data_row((b"1",))
        assert await play.answer(messages.data_row((b"2",))) == b"", "the next chunk waits"
        play.down_wire.resume_writing()
        await play.settle()
        assert play.heard() == messages.data_row((b"2",))
        play.down_wire.choked = True
        await play.answer(messages.data_row((b"3",)))
        play.down_wire.connection_lost(None)
        await play.settle()
        assert isinstance(play.fault, ClientGone)


async def test_what_a_step_raises_ends_the_task_and_not_the_wire() -> None:
    async with Playbook() as play:
        await play.say(messages.query(b"SELECT 1"))
        play.up.receive(b"?\0\0\0\x04")
        play.up_wire.data_received(b"its engine is fed already")
        await play.settle()
        assert isinstance(play.fault, UpstreamFault)
        play.down_wire.data_received(b"nobody is there any more")
        assert play.task.done()


async def test_others_have_their_turn_between_messages_that_wait_for_nothing() -> None:
    """A client may send 100,000 messages at once: what is at hand is not done in one go."""
    async with Playbook() as play:
        most = sent = 0
        play.down.receive(messages.query(b"DROP TABLE t") * 500)
        play.signal.set()
        while sent < 500:
            await asyncio.sleep(0)
            before, sent = sent, sent + types(play.heard()).count("E")
            most = max(most, sent - before)
        assert 0 < most <= 2 * TURN  # one turn where it arrives, one of its task


async def test_others_have_their_turn_while_a_client_copies() -> None:
    async with Playbook() as play:
        await play.say(messages.query(b"COPY t FROM STDIN"))
        await play.answer(messages.copy_response(b"G", 0, (0,)))
        play.down.receive(messages.copy_data(b"") * 200 * PIECES + messages.copy_data(b"1\n"))
        play.signal.set()
        turns = 0
        while b"1\n" not in written(play.up_wire):
            await asyncio.sleep(0)
            turns += 1
        assert turns >= 200 // TURN, "empty pieces are pieces"
