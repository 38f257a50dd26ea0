"""The sink's net under a connection: what a server sends for a statement over masked columns, and what of it arrives.

The engines and the channel are the real ones; the server is played, honest or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from blastwall.errors import UpstreamFault
from blastwall.masking.detectors import detectors
from blastwall.masking.plan import Mask, Output, Plan, Predicates, Strategy, Treatment
from blastwall.masking.rules import Detectors as Found
from blastwall.masking.rules import Rule, Rules
from blastwall.protocols.postgres import messages, replies
from blastwall.protocols.postgres.net import Net, net_for
from tests.blastwall.protocols.postgres.playbook import Playbook, frames, types, written

CANARY = b"078-05-1120"
CUSTOMERS, ORDERS = 1000, 2000
SSN = Mask("public.customers.ssn", Strategy.REDACT, Predicates.DENY, "'***'", "masking.yaml:1", 25)
EMAIL = Mask("public.customers.email", Strategy.HASH, Predicates.DENY, "'***'", "masking.yaml:2", 25)
PLAN = Plan({CUSTOMERS: {2: SSN, 3: EMAIL}}, version="1")

BARE = "SELECT id, email FROM customers"
MASKED = "SELECT ssn FROM customers"
PLAIN = "SELECT total FROM orders"
WRITE = "UPDATE customers SET id = 1"
TREATMENTS = {
    BARE: (Treatment(True, (Output("id", origin=(CUSTOMERS, 1)), Output("email", sink=EMAIL, origin=(CUSTOMERS, 3)))),),
    MASKED: (Treatment(True, (Output("ssn", masks=(SSN,), origin=(0, 0)),)),),
    WRITE: (Treatment(True),),
    f"{PLAIN}; {BARE}": (Treatment(),),
}
TREATMENTS[f"{PLAIN}; {BARE}"] = (*TREATMENTS[f"{PLAIN}; {BARE}"], *TREATMENTS[BARE])

IDLE, INSIDE = messages.ready_for_query(b"I"), messages.ready_for_query(b"T")


def layout(*columns: tuple[int, int], type_id: int = 25, format: int = 0) -> bytes:
    return messages.row_description([("c", table, number, type_id, -1, -1, format) for table, number in columns])


GOOD = layout((CUSTOMERS, 1), (CUSTOMERS, 3))
ROW = messages.data_row((b"1", CANARY))
DONE = messages.command_complete("SELECT 1")


class Heard(list[tuple[str, Mapping[str, object]]]):
    def __call__(self, name: str, fields: Mapping[str, object]) -> None:
        self.append((name, fields))


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def play(heard: Heard) -> Any:
    net = Net(detectors(), lambda mask, text: f"<{text[-2:]}>", lambda: PLAN)
    net.note = heard
    async with Playbook(net=net) as playing:
        playing.reader.treatments = TREATMENTS
        yield playing


def rows(data: bytes) -> list[tuple[bytes | None, ...]]:
    return [replies.data_row(frame) for frame in frames(data) if frame[:1] == b"D"]


def errors(data: bytes) -> list[str]:
    return [replies.error_fields(frame)["C"] for frame in frames(data) if frame[:1] == b"E"]


BATCH = messages.bind(b"", b"") + messages.execute(b"") + messages.SYNC


# ------------------------------------------------------------ rows


async def test_simple_queries_are_masked_result_by_result(play: Playbook, heard: Heard) -> None:
    await play.say(messages.query(f"{PLAIN}; {BARE}".encode()))
    plain = layout((ORDERS, 2)) + messages.data_row((b"5",)) + DONE
    told = await play.answer(plain + GOOD + ROW + DONE + IDLE)
    assert types(told) == "TDCTDCZ"
    assert rows(told) == [(b"5",), (b"1", b"<20>")]
    assert heard == [("masked", {"statement": 1, "columns": {"2": "public.customers.email (hash)"}})]


async def test_byte_for_byte_it_is_the_same(play: Playbook) -> None:
    await play.say(messages.query(BARE.encode()))
    told = b"".join([await play.answer(bytes([byte])) for byte in GOOD + ROW * 3 + DONE + IDLE])
    assert rows(told) == [(b"1", b"<20>")] * 3
    assert types(told) == "TDDDCZ"


async def test_a_portal_that_nobody_describes_is_described_for_the_gateway(play: Playbook) -> None:
    sent = await play.say(messages.parse(b"", BARE.encode()) + BATCH)
    assert types(sent) == "PBDES", "the gateway's own Describe stands before Execute"
    answered = messages.PARSE_COMPLETE + messages.BIND_COMPLETE + GOOD + ROW + DONE + IDLE
    told = await play.answer(answered)
    assert types(told) == "12DCZ", "its answer is hidden"
    assert rows(told) == [(b"1", b"<20>")]


async def test_an_error_at_the_gateways_own_description_is_the_clients(play: Playbook) -> None:
    """In a failed transaction a server refuses Describe already; a client that hears nothing waits for ever."""
    await play.say(messages.parse(b"", PLAIN.encode()) + BATCH)
    aborted = messages.error_response("ERROR", "25P02", "current transaction is aborted")
    told = await play.answer(messages.PARSE_COMPLETE + messages.BIND_COMPLETE + aborted + IDLE)
    assert types(told) == "12EZ"
    assert errors(told) == ["25P02"]


async def test_a_portal_that_the_client_describes_is_not_asked_for_twice(play: Playbook) -> None:
    batch = messages.bind(b"", b"") + messages.describe(b"P", b"") + messages.execute(b"") + messages.SYNC
    sent = await play.say(messages.parse(b"", BARE.encode()) + batch)
    assert types(sent) == "PBDES"
    told = await play.answer(messages.PARSE_COMPLETE + messages.BIND_COMPLETE + GOOD + ROW + DONE + IDLE)
    assert types(told) == "12TDCZ"
    assert rows(told) == [(b"1", b"<20>")]


async def test_rows_in_parts_go_on_with_the_portals_own_sheet(play: Playbook) -> None:
    batch = messages.bind(b"", b"") + messages.execute(b"", 1) + messages.execute(b"", 1) + messages.SYNC
    sent = await play.say(messages.parse(b"", BARE.encode()) + batch)
    assert types(sent) == "PBDEES"
    answered = messages.PARSE_COMPLETE + messages.BIND_COMPLETE + GOOD
    told = await play.answer(answered + (ROW + messages.PORTAL_SUSPENDED) * 2 + IDLE)
    assert types(told) == "12DsDsZ"
    assert rows(told) == [(b"1", b"<20>")] * 2


async def test_an_untouched_statement_is_described_once_under_its_name(play: Playbook) -> None:
    """What it returns is looked into by type, so the types must be known; after that nothing is added."""
    naming = messages.parse(b"s", PLAIN.encode()) + messages.describe(b"S", b"s") + messages.SYNC
    await play.say(naming)
    plain = layout((ORDERS, 2), (ORDERS, 3))
    await play.answer(messages.PARSE_COMPLETE + messages.parameter_description(()) + plain + IDLE)
    sent = await play.say(messages.bind(b"", b"s", result_formats=(1,)) + messages.execute(b"") + messages.SYNC)
    assert types(sent) == "BES"
    told = await play.answer(messages.BIND_COMPLETE + messages.data_row((b"a@example.com", b"x")) + DONE + IDLE)
    assert rows(told) == [(b"*" * 13, b"x")]
    sent = await play.say(messages.parse(b"", PLAIN.encode()) + BATCH)
    assert types(sent) == "PBDES"


async def test_a_description_holds_for_one_result(play: Playbook) -> None:
    await play.say(messages.query(f"{PLAIN}; {BARE}".encode()))
    plain = layout((ORDERS, 2)) + messages.data_row((b"5",)) + DONE
    told = await play.answer(plain + messages.data_row((CANARY,)) + DONE + IDLE)
    assert isinstance(play.fault, UpstreamFault)
    assert CANARY not in told


async def test_rows_that_nobody_described_end_the_session(play: Playbook) -> None:
    await play.say(messages.query(BARE.encode()))
    assert await play.answer(ROW) == b""
    assert isinstance(play.fault, UpstreamFault)


# ------------------------------------------------------------ disagreement


@pytest.mark.parametrize(
    "described",
    [
        layout((ORDERS, 1), (CUSTOMERS, 3)),  # a swapped table
        layout((CUSTOMERS, 1), (0, 0)),
        layout((CUSTOMERS, 1), (CUSTOMERS, 2)),
        layout((CUSTOMERS, 1)),
        layout((CUSTOMERS, 1), (CUSTOMERS, 3), (CUSTOMERS, 4)),
    ],
)
async def test_nothing_of_a_result_that_was_not_judged_is_shown(play: Playbook, heard: Heard, described: bytes) -> None:
    await play.say(messages.query(BARE.encode()))
    told = await play.answer(described + ROW * 5 + DONE + IDLE)
    assert types(told) == "EZ"
    assert errors(told) == ["42501"]
    assert CANARY not in told
    assert heard[0][0] == "withheld"
    await play.say(messages.query(BARE.encode()))
    assert types(await play.answer(GOOD + ROW + DONE + IDLE)) == "TDCZ", "the next one is judged by itself"


async def test_an_untouched_statement_that_brings_a_masked_column_is_withheld(play: Playbook) -> None:
    await play.say(messages.query(PLAIN.encode()))
    told = await play.answer(layout((CUSTOMERS, 2)) + messages.data_row((CANARY,)) + DONE + IDLE)
    assert types(told) == "EZ"
    sent = await play.say(messages.parse(b"", PLAIN.encode()) + BATCH)
    assert types(sent) == "PBDES"
    swapped = layout((CUSTOMERS, 2)) + messages.data_row((CANARY,))
    told = await play.answer(messages.PARSE_COMPLETE + messages.BIND_COMPLETE + swapped + DONE + IDLE)
    assert types(told) == "12EZ"


async def test_a_batch_that_is_still_open_fails_at_the_server_too(play: Playbook) -> None:
    """What the batch wrote before must not stay, and what the client sends behind it must not run."""
    sent = await play.say(
        messages.parse(b"", BARE.encode()) + messages.bind(b"", b"") + messages.execute(b"") + messages.FLUSH
    )
    assert types(sent) == "PBDEH"
    swapped = layout((ORDERS, 1), (ORDERS, 3)) + ROW + DONE
    told = await play.answer(messages.PARSE_COMPLETE + messages.BIND_COMPLETE + swapped)
    assert types(told) == "12E"
    sent = written(play.up_wire) + await play.say(BATCH)
    assert types(sent) == "PS", (
        "a message that cannot succeed, then the client's Sync; its Bind and Execute are skipped"
    )
    told = await play.answer(messages.error_response("ERROR", "42601", "syntax error") + IDLE)
    assert types(told) == "Z"


async def test_a_naming_that_is_answered_otherwise_is_withheld(play: Playbook) -> None:
    await play.say(messages.parse(b"s", MASKED.encode()) + messages.describe(b"S", b"s") + messages.SYNC)
    answered = messages.PARSE_COMPLETE + messages.parameter_description(()) + layout((CUSTOMERS, 2)) + IDLE
    assert types(await play.answer(answered)) == "1tEZ"


async def test_copied_lines_are_masked_or_withheld(play: Playbook) -> None:
    copy = "COPY (SELECT id, email FROM customers) TO STDOUT (FORMAT csv, HEADER)"
    play.reader.treatments = {**TREATMENTS, copy: TREATMENTS[BARE]}
    copied = messages.copy_response(b"H", 0, (0, 0)) + messages.copy_data(b"id,email\n")
    copied += (messages.copy_data(b"1," + CANARY + b"\n") + messages.copy_data(b"a@example.com,\n")) * 2
    done = messages.COPY_DONE + messages.command_complete("COPY 2") + IDLE
    await play.say(messages.query(copy.encode()))
    told = b"".join([await play.answer((copied + done)[at : at + 1]) for at in range(len(copied + done))])
    lines = [frame[5:] for frame in frames(told) if frame[:1] == b"d"]
    assert lines == [b"id,email\n", b'1,"<20>"\n', b"*************,\n", b'1,"<20>"\n', b"*************,\n"]
    await play.say(messages.query(BARE.encode()))  # not a COPY: its form is not known
    assert types(await play.answer(copied + done)) == "EZ"
    await play.say(messages.query(copy.encode()))
    binary = messages.copy_response(b"H", 1, (1, 1)) + messages.copy_data(b"PGCOPY\n" + CANARY)
    assert types(await play.answer(binary + done)) == "EZ"


async def test_copied_lines_without_masks_at_the_sink_are_looked_into(play: Playbook) -> None:
    await play.say(messages.query(MASKED.encode()))
    copied = messages.copy_response(b"H", 0, (0,)) + messages.copy_data(b"*** a@example.com\n")
    told = await play.answer(copied + messages.COPY_DONE + messages.command_complete("COPY 1") + IDLE)
    assert types(told) == "HdcCZ"
    assert messages.copy_data(b"*** " + b"*" * 13 + b"\n") in told


# ------------------------------------------------------------ words

SPOKEN = messages.error_response("ERROR", "23505", "duplicate", detail=f"Key (ssn)=({CANARY.decode()}) exists.")
NOTICE = messages.notice_response("NOTICE", "00000", CANARY.decode())


async def test_errors_and_notices_of_touched_statements_are_reduced(play: Playbook) -> None:
    await play.say(messages.query(WRITE.encode()))
    told = await play.answer(NOTICE + SPOKEN + IDLE)
    assert types(told) == "NEZ"
    assert CANARY not in told
    assert errors(told) == ["23505"]


async def test_the_rest_of_the_transaction_is_reduced_and_the_next_one_is_not(play: Playbook) -> None:
    """Constraints may be checked at its end; what they say is about rows that were touched before."""
    other = messages.error_response("ERROR", "22012", "division by zero", detail="detail")
    await play.say(messages.query(WRITE.encode()))
    await play.answer(messages.command_complete("UPDATE 1") + INSIDE)
    await play.say(messages.query(b"COMMIT"))
    assert b"detail" not in await play.answer(other + IDLE)
    await play.say(messages.query(PLAIN.encode()))
    assert b"detail" in await play.answer(other + IDLE)


async def test_an_error_at_sync_is_of_what_came_before_it(play: Playbook) -> None:
    await play.say(messages.parse(b"", WRITE.encode()) + BATCH)
    answered = (
        messages.PARSE_COMPLETE + messages.BIND_COMPLETE + messages.NO_DATA + messages.command_complete("UPDATE 1")
    )
    told = await play.answer(answered + SPOKEN + IDLE)
    assert types(told) == "12CEZ"
    assert CANARY not in told


async def test_detectors_look_into_what_is_not_reduced(play: Playbook) -> None:
    await play.say(messages.query(PLAIN.encode()))
    said = messages.error_response("ERROR", "22P02", "invalid input", detail="alice@example.com")
    told = await play.answer(messages.notice_response("NOTICE", "00000", "a@example.com") + said + IDLE)
    assert b"alice" not in told
    assert b"example.com" not in told
    assert errors(told) == ["22P02"]


async def test_what_is_found_is_noted_once_for_each_result(play: Playbook, heard: Heard) -> None:
    await play.say(messages.query(PLAIN.encode()))
    row = messages.data_row((b"a@example.com",)) + messages.data_row((b"+14155552671",))
    await play.answer(layout((ORDERS, 2)) + row * 3 + DONE + IDLE)
    assert [(name, fields["found"], fields["mode"], fields["statement"]) for name, fields in heard] == [
        ("detected", "email", "mask", 1),
        ("detected", "phone", "flag", 1),
    ]
    assert heard[1][1]["reason"] == "a value that looks like this passed: telephone number"


async def test_settings_and_notifications(play: Playbook) -> None:
    play.answers._listening = True
    name = messages.parameter_status("application_name", CANARY.decode())
    style = messages.parameter_status("DateStyle", "ISO, MDY")
    await play.say(messages.query(MASKED.encode()))
    told = await play.answer(name + style + layout((0, 0)) + DONE + IDLE)
    assert types(told) == "STCZ"
    assert style in told
    await play.say(messages.query(PLAIN.encode()))
    assert name in await play.answer(name + layout((ORDERS, 1)) + DONE + IDLE)
    notification = messages.frame(b"A", (7).to_bytes(4, "big") + b"jobs\0" + CANARY + b"\0")
    told = await play.answer(notification)
    assert replies.notification(told) == (7, "jobs", "")


async def test_a_tag_that_is_none_ends_the_session(play: Playbook) -> None:
    await play.say(messages.query(MASKED.encode()))
    await play.answer(layout((0, 0)) + messages.command_complete("SELECT " + CANARY.decode()))
    assert isinstance(play.fault, UpstreamFault)
    assert CANARY not in play.heard()


async def test_without_masking_nothing_is_added_or_looked_at() -> None:
    async with Playbook() as plain:
        sent = await plain.say(messages.parse(b"", BARE.encode()) + BATCH)
        assert types(sent) == "PBES"
        answered = messages.PARSE_COMPLETE + messages.BIND_COMPLETE + ROW + DONE + IDLE
        assert await plain.answer(answered) == answered
        assert all(chunk.sheet is None for chunk in plain.chunks)


# ------------------------------------------------------------ who has a net


def test_whoever_sees_everything_has_none() -> None:
    hidden, shown = Rule(Strategy.REDACT), Rule(None)
    off = dict.fromkeys(("detectors",), Found.OFF)
    assert net_for(None, Plan) is None
    assert net_for(Rules((), **off), Plan) is None
    assert net_for(Rules((shown,), **off), Plan) is None
    assert net_for(Rules((hidden,), **off), Plan) is not None
    assert net_for(Rules(), Plan) is not None, "detectors are on unless somebody turns them off"


def test_the_notice_says_what_is_masked() -> None:
    net = Net(detectors(), lambda mask, text: text, lambda: PLAN)
    fields = replies.error_fields(net.notice())
    assert fields["M"] == "blastwall: masking is on"
    assert fields["D"].startswith("2 columns show masks; values that look like")
    assert "D" not in replies.error_fields(Net(detectors("flag"), lambda mask, text: text, Plan).notice())
