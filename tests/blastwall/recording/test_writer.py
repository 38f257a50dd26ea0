"""What is appended is what is read back; what cannot be written stops everything."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.errors import RecordingFault
from blastwall.model import (
    Denial,
    DenialCode,
    Direction,
    Effect,
    Facts,
    Masked,
    ObjectRef,
    Parameter,
    Pending,
    Permit,
    Risk,
    Statement,
    StatementKind,
)
from blastwall.recording.bodies import decode_text, encode_text
from blastwall.recording.codec import MAX_BODY
from blastwall.recording.intents import MAX_JUDGEMENTS
from blastwall.recording.reader import Reader
from blastwall.recording.records import End, Event, Header, Intent, Relayed, Seal
from blastwall.recording.redact import Redactor
from blastwall.recording.writer import MAX_PIECE, Writer

FACTS = Facts(Effect.READ, "select", (ObjectRef("table", "public.t", "read"),), fingerprint="aa" * 8)


def test_a_whole_recording_reads_back(begin, ask, sink, facts, records):
    writer = begin()
    ask(
        writer,
        1,
        name="s1",
        parameters=(Parameter(b"7", False, 23), Parameter(None, True, 25), Parameter(b"\0\1", True)),
    )
    writer.commit()
    writer.relayed(Masked(b"row bytes", 1, 3, "SELECT 3", "", cells=2))
    writer.event("notice", {"text": "hello", "count": 2})
    denied = Statement("DROP TABLE orders", number=2, surroundings="shop/public")
    denial = Denial(DenialCode.POLICY, "No.", "Ask.", ("no-ddl",), Risk(90, (("verb drop", 90),)), "ticket-1")
    writer.intent(denied, facts, denial)
    ask(writer, 3, "SELECT name FROM orders", upstream="SELECT left(name, 1) FROM orders", kind=StatementKind.PREPARE)
    writer.close("client closed")

    header, one, relayed, notice, two, three, end, seal = records(sink.data)
    assert isinstance(header, Header)
    assert header.raw["policy_version"] == "p1"
    assert header.raw["principal"]["groups"] == ["agents", "readers"]
    assert (header.recording, header.session, header.started_at) == ("0123456789abcdef", "session-1", 1_800_000_000.25)

    assert isinstance(one, Intent)
    assert (one.statement, one.kind, one.text, one.upstream, one.name) == (
        1,
        "execute",
        "SELECT * FROM orders",
        None,
        "s1",
    )
    assert one.parameters == (Parameter(b"7", False, 23), Parameter(None, True, 25), Parameter(b"\0\1", True))
    assert one.facts["objects"] == [{"kind": "table", "name": "public.orders", "access": "read"}]
    assert one.decision == {
        "verdict": "permit",
        "policies": ["read-ok"],
        "risk": {"score": 10, "reasons": [["verb select", 10]]},
    }
    assert isinstance(relayed, Relayed)
    assert (relayed.data, relayed.rows, relayed.tag, relayed.cells) == (b"row bytes", 3, "SELECT 3", 2)
    assert isinstance(notice, Event)
    assert (notice.name, notice.fields) == ("notice", {"text": "hello", "count": 2})
    assert two.decision["verdict"] == "denial"
    assert (two.decision["code"], two.decision["reason"], two.decision["ticket"]) == ("policy", "No.", "ticket-1")
    assert two.surroundings == "shop/public"
    assert (three.kind, three.text, three.upstream) == (
        "prepare",
        "SELECT name FROM orders",
        "SELECT left(name, 1) FROM orders",
    )
    assert isinstance(end, End)
    assert end.totals == {"statements": 3, "denied": 1, "rows": 3, "relayed_bytes": 9}
    assert isinstance(seal, Seal)
    assert seal.body == sink.manifest
    assert [record.sequence for record in (header, one, relayed, notice, two, three, end, seal)] == sorted(
        record.sequence for record in (header, one, relayed, notice, two, three, end, seal)
    )


texts = st.text(max_size=200) | st.binary(max_size=200).map(decode_text)
parameters = st.builds(
    Parameter,
    st.none() | st.binary(max_size=40).filter(lambda v: b"eyJ" not in v),
    st.booleans(),
    st.integers(0, 2**32 - 1),
    st.just(False),
)


moves = st.lists(
    st.tuples(
        texts,
        texts,
        st.sampled_from(list(StatementKind)),
        st.lists(parameters, max_size=3),
        st.binary(max_size=300),
        st.booleans(),
        texts,
    ),
    max_size=8,
)


@given(moves, st.booleans())
def test_anything_round_trips(script, compress):
    """Hypothesis gives function-scoped fixtures only once, so this one builds its own writer."""
    sink = Memory()
    writer = plain_writer(sink, compress=compress)
    for number, (text, sent, kind, bound, data, commit, tag) in enumerate(script, start=1):
        statement = Statement(text, kind, tuple(bound), "around", number, text[:20])
        writer.intent(statement, FACTS, Permit(sent))
        writer.relayed(Masked(data * 30, number, number, tag, tag))
        if commit:
            writer.commit()
    writer.close("end")

    reader = Reader(io.BytesIO(sink.data))
    found = list(reader.records())
    assert reader.problem is None
    intents = [record for record in found if isinstance(record, Intent)]
    relays = [record for record in found if isinstance(record, Relayed)]
    assert len(intents) == len(relays) == len(script)
    for number, (text, sent, kind, bound, data, _, tag) in enumerate(script, start=1):
        intent, relayed = intents[number - 1], relays[number - 1]
        assert encode_text(intent.text) == encode_text(text)
        assert encode_text(intent.upstream if intent.upstream is not None else intent.text) == encode_text(sent)
        assert (intent.kind, intent.parameters, intent.statement) == (kind.value, tuple(bound), number)
        assert (relayed.data, relayed.rows) == (data * 30, number)
        assert encode_text(relayed.tag) == encode_text(tag)[:255]


class Never(Redactor):
    """Redaction has its own tests; random bytes may look like what it looks for."""

    def suspects_written(self, text, data, parameters):
        return False


class Memory:
    def __init__(self):
        self.data = b""

    def write(self, parts, length):
        self.data += b"".join(parts)

    def settle(self):
        return None

    def seal(self, manifest):
        pass

    def close(self):
        pass


def plain_writer(sink, **options):
    from blastwall.model import Principal, Session, Target

    session = Session("s", Principal("i", "s", "agent"), "t", 0.0, 1.0)
    ticks = iter(range(1, 1_000_000))
    return Writer(
        "id-1",
        session,
        Target("t", "postgres", "h", 1),
        "c",
        {},
        sink,
        ticks=lambda: next(ticks),
        now=lambda: 1.0,
        redactor=Never(),
        **options,
    )


def test_a_judgement_is_written_once_for_all_intents_that_share_it(begin, ask, sink, records):
    writer = begin()
    for number in range(1, 1001):
        ask(writer, number, f"SELECT * FROM orders WHERE id = {number}")
    writer.commit()
    intents = [record for record in records(sink.data) if isinstance(record, Intent)]
    assert len(intents) == 1000
    assert {intent.facts["fingerprint"] for intent in intents} == {"f1" * 8}
    assert bytes(sink.data).count(b'"fingerprint"') == 1


def test_judgements_are_told_apart_by_everything_in_them(begin, sink, facts, records):
    writer = begin()
    other = Facts(Effect.WRITE, "update")
    decisions = [
        Permit("q"),
        Permit("q", ("a",)),
        Permit("q", ("a",), Risk(5)),
        Permit("q", ("a",), Risk(5, (("x", 5),))),
        Permit("q", prepare_only=True),
        Permit("q", approval="ap-1"),
        Permit("q", would_have="denial"),
        Pending(("a",), ("owners",), Risk(3), "why", 2),
        Denial(DenialCode.BUDGET, "spent"),
        Denial(DenialCode.BUDGET, "spent", "wait"),
    ]
    asked = [(found, decision, where) for found in (facts, other) for decision in decisions for where in ("a", "b")]
    for _ in range(2):
        for number, (found, decision, where) in enumerate(asked):
            writer.intent(Statement("q", number=number, surroundings=where), found, decision)
    writer.commit()
    seen = [record for record in records(sink.data) if isinstance(record, Intent)]
    assert bytes(sink.data).count(b'"fingerprint"') == len(asked)
    for intent, (found, decision, where) in zip(seen, asked * 2, strict=True):
        assert intent.surroundings == where
        assert intent.facts["effect"] == found.effect
        assert intent.decision["verdict"] == type(decision).__name__.lower()
        assert intent.decision.get("approval") == getattr(decision, "approval", None)
        assert intent.decision.get("reason", "") == getattr(decision, "reason", "")
        assert intent.decision.get("hint", "") == getattr(decision, "hint", "")
        assert intent.decision["risk"]["score"] == decision.risk.score


def test_judgements_forgotten_for_space_are_written_again(begin, sink, records):
    writer = begin()
    many = [Facts(Effect.READ, f"verb{i}", fingerprint="x") for i in range(MAX_JUDGEMENTS + 20)]
    for number, found in enumerate([*many, *many], start=1):
        writer.intent(Statement("q", number=number), found, Permit("q"))
    writer.commit()
    verbs = [record.facts["verb"] for record in records(sink.data) if isinstance(record, Intent)]
    assert verbs == [found.verb for found in [*many, *many]]


def test_one_commit_is_one_write(begin, ask, sink):
    writer = begin()
    before = len(sink.writes)
    ask(writer, 1)
    writer.relayed(Masked(b"x" * 100, 1))
    assert len(sink.writes) == before
    assert writer.commit() is None
    assert len(sink.writes) == before + 1
    assert writer.commit() is None
    assert len(sink.writes) == before + 1, "a commit with nothing pending writes nothing"


def test_relayed_bytes_are_written_when_they_pile_up_and_by_flush(begin, sink):
    writer = begin()
    before = len(sink.writes)
    for _ in range(3):
        writer.relayed(Masked(b"x" * 65_536, 1))
    assert len(sink.writes) == before
    writer.relayed(Masked(b"x" * 65_536, 1))
    assert len(sink.writes) == before + 1
    writer.relayed(Masked(b"tail", 1))
    writer.flush()
    assert len(sink.writes) == before + 2
    writer.flush()
    assert len(sink.writes) == before + 2


def test_a_chunk_larger_than_a_record_takes_several(begin, sink, records):
    writer = begin()
    data = bytes(range(256)) * (MAX_PIECE // 128 + 3)
    writer.relayed(Masked(data, 4, 9, "COPY 9"))
    writer.close("end")
    parts = [record for record in records(sink.data) if isinstance(record, Relayed)]
    assert b"".join(part.data for part in parts) == data
    assert [(part.rows, part.tag) for part in parts] == [(0, ""), (0, ""), (9, "COPY 9")]
    end = next(record for record in records(sink.data) if isinstance(record, End))
    assert end.totals["relayed_bytes"] == len(data)


def test_what_the_agent_streams_in_keeps_its_direction(begin, sink, records):
    writer = begin()
    writer.relayed(Masked(b"1,2\n", 1, direction=Direction.TO_TARGET))
    writer.relayed(Masked(b"COPY", 1))
    writer.commit()
    found = [record.direction for record in records(sink.data) if isinstance(record, Relayed)]
    assert found == [Direction.TO_TARGET, Direction.TO_AGENT]


def test_a_statement_too_large_to_be_recorded_is_refused_and_the_recording_goes_on(begin, ask, sink, records):
    writer = begin()
    with pytest.raises(RecordingFault, match="too large"):
        ask(writer, 1, "x" * MAX_BODY)
    with pytest.raises(RecordingFault, match="parameters"):
        ask(writer, 2, "SELECT", parameters=(Parameter(b""),) * 65_536)
    ask(writer, 3)
    writer.commit()
    assert [record.statement for record in records(sink.data) if isinstance(record, Intent)] == [3]


def test_after_a_failed_write_everything_is_refused(begin, ask, sink):
    writer = begin()
    sink.fail_at = len(sink.writes)
    ask(writer, 1)
    with pytest.raises(RecordingFault, match="No space left"):
        writer.commit()
    sink.fail_at = None  # the disk has room again: the hole stays
    kept = bytes(sink.data)
    for again in (
        lambda: ask(writer, 2),
        lambda: writer.relayed(Masked(b"x")),
        lambda: writer.event("e", {}),
        writer.commit,
    ):
        with pytest.raises(RecordingFault, match="No space left"):
            again()
    writer.close("over")
    assert sink.closed
    assert bytes(sink.data) == kept
    assert sink.manifest is None


def test_a_recording_that_cannot_begin_is_a_fault(begin, sink):
    sink.fail_at = 0
    with pytest.raises(RecordingFault, match="Nothing runs unrecorded"):
        begin()


def test_closing_twice_is_once_and_nothing_follows(begin, ask, sink):
    writer = begin()
    writer.close("done")
    size = len(sink.data)
    writer.close("done again")
    assert len(sink.data) == size
    with pytest.raises(RecordingFault, match="closed"):
        ask(writer, 1)


def test_large_blocks_on_a_thread_keep_their_order_and_failures_surface(begin, ask, sink, records):
    with ThreadPoolExecutor(1) as background:
        writer = begin(background=background)
        for number in range(1, 40):
            ask(writer, number)
            writer.relayed(Masked(bytes([number]) * 100_000, number))
            if number % 7 == 0:
                writer.commit()
        writer.commit()
        relays = [record for record in records(sink.data) if isinstance(record, Relayed)]
        assert [relay.data[0] for relay in relays] == list(range(1, 40))
        sink.fail_at = len(sink.writes)
        writer.relayed(Masked(b"x" * 300_000, 40))
        with pytest.raises(RecordingFault, match="No space left"):
            writer.commit()
        with pytest.raises(RecordingFault, match="No space left"):
            ask(writer, 41)


def test_times_do_not_go_back_with_the_wall_clock(begin, ask, sink, records):
    """REC-015: only the header and the end hold wall time; records count monotonic nanoseconds."""
    wall = iter([1_800_000_000.0, 1_700_000_000.0, 1_600_000_000.0])
    writer = begin(now=lambda: next(wall))
    ask(writer, 1)
    ask(writer, 2)
    writer.close("end")
    times = [record.at for record in records(sink.data)]
    assert times == sorted(times)
    assert len(set(times)) == len(times)


def test_the_header_cannot_be_spoofed_by_what_the_gateway_passes_on(begin, sink, records):
    """REC-020: what a client says of itself lands beside the recording's own fields, never over them."""
    begin(header={"recording_mode": "best_effort", "mode": "observe", "session": "other", "recording": "x"})
    header = records(sink.data)[0]
    assert header.raw["recording_mode"] == "strict"
    assert header.raw["mode"] == "enforce"
    assert header.session == "session-1"


@pytest.mark.parametrize("flags", [frozenset({"writes_masked"}), frozenset()])
def test_literals_that_are_written_to_masked_columns_are_not_recorded(begin, sink, records, flags):
    columns = frozenset({"public.customers.ssn"})
    facts = Facts(Effect.WRITE, "update", fingerprint="f" * 16, masked_columns=columns, flags=flags)
    text, sent = "UPDATE t SET ssn = '123-45-6789'", "UPDATE t SET ssn = '123-45-6789' WHERE true"
    writer = begin()
    writer.intent(Statement(text, number=1), facts, Permit(sent))
    writer.close("end")
    (intent,) = [record for record in records(sink.data) if isinstance(record, Intent)]
    assert (b"123-45-6789" in bytes(sink.data)) is not bool(flags)
    assert intent.redacted is bool(flags)
    assert intent.text == (text.replace("123-45-6789", "***") if flags else text)
    assert intent.upstream == (sent.replace("123-45-6789", "***") if flags else sent)


@pytest.mark.parametrize(
    ("effect", "columns", "filters", "kept"),
    [
        (Effect.READ, (), False, True),
        (Effect.READ, ("public.customers.ssn",), False, True),  # it only stands in the result, and is masked there
        (Effect.READ, ("public.customers.ssn",), True, False),
        (Effect.WRITE, ("public.customers.ssn",), False, False),
        (Effect.WRITE, (), False, True),
    ],
)
def test_parameters_that_meet_masked_columns_are_not_recorded(begin, sink, records, effect, columns, filters, kept):
    facts = Facts(effect, "x", fingerprint="f" * 16, masked_columns=frozenset(columns), filters_masked=filters)
    writer = begin()
    values = (Parameter(b"123-45-6789"), Parameter(None))
    writer.intent(Statement("SELECT $1, $2", parameters=values, number=1), facts, Permit("SELECT $1, $2"))
    writer.close("end")
    (intent,) = [record for record in records(sink.data) if isinstance(record, Intent)]
    assert intent.redacted is not kept
    assert (b"123-45-6789" in bytes(sink.data)) is kept
    assert intent.parameters[0].value == (b"123-45-6789" if kept else b"***")
    assert intent.parameters[1].value is None
