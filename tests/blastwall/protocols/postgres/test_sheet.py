"""Rows on their way to the agent: cells replaced, cells looked into, and not a byte else changed."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blastwall.errors import UpstreamFault
from blastwall.masking.detectors import detectors
from blastwall.masking.plan import Mask, Predicates, Strategy
from blastwall.protocols.postgres import messages, replies
from blastwall.protocols.postgres.layout import CONCEAL, PASS, SEARCH, SEARCH_DOCUMENT, SINK, Column
from blastwall.protocols.postgres.sheet import FLAGGED_BYTES, MOST_ROW, RowSheet
from blastwall.protocols.postgres.upstream import _READY, Upstream
from tests.blastwall.protocols.postgres.playbook import frames

DETECTORS = detectors()
TEXT, UUID, INT4, INT8 = 25, 2950, 23, 20


def mask_of(column: str, type_oid: int = TEXT) -> Mask:
    return Mask(column, Strategy.HASH, Predicates.DENY, "NULL", "test:1", type_oid)


def replace(mask: Mask, text: str) -> str:
    if mask.type_oid == UUID:
        return str(uuid.UUID(int=uuid.UUID(text).int ^ 1))
    return str(-int(text)) if mask.type_oid in (INT4, INT8) else f"<{text[::-1]}>"


def sink(type_oid: int = TEXT, binary: bool = False) -> Column:
    return Column(SINK, mask_of("public.t.c", type_oid), type_oid, binary)


def sheet(*columns: Column, found: Any = DETECTORS, told: list[tuple[str, str]] | None = None) -> RowSheet:
    heard = told if told is not None else []
    return RowSheet(columns, found, replace, lambda kind, mode: heard.append((kind, mode)))


def values(data: bytes) -> list[tuple[bytes | None, ...]]:
    return [replies.data_row(frame) for frame in frames(data) if frame[0] == 68]


def test_a_sink_replaces_its_column_and_nothing_else() -> None:
    rows = [(b"1", b"raw one", b"alice"), (b"2", None, b""), (b"3", b"", None)]
    data = b"".join(messages.data_row(row) for row in rows)
    out, cells = sheet(Column(PASS), sink(), Column(PASS)).masked(data)
    assert values(out) == [(b"1", b"<eno war>", b"alice"), (b"2", None, b""), (b"3", b"<>", None)]
    assert cells == 2


@pytest.mark.parametrize(
    ("column", "raw", "shown"),
    [
        (sink(TEXT, True), "é".encode(), "<é>".encode()),
        (sink(UUID, True), uuid.UUID(int=6).bytes, uuid.UUID(int=7).bytes),
        (sink(UUID), str(uuid.UUID(int=6)).encode(), str(uuid.UUID(int=7)).encode()),
        (sink(INT4, True), (5).to_bytes(4, "big"), (-5).to_bytes(4, "big", signed=True)),
        (sink(INT8, True), (5).to_bytes(8, "big"), (-5).to_bytes(8, "big", signed=True)),
        (sink(INT4), b"5", b"-5"),
    ],
)
def test_both_formats(column: Column, raw: bytes, shown: bytes) -> None:
    assert values(sheet(column).masked(messages.data_row((raw,)))[0]) == [(shown,)]


@pytest.mark.parametrize(
    ("column", "raw"), [(sink(INT4, True), b"12345"), (sink(UUID, True), b"x"), (sink(), b"\xff"), (sink(INT8), b"4z4")]
)
def test_a_value_that_is_none_of_its_type_ends_it_without_being_quoted(column: Column, raw: bytes) -> None:
    with pytest.raises(UpstreamFault, match=r"public\.t\.c") as fault:
        sheet(column).masked(messages.data_row((raw,)))
    assert fault.value.__cause__ is None
    assert raw.decode("latin-1") not in str(fault.value)


def test_an_untouched_buffer_is_the_same_object() -> None:
    data = messages.data_row((b"1", b"nothing to see")) * 500 + messages.command_complete("SELECT 500")
    out, cells = sheet(Column(PASS), Column(SEARCH)).masked(data)
    assert out is data
    assert cells == 0


def test_without_sinks_and_detectors_nothing_is_looked_at() -> None:
    data = messages.data_row((b"alice@example.com",))
    assert sheet(Column(SEARCH), found=None).masked(data)[0] is data


def test_detectors_look_into_texts_only() -> None:
    told: list[tuple[str, str]] = []
    row = (b"4111111111111111", b"card 4111111111111111", b'{"a": 4111111111111111}', None, b"+14155552671")
    data = messages.row_description(()) + messages.data_row(row) * 3 + messages.command_complete("SELECT 3")
    columns = [Column(PASS), Column(SEARCH), Column(SEARCH_DOCUMENT), Column(SEARCH), Column(SEARCH)]
    out, cells = sheet(*columns, told=told).masked(data)
    shown = (row[0], b"card " + b"*" * 16, b'{"a": "**************"}', None, b"+14155552671")
    assert values(out) == [shown] * 3
    assert cells == 6
    assert len(out) == len(data)
    assert told == [("card", "mask"), ("phone", "flag")], "each kind is told once"


def test_errors_and_notices_are_looked_into_field_by_field() -> None:
    error = messages.error_response("ERROR", "23505", "no", detail="Key (email)=(alice@example.com) already exists.")
    detail = b"Dalice@example.com"  # the letter of the field stands directly before the value
    notice = messages.frame(b"N", b"SNOTICE\0VNOTICE\0C00000\0Mx\0" + detail + b"\0\0")
    out, cells = RowSheet(None, DETECTORS, replace, lambda kind, mode: None).masked(error + notice)
    first, second = (replies.error_fields(frame) for frame in frames(out))
    assert first["D"] == f"Key (email)=({'*' * 17}) already exists."
    assert second["D"] == "*" * 17
    assert cells == 2


def test_copied_rows_are_looked_into() -> None:
    data = messages.copy_data(b"1\talice@example.com\n") + messages.copy_data(b"2\t\\\\x616c69636540782e6465\n")
    out, cells = sheet(found=DETECTORS).masked(data + messages.COPY_DONE)
    assert out == (
        messages.copy_data(b"1\t" + b"*" * 17 + b"\n")
        + messages.copy_data(b"2\t\\\\x" + b"2a" * 10 + b"\n")
        + messages.COPY_DONE
    )
    assert cells == 2


def test_a_plan_loses_expressions_that_tell() -> None:
    out, cells = sheet(Column(CONCEAL, telling=re.compile(rb"\*\*\*"))).masked(
        messages.data_row((b"Seq Scan on t  (cost=0.00..1.00 rows=1 width=32)",))
        + messages.data_row((b"  Filter: ('***'::text = 'x'::text)",))
    )
    assert values(out) == [
        (b"Seq Scan on t  (cost=0.00..1.00 rows=1 width=32)",),
        (b"  Filter: (not shown: it holds a masked column)",),
    ]
    assert cells == 0


@pytest.mark.parametrize(
    "row",
    [
        messages.data_row((b"one",)),
        messages.data_row((b"one", b"two", b"three")),
        messages.frame(b"D", b"\0\x02\0\0\0\x05abc"),
        messages.frame(b"D", b"\0\x02\0\0\0\x01a\0\0\0\x01bc"),
        messages.frame(b"D", b"\0\x02\0\0\0\x01a\0\0"),
    ],
)
def test_rows_that_are_not_laid_out_as_described_end_it(row: bytes) -> None:
    with pytest.raises(UpstreamFault):
        sheet(sink(), sink()).masked(row)


def test_what_is_only_flagged_is_looked_for_at_the_beginning_of_a_result() -> None:
    told: list[tuple[str, str]] = []
    seen = sheet(Column(SEARCH), told=told)
    seen.masked(messages.data_row((b"nothing of the kind here",)) * (FLAGGED_BYTES // 30))
    seen.masked(messages.data_row((b"+14155552671",)))
    out, _ = seen.masked(messages.data_row((b"alice@example.com",)))
    assert told == [("email", "mask")]
    assert values(out) == [(b"*" * 17,)]


def test_where_nothing_is_masked_all_of_a_result_is_looked_through() -> None:
    told: list[tuple[str, str]] = []
    seen = sheet(Column(SEARCH), found=detectors("flag"), told=told)
    seen.masked(messages.data_row((b"nothing of the kind here",)) * (FLAGGED_BYTES // 30))
    data = messages.data_row((b"alice@example.com",))
    assert seen.masked(data) == (data, 0)
    assert told == [("email", "flag")]


# ------------------------------------------------------------ pieces


def runs(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """What the engine that faces the server makes of ``data`` when it comes in pieces."""
    up = Upstream()
    up._state = _READY
    out = []
    position = 0
    while position < len(data):
        for size in sizes:
            up.receive(data[position : position + size] or b"")
            position += size
            while (event := up.next_event()) is not None:
                out.append(event.data)  # type: ignore[union-attr]
            if position >= len(data):
                break
    return out


LARGE = b"x " * 200_000


@pytest.mark.parametrize("sizes", [(300_000,), (70_000, 1, 5), (65_536,)])
@pytest.mark.parametrize("sunk", [True, False])
def test_rows_in_pieces(sizes: tuple[int, ...], sunk: bool) -> None:
    row = (b"4111111111111111", LARGE + b"alice@example.com " + LARGE, b"secret", None, LARGE + b"bob@example.com")
    data = messages.data_row(row) + messages.data_row((b"1", b"a@example.com", b"s", b"", None))
    columns = [Column(PASS), Column(SEARCH), sink() if sunk else Column(PASS), Column(SEARCH), Column(SEARCH)]
    seen = sheet(*columns)
    masked = [seen.masked(run) for run in runs(data, sizes)]
    hidden, short = (b"<terces>", b"<s>") if sunk else (b"secret", b"s")
    large = (row[0], LARGE + b"*" * 17 + b" " + LARGE, hidden, None, LARGE + b"*" * 15)
    assert values(b"".join(out for out, _ in masked)) == [large, (b"1", b"*" * 13, short, b"", None)]
    assert sum(cells for _, cells in masked) == (5 if sunk else 3)


def test_a_copied_line_in_pieces() -> None:
    line = LARGE + b"alice@example.com\n"
    seen = sheet()
    out = b"".join(seen.masked(run)[0] for run in runs(messages.copy_data(line) + messages.COPY_DONE, (100_000,)))
    assert out == messages.copy_data(LARGE + b"*" * 17 + b"\n") + messages.COPY_DONE


def test_a_row_too_long_to_be_laid_out_anew_ends_it() -> None:
    header = messages.data_row((b"",))[:1] + (MOST_ROW + 10).to_bytes(4, "big")
    with pytest.raises(UpstreamFault, match="select fewer columns"):
        sheet(sink()).masked(header + b"\0\x01" + b"x" * 1000)


CELL = st.one_of(
    st.none(),
    st.binary(max_size=70),
    st.sampled_from(
        [
            b"alice@example.com",
            b"4111111111111111",
            b"x" * 48 + b"-4111-1111",
            b"\\x616c69636540782e6465",
            b"+1 415 555 2671",
        ]
    ),
    st.integers(1, 200).map(lambda size: b"a@b.example"[:size].ljust(size)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=12), st.lists(st.integers(1, 4), max_size=6))
def test_masking_a_buffer_is_masking_each_cell(rows: list[tuple[bytes | None, ...]], groups: list[int]) -> None:
    """Whatever the rows hold, and however they are grouped into chunks."""
    assert DETECTORS is not None
    from blastwall.masking.detectors import Tally

    columns = [Column(SEARCH), Column(PASS), Column(SEARCH)]
    expected = [
        tuple(
            cell if cell is None or column.action == PASS else DETECTORS.mask(cell, Tally())
            for cell, column in zip(row, columns, strict=True)
        )
        for row in rows
    ]
    seen = sheet(*columns)
    out = b""
    position = 0
    for size in [*groups, len(rows)]:
        data = b"".join(messages.data_row(row) for row in rows[position : position + size])
        position += size
        out += seen.masked(data)[0]
    assert values(out) == expected
