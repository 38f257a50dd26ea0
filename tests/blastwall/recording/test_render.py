"""Playback on a terminal: recorded text stays behind its bar and steers nothing."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from blastwall.recording.render import MAX_CELL, MAX_COLUMNS, MAX_STATEMENT, VERDICTS, render
from blastwall.recording.shown import Asked, Done, Ended, Happened, Opaque, Opened, Said, Table

HOSTILE = "\x1b[2J\x9b1m\r\u202eevil[bold]"


def printed(shown, width: int = 100, *, color: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=color, color_system="standard" if color else None)
    for each in render(shown):
        console.print(each)
    return out.getvalue()


def asked(**changes) -> Asked:
    values = {
        "at": 0,
        "statement": 3,
        "kind": "execute",
        "text": "SELECT 1",
        "upstream": None,
        "parameters": (),
        "verdict": "permit",
        "why": "",
        "hint": "",
        "policies": ("read-ok",),
        "risk": 10,
        "effect": "read",
        "verb": "select",
        "approval": "",
        "redacted": False,
    }
    return Asked(**{**values, **changes})


EVERYTHING = [
    Opened(
        0,
        0,
        {
            "principal": {"agent": HOSTILE, "on_behalf_of": HOSTILE},
            "target": {"name": HOSTILE},
            "session": HOSTILE,
            "break_glass": HOSTILE,
            "started_at": 0,
        },
    ),
    asked(
        text=HOSTILE,
        upstream=HOSTILE,
        parameters=(HOSTILE,),
        why=HOSTILE,
        hint=HOSTILE,
        policies=(HOSTILE,),
        effect=HOSTILE,
        verb=HOSTILE,
        approval=HOSTILE,
    ),
    Table(0, 1, (HOSTILE,), ((HOSTILE,),), 2),
    Said(0, 1, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, True),
    Done(0, 1, HOSTILE),
    Happened(0, 0, HOSTILE, {HOSTILE: HOSTILE}),
    Opaque(0, 1, 5, HOSTILE),
    Ended(0, 0, HOSTILE, {HOSTILE: HOSTILE}),
]


@pytest.mark.parametrize("shown", EVERYTHING, ids=lambda shown: type(shown).__name__)
def test_nothing_recorded_reaches_the_terminal_as_a_control_or_markup(shown):
    text = printed(shown)
    assert not set(text) & set("\x1b\x9b\r\u202e")
    assert "[bold]" in text.replace("\n", "").replace(" ", "") or isinstance(shown, Said), text


def test_a_statement_cannot_look_like_a_line_of_ours():
    lines = printed(asked(text="SELECT 1\n#9 permit  read select\n■ end"), width=60).splitlines()
    assert lines[0].startswith("#3 permit")
    assert [line[:4] for line in lines[1:4]] == ["  │ "] * 3


def test_lines_that_the_width_makes_stand_behind_the_bar_too():
    lines = printed(asked(text="x" * 300), width=40).splitlines()
    body = [line for line in lines if "x" in line and not line.startswith("#")]
    assert len(body) > 5
    assert all(line.startswith("  │ ") and len(line) <= 40 for line in body)


def test_what_went_upstream_and_the_parameters_are_shown_apart():
    lines = printed(asked(upstream="SELECT 2", parameters=("a", None), redacted=True)).splitlines()
    assert "secrets removed" in lines[0]
    assert lines[1:] == ["  │ SELECT 1", "  ┊ SELECT 2", "    $1 = a", "    $2 = NULL"]


@pytest.mark.parametrize("verdict", [*VERDICTS, "unheard-of"])
def test_refusals_never_look_like_permits(verdict):
    green = "\x1b[32m"
    assert (green in printed(asked(verdict=verdict), color=True)) is (verdict == "permit")


def test_tables_are_cut_and_say_so():
    wide = Table(0, 1, tuple(f"c{n}" for n in range(MAX_COLUMNS + 3)), ((None, "x" * 500, *"ab"),), 1234)
    text = printed(wide, width=400)
    assert "… 3 more" in text
    assert "… 1,234 more" in text
    assert "NULL" in text
    assert f"c{MAX_COLUMNS - 1}" in text
    assert f"c{MAX_COLUMNS} " not in text
    assert text.count("x") <= MAX_CELL + 1


def test_masked_cells_are_marked_with_and_without_colours():
    rows = (("1", "***", None), ("2", "open", "x"))
    table = Table(0, 1, ("id", "ssn", "note"), rows, 0, ((1,), ()), ("public.people.ssn (redact)",), 1234)
    text = printed(table)
    assert "▒ ***" in text
    assert "▒ open" not in text
    assert "masked: public.people.ssn (redact); 1,234 values masked by the gateway" in text
    assert "\x1b[35m▒ ***" in printed(table, color=True)


def test_long_statements_are_cut():
    assert printed(asked(text="x" * (MAX_STATEMENT + 500))).count("x") < MAX_STATEMENT + 10


def test_the_beginning_names_who_and_the_reason_for_breaking_the_glass():
    header = {
        "principal": {"agent": "bot", "on_behalf_of": "ana"},
        "target": {"name": "shop"},
        "session": "s-1",
        "started_at": 1_800_000_000,
    }
    line = printed(Opened(0, 0, header))
    assert "bot for ana at shop, 2027-01-15 08:00:00 UTC  session s-1" in line
    assert "BREAK GLASS" not in line
    assert "BREAK GLASS: outage" in printed(Opened(0, 0, {**header, "break_glass": "outage"}), width=200)


def test_an_events_fields_are_told_briefly_and_cannot_look_like_others():
    fields = {
        "approval": "a-1",
        "by": ["ana@example.test", "bo"],
        "note": "fine, state approved",
        "person": "",
        "blast": {"rows": 25, "known": True, "blocked": []},
        "questions": ["SELECT " + "x" * 500],
    }
    text = " ".join(line.strip() for line in printed(Happened(0, 0, "decided", fields)).splitlines())
    assert text.startswith(
        '· decided  approval a-1, by ana@example.test + bo, note "fine, state approved", blast (rows 25, known true), quest'
    )
    assert text.count("x") < 100


def test_an_event_of_any_depth_is_told():
    deep: object = "end"
    for _ in range(5000):
        deep = [deep]
    assert "…" in printed(Happened(0, 0, "odd", {"deep": deep, "tree": {"a": {"b": {"c": {"d": {"e": 1}}}}}}))
