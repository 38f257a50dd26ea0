"""What playback says of each record, in every protocol."""

from __future__ import annotations

import json

import pytest

from blastwall.model import Direction, Parameter
from blastwall.recording.records import End, Event, Header, Intent, Relayed, Seal
from blastwall.recording.shown import (
    MAX_PARAMETER,
    MAX_TEXT,
    Asked,
    Done,
    Ended,
    Happened,
    Opaque,
    Opened,
    as_json,
    decode_opaque,
    score_of,
    tell,
    verdict_of,
)


def intent(decision=None, **changes) -> Intent:
    values = {
        "sequence": 2,
        "at": 1_500_000_000,
        "statement": 4,
        "kind": "execute",
        "text": "SELECT 1",
        "upstream": None,
        "name": "",
        "parameters": (),
        "facts": {"effect": "read", "verb": "select"},
        "decision": decision if decision is not None else {"verdict": "permit"},
        "surroundings": "",
        "redacted": False,
    }
    return Intent(**{**values, **changes})


def relayed(direction: Direction = Direction.TO_AGENT) -> Relayed:
    return Relayed(3, 7, 4, b"12345", 1, 0, "SELECT 1", "", direction, False)


@pytest.mark.parametrize(
    ("decision", "verdict"),
    [
        ({"verdict": "permit"}, "permit"),
        ({"verdict": "permit", "would_have": "denial"}, "observed"),
        ({"verdict": "pending"}, "held"),
        ({"verdict": "denial", "code": "pending"}, "held"),
        ({"verdict": "denial", "code": "policy"}, "denied"),
        ({"verdict": "allowed"}, "denied"),
        ({"verdict": ["permit"]}, "denied"),
        ({}, "denied"),
    ],
)
def test_what_nobody_recognises_counts_as_denied(decision, verdict):
    assert verdict_of(decision) == verdict


@pytest.mark.parametrize(("risk", "score"), [({"score": 40}, 40), ({"score": "40"}, 0), ({}, 0), (None, 0), ([40], 0)])
def test_a_score_is_a_number_or_nothing(risk, score):
    assert score_of(risk) == score


def test_a_statement_is_told_with_everything_that_was_decided():
    decision = {
        "verdict": "denial",
        "code": "policy",
        "reason": "No.",
        "hint": "Ask.",
        "policies": ["p1", "p2"],
        "risk": {"score": 70},
        "ticket": "t-1",
    }
    (asked,) = tell(intent(decision, upstream="SELECT 2", redacted=True))
    assert isinstance(asked, Asked)
    assert (asked.at, asked.statement, asked.text, asked.upstream) == (1_500_000_000, 4, "SELECT 1", "SELECT 2")
    assert (asked.verdict, asked.why, asked.hint, asked.approval) == ("denied", "No.", "Ask.", "t-1")
    assert (asked.policies, asked.risk, asked.effect, asked.verb) == (("p1", "p2"), 70, "read", "select")
    assert asked.redacted


def test_observe_mode_says_what_enforce_mode_would_have_said():
    (asked,) = tell(intent({"verdict": "permit", "would_have": "denial", "policies": "p"}))
    assert asked.verdict == "observed"
    assert asked.why == "enforce mode would have answered: denial"
    assert asked.policies == ()


@pytest.mark.parametrize(
    ("parameter", "shown"),
    [
        (Parameter(None), None),
        (Parameter(b""), ""),
        (Parameter(b"caf\xc3\xa9\xff"), "café\\xff"),
        (Parameter(b"\x00\xff", True), "00 ff"),
        (Parameter(b"x" * MAX_PARAMETER), "x" * MAX_PARAMETER),
        (Parameter(b"x" * (MAX_PARAMETER + 1)), "x" * MAX_PARAMETER + f"… ({MAX_PARAMETER + 1} bytes)"),
    ],
)
def test_parameters_are_texts_of_a_bounded_length(parameter, shown):
    (asked,) = tell(intent(parameters=(parameter,)))
    assert asked.parameters == (shown,)


def test_long_statements_are_cut():
    (asked,) = tell(intent(text="x" * (MAX_TEXT + 1), upstream="y" * (MAX_TEXT + 1)))
    assert (len(asked.text), len(asked.upstream)) == (MAX_TEXT, MAX_TEXT)


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (Header(0, 1, {"agent": "a"}), [Opened(1, 0, {"agent": "a"})]),
        (Event(1, 2, "lease", {"user": "u"}), [Happened(2, 0, "lease", {"user": "u"})]),
        (End(5, 3, "bye", 1.0, {"rows": 2}), [Ended(3, 0, "bye", {"rows": 2})]),
        (relayed(Direction.TO_TARGET), [Opaque(7, 4, 5, "sent by the agent")]),
        (relayed(), []),
        (Seal(6, 4, {}, b""), []),
    ],
)
def test_records_of_every_protocol(record, told):
    assert list(tell(record)) == told


def test_without_a_decoder_sizes_stand_for_contents():
    found = list(decode_opaque([relayed(), Event(1, 2, "x", {})], rows=5))
    assert [type(each) for each in found] == [Opaque, Happened]
    assert (found[0].size, found[0].statement) == (5, 4)


def test_json_counts_in_seconds_and_names_its_type():
    found = as_json(Done(1_500_000_001, 2, "SELECT 1"))
    assert found == {"at": 1.5, "statement": 2, "tag": "SELECT 1", "type": "done"}
    json.dumps([as_json(each) for each in tell(intent())])
