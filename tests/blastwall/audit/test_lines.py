"""Lines made from forms are those of the projection, record by record."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import blastwall.audit.lines as module
from blastwall.audit.lines import MAX_FORMS, Lines
from blastwall.audit.project import LOCAL, MAX_TEXT, PUBLIC, Projection
from blastwall.audit.sink import MAX_EVENT, day, line
from blastwall.model import Direction, Parameter
from blastwall.recording.records import End, Event, Header, Intent, Relayed

FACTS = (
    {"effect": "read", "verb": "select", "objects": [{"access": "read", "kind": "table", "name": "public.100%s"}]},
    {"effect": "modify", "verb": "delete", "flags": ["no_where"], "bounded": False},
    {"effect": "session", "verb": "connect"},
)
DECISIONS = (
    {"verdict": "permit", "policies": ["reads"], "risk": {"score": 5}},
    {"verdict": "permit", "policies": [], "approval": "a-%(text)s"},
    {"verdict": "denial", "code": "denied", "reason": "because %d \u2028 of this", "risk": {"score": 99}},
    {"verdict": "pending", "ticket": "t-1"},
)
MIDNIGHT = 1_799_971_199.75  # a quarter of a second before 2027-01-15, UTC


def header(protocol="postgres"):
    principal = {"issuer": "https://idp", "subject": "a-7", "agent": "100% agent", "groups": ["agents"]}
    return Header(
        0,
        0,
        {
            "recording": "0123456789abcdef",
            "session": "session-1",
            "connection": "c-1",
            "protocol": protocol,
            "started_at": MIDNIGHT,
            "principal": principal,
            "target": {"name": "shop", "host": "db", "port": 5432, "labels": {}},
        },
    )


texts = st.one_of(st.text(max_size=20), st.sampled_from(["%s", "%(time)s", '"', "\udcff\ud800", "0", "\0"]))
parameters = st.just(()) | st.just((Parameter(b"bound"),))
intents = st.builds(
    Intent,
    sequence=st.integers(0, 2**63),
    at=st.integers(0, 10**10),
    statement=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["execute", "prepare", "connect", "cancel"]),
    text=texts,
    upstream=st.none() | texts,
    name=texts,
    parameters=parameters,
    facts=st.sampled_from(FACTS),
    decision=st.sampled_from(DECISIONS),
    surroundings=texts,
    redacted=st.booleans(),
)
tags = st.sampled_from(["", "SELECT 3", "SELECT 9999999", "INSERT 0 1", "DELETE 7", "BEGIN", "%s"])
relayed = st.builds(
    Relayed,
    sequence=st.integers(0, 2**63),
    at=st.integers(0, 10**10),
    statement=st.integers(0, 2**32 - 1),
    data=st.binary(max_size=5),
    rows=st.integers(0, 9),
    cells=st.integers(0, 9),
    tag=tags,
    error=st.sampled_from(["", "42501", "%s"]),
    direction=st.sampled_from(list(Direction)),
    redacted=st.booleans(),
    refused=st.booleans(),
)
others = st.builds(Event, st.integers(0, 99), st.integers(0, 10**10), st.just("cancel"), st.just({})) | st.builds(
    End, st.integers(0, 99), st.integers(0, 10**10), st.just("over"), st.just(0.0), st.just({"statements": 3})
)


def straight(projection, record):
    event = projection.event(record)
    return None if event is None else (day(event), line(event))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(intents | relayed | others, max_size=30),
    st.sampled_from(["postgres", "ssh", "aws", "kubernetes"]),
    st.sampled_from([LOCAL, frozenset({PUBLIC})]),
)
def test_lines_are_those_of_the_projection(records, protocol, show):
    lines, projection = Lines(header(protocol), show), Projection(header(protocol), show)
    for record in (*records, *records, *reversed(records)):  # what was laid out is filled in, whatever came between
        assert lines.line(record) == straight(projection, record)


def intent(text="SELECT 1", **more):
    values = {"parameters": (), "facts": FACTS[0], "decision": DECISIONS[0], "surroundings": "", "redacted": False}
    return Intent(1, 0, 1, "execute", text, None, "", **{**values, **more})


def test_statements_judged_alike_are_projected_twice_and_filled_in_after_that(monkeypatch):
    calls = []
    real = Projection.event
    monkeypatch.setattr(Projection, "event", lambda self, record: calls.append(record) or real(self, record))
    lines, projection = Lines(header()), Projection(header())
    made = [lines.line(intent(f"SELECT {n}")) for n in range(50)]
    assert len(calls) == 3, "the first, and the second as it is and with marks"
    assert made == [straight(projection, intent(f"SELECT {n}")) for n in range(50)]


def test_marks_that_stand_in_an_event_already_are_not_taken():
    """An agent that knows how they are chosen writes them where its words are shown."""
    lines, projection = Lines(header()), Projection(header())
    numbers = " ".join(str(10**29 + offset) for offset in range(9))
    decision = {"verdict": "denial", "reason": numbers, "risk": {"score": 1}}
    for text in ("one", "two", numbers, f'"{10**29 + 9}"'):
        assert lines.line(intent(text, decision=decision)) == straight(projection, intent(text, decision=decision))


def test_a_form_never_speaks_of_another_judgement():
    """Keys are ids: what they speak of must not be collected while they are known."""
    lines, projection = Lines(header()), Projection(header())
    for number in range(3 * MAX_FORMS):
        judged = {"decision": {"verdict": "permit", "policies": [f"p{number}"]}, "facts": {"verb": f"v{number}"}}
        for _ in range(3):
            assert lines.line(intent(**judged)) == straight(projection, intent(**judged))
        del judged


@pytest.mark.parametrize("text", ["x" * (MAX_TEXT + 1), "\U0001f600" * MAX_TEXT], ids=["long", "wide"])
def test_what_does_not_fit_is_cut_as_ever(text):
    lines, projection = Lines(header()), Projection(header())
    for said in ("short", "short", text, "short"):
        made = lines.line(intent(said))
        assert made == straight(projection, intent(said))
        assert len(made[1]) <= MAX_EVENT


def test_no_field_of_a_record_is_unknown_to_the_forms():
    """A new line in the map that shows more of a record needs a hole, or a place in the key."""
    table = tomllib.loads(Path(module.__file__).with_name("audit_map.toml").read_text(encoding="utf-8"))
    filled_in, alike = {"sequence", "statement", "text"}, {"kind", "redacted", "tag", "error"}
    shown = {
        source.split(".")[1]
        for name, section in table["fields"].items()
        if name not in ("event", "end")
        for source, visibility in section.values()
        if source.startswith("record.") and visibility != "secret"
    }
    assert shown == filled_in | alike
