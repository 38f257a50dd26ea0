"""Lines made from forms are those of the projection, whatever a recording holds, and however it comes."""

from __future__ import annotations

import io
import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import blastwall.audit.lines as module
from blastwall.audit.lines import AHEAD, MAX_FORMS, PIECE, Lines
from blastwall.audit.project import LOCAL, MAX_TEXT, PUBLIC, Projection, project_all
from blastwall.audit.sink import MAX_EVENT, day, line
from blastwall.recording.codec import Flag, RecordType, Torn
from blastwall.recording.reader import Reader
from tests.blastwall.audit.recordings import Raw, header, intent, judgement, relayed, written

FACTS = (
    {"effect": "read", "verb": "select", "objects": [{"access": "read", "kind": "table", "name": "public.100%s"}]},
    {"effect": "modify", "verb": "delete", "flags": ["no_where"], "bounded": False},
    {"effect": "session", "verb": "connect"},
)
DECISIONS = (
    {"verdict": "permit", "policies": ["reads"], "risk": {"score": 5}},
    {"verdict": "permit", "policies": ["reads"], "risk": {"score": 5}, "prepare_only": True},
    {"verdict": "permit", "policies": [], "approval": "a-%(text)s"},
    {"verdict": "denial", "code": "denied", "reason": "because %d \u2028 of this", "risk": {"score": 99}},
    {"verdict": "pending", "ticket": "t-1"},
)
JUDGED = [judgement(number, FACTS[number // 3], DECISIONS[number - 1]) for number in range(1, 6)]
SECOND = 10**9

texts = st.one_of(
    st.text(max_size=20),
    st.text("SELECT 1 FROM t;", min_size=1, max_size=40),
    st.sampled_from(
        ["%s", "%(time)s", '"', "\\", "a\nb", "\x7f", "~ }", "\udcff\udc80", "0", "\0", "x" * (MAX_TEXT + 1)]
    ),
)
numbers = st.integers(0, 6) | st.integers(0, 2**32 - 1)
gaps = st.integers(0, 10**6) | st.sampled_from([SECOND // 4, SECOND, 40 * 3600 * SECOND])
judgements = st.builds(
    judgement, st.integers(1, 5), st.sampled_from(FACTS), st.sampled_from(DECISIONS), st.just("") | texts
)
flags = st.sampled_from([0, 0, 0, int(Flag.REDACTED), int(Flag.UPSTREAM), 3])
parameters = st.lists(st.binary(max_size=4), max_size=2)
intents = st.builds(
    intent,
    number=numbers,
    text=texts,
    kind=st.sampled_from(["execute", "execute", "prepare", "connect", "cancel"]),
    judged=st.integers(1, 5),
    name=st.just("") | texts.filter(lambda text: len(text) < 99),
    upstream=st.just("") | texts,
    parameters=parameters,
    results=st.sampled_from([b"", b"", b"\0\1"]),
    flags=flags,
    after=gaps,
)
outcomes = st.builds(
    relayed,
    number=numbers,
    tag=st.sampled_from(["", "SELECT 3", "SELECT 9999999", "INSERT 0 1", "DELETE 7", "BEGIN", "%s", "\xe9"]),
    error=st.sampled_from(["", "", "42501", "%s"]),
    data=st.binary(max_size=5),
    after=gaps,
)
happened = st.just(Raw(RecordType.EVENT, b'{"name":"cancel","fields":{}}')) | st.just(
    Raw(RecordType.END, json.dumps({"reason": "over", "ended_at": 0.0, "totals": {"statements": 3}}).encode())
)


@st.composite
def pairs(draw):
    """What drivers send: a preparation and its execution, often alike."""
    number, text, flag = draw(numbers), draw(texts), draw(flags)
    one = intent(number, text, "prepare", draw(st.integers(1, 2)), flags=flag, after=draw(gaps))
    two = intent(
        number + draw(st.sampled_from([1, 1, 1, 1, 0, 2])) & 0xFFFFFFFF,
        draw(st.sampled_from([text, text, text, "another"])),
        draw(st.sampled_from(["execute", "execute", "execute", "prepare"])),
        draw(st.integers(1, 2)),
        draw(st.sampled_from(["", "", "", "p1"])),
        parameters=draw(parameters),
        flags=draw(st.sampled_from([flag, 0])),
    )
    between = draw(st.just([]) | st.lists(judgements | outcomes | happened, max_size=1))
    return [one, *between, two, *draw(st.lists(st.just(relayed(number, "", "42601")), max_size=1))]


damaged = st.builds(
    lambda record, cut: Raw(record.type, record.body[:cut], record.flags, record.statement), intents | outcomes, numbers
) | st.sampled_from([intent(1, kind=4), intent(1, results=b"\2"), intent(1, judged=99), Raw(99, b""), Raw(2, b"[]")])
sound = pairs() | st.lists(judgements | intents | outcomes | happened, max_size=4)


def read(lines, first=0):
    """Everything that is at hand now, line by line, with its day."""
    made = []
    more = True
    while more:
        more = lines.gather(first)
        if lines.count:
            count = lines.count
            date, data = lines.take()
            assert data.endswith(b"\n")
            assert lines.count == 0
            found = data.decode("ascii").split("\n")[:-1]
            assert len(found) == count
            made += [(date, text) for text in found]
    return made


def straight(data, show=LOCAL):
    reader = Reader(io.BytesIO(data))
    return [(day(event), line(event)) for event in project_all(reader.records(), show)], reader


@settings(max_examples=250, deadline=None)
@given(
    st.lists(sound, min_size=1, max_size=10),
    st.lists(damaged, max_size=1),
    st.sampled_from(["postgres", "ssh", "aws", "kubernetes"]),
    st.sampled_from([LOCAL, frozenset({PUBLIC})]),
    st.integers(1, 9),
    st.booleans(),
    st.sampled_from([1, 2, 2, 2]),
    st.sampled_from([0, 100, AHEAD]),
)
def test_lines_are_those_of_the_projection(groups, last, protocol, show, size, compress, version, ahead):
    """What was laid out is filled in, whatever came between; and where the projection stops, so do the lines."""
    records = [record for group in groups for record in group]
    records = [*JUDGED, *records, *records, *JUDGED, *records, *last, *records[:3]]
    blocks = [[header(protocol)], *(records[start : start + size] for start in range(0, len(records), size))]
    data = written(blocks, version, compress)
    expected, reader = straight(data, show)
    lines = Lines(Reader(io.BytesIO(data), ahead), show)
    assert read(lines) == expected
    told = lines.reader
    assert (told.position, told.sequence, told.index) == (reader.position, reader.sequence, reader.index)
    assert (type(told.problem), str(told.problem)) == (type(reader.problem), str(reader.problem))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(sound, min_size=1, max_size=8),
    st.lists(st.floats(0, 1), max_size=6),
    st.integers(1, 5),
    st.sampled_from([0, AHEAD]),
)
def test_a_file_that_grows_while_it_is_read_gives_the_same(groups, cuts, size, ahead):
    """Wherever it ends meanwhile, and whether one goes on or another starts from the place that is kept."""
    records = [record for group in groups for record in group]
    records = [*JUDGED, *records, *records, *records]
    data = written([[header()], *(records[start : start + size] for start in range(0, len(records), size))])
    expected, _ = straight(data)
    lines, made, parts = None, [], []
    at = 0
    for cut in (*sorted(cuts), 1.0):
        source = io.BytesIO(data[: 16 + round(cut * (len(data) - 16))])
        if lines is None:
            lines = Lines(Reader(source, ahead))
        else:
            lines.reader.again(source)
        made += read(lines)
        source.seek(0)
        afresh = Lines(Reader(source, ahead))
        parts += read(afresh, at)
        assert afresh.reader.problem is None or isinstance(afresh.reader.problem, Torn)
        at = afresh.reader.sequence
    assert made == expected
    assert parts == expected


def alike(count, text="SELECT {}", **more):
    """A block for each statement: its intent, and the answer of the one before."""
    blocks = [[header()], JUDGED]
    for number in range(1, count + 1):
        blocks.append([relayed(number - 1), intent(number, text.format(number), after=1000, **more)])
    return written(blocks)


def test_statements_judged_alike_are_projected_twice_and_filled_in_after_that(monkeypatch):
    data = alike(50)
    expected, _ = straight(data)
    calls = []
    real = Projection.event
    monkeypatch.setattr(Projection, "event", lambda self, record: calls.append(record) or real(self, record))
    lines = Lines(Reader(io.BytesIO(data)))
    assert read(lines) == expected
    intents = [record for record in calls if record.__class__.__name__ == "Intent"]
    assert len(intents) == 3, "the first, and the second as it is and with marks"
    assert len(calls) < 9, "and answers that have no event are known by their completion"
    assert len(expected) == 50


def test_what_is_given_at_a_time_is_about_a_piece_of_one_day():
    data = alike(500)
    lines = Lines(Reader(io.BytesIO(data)))
    while lines.gather(0):
        date, made = lines.take()
        assert PIECE <= len(made) < PIECE + 4096
        assert {json.loads(text)["time_dt"][:10] for text in made.splitlines()} == {date}


def test_a_piece_ends_with_its_day():
    data = written(
        [
            [header()],
            JUDGED,
            *([intent(number, after=SECOND // 10)] for number in range(1, 9)),
            [intent(9, "", after=9)],
        ]
    )
    assert [date for date, _ in read(Lines(Reader(io.BytesIO(data))))] == ["2027-01-14"] * 2 + ["2027-01-15"] * 7
    assert read(Lines(Reader(io.BytesIO(data)))) == straight(data)[0]


def test_marks_that_stand_in_an_event_already_are_not_taken():
    """An agent that knows how they are chosen writes them where its words are shown."""
    marks = " ".join(str(10**29 + offset) for offset in range(9))
    decision = {"verdict": "denial", "reason": marks, "risk": {"score": 1}}
    asked = [intent(number, text) for number, text in enumerate(("one", "two", marks, f'"{10**29 + 9}"'), 1)]
    data = written([[header()], [judgement(1, FACTS[0], decision), *asked]])
    assert read(Lines(Reader(io.BytesIO(data)))) == straight(data)[0]


def test_a_form_never_speaks_of_another_judgement():
    """A number may be given out again, and forms are forgotten when there are too many."""
    records = []
    for turn in range(3 * MAX_FORMS):
        records.append(judgement(turn % 200 + 1, {"verb": f"v{turn}"}, {"verdict": "permit", "policies": [f"p{turn}"]}))
        records += [intent(turn + 1, judged=turn % 200 + 1)] * 3
    data = written([[header()], records])
    assert read(Lines(Reader(io.BytesIO(data)))) == straight(data)[0]


@pytest.mark.parametrize(
    "text",
    ["x" * (MAX_TEXT + 1), "\U0001f600" * MAX_TEXT, "\U0001f600" * (MAX_TEXT // 4)],
    ids=["long", "wide", "fits"],
)
def test_what_does_not_fit_is_cut_as_ever(text):
    asked = [intent(number, said) for number, said in enumerate(("short", "short", text, "short", text), 1)]
    data = written([[header()], [*JUDGED, *asked]])
    made = read(Lines(Reader(io.BytesIO(data))))
    assert made == straight(data)[0]
    assert all(len(said) <= MAX_EVENT for _, said in made)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode), st.text("ab ~}\x7f\x1f\"\\'!#[]", max_size=24))
def test_texts_that_need_no_escape_are_told_from_others(data, text):
    for said in (data, text.encode()):
        assert module._plain(said) == (
            said.isascii() and json.dumps(said.decode("ascii", "replace"))[1:-1].encode() == said
        )


def test_no_field_of_a_record_is_unknown_to_the_forms():
    """A new line in the map that shows more of a record needs a hole, or a place in the key."""
    table = tomllib.loads(Path(module.__file__).with_name("audit_map.toml").read_text(encoding="utf-8"))
    filled_in, known = {"sequence", "statement", "text"}, {"kind", "redacted", "tag", "error"}
    shown = {
        source.split(".")[1]
        for name, section in table["fields"].items()
        if name not in ("event", "end")
        for source, visibility in section.values()
        if source.startswith("record.") and visibility != "secret"
    }
    assert shown == filled_in | known
