"""Playback on a terminal and as JSON: in time, complete, and deaf to what recordings would like to say to it."""

from __future__ import annotations

import io
import json
import re

import pytest
from rich.console import Console

from blastwall.model import Denial, DenialCode, Effect, Facts, Masked, Pending, Permit, Statement, StatementKind
from blastwall.protocols.postgres.replay import decode
from blastwall.recording.play import json_lines, pauses, play, records_to_the_end
from blastwall.recording.reader import Reader
from blastwall.recording.shown import Asked, Done, Ended, Opaque, Opened, as_json, decode_opaque

HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\x9b1A\u202egnorw\u2066[bold red]markup[/] \x00" + " #99 permit" * 30


def shown(data, decoder=decode):
    reader = Reader(io.BytesIO(bytes(data)))
    return list(decoder(records_to_the_end(reader), rows=20))


def printed(values, **options):
    page = io.StringIO()
    console = Console(
        file=page, width=options.pop("width", 100), force_terminal=True, color_system="standard", _environ={}
    )
    play(values, console, speed=1.0, wait=lambda seconds: None)
    return page.getvalue()


def test_time_passes_as_it_was_recorded(begin, sink):
    ticks = iter([0, 0, 1_000_000_000, 3_000_000_000, 3_500_000_000, 63_500_000_000, *[64_000_000_000] * 5])
    writer = begin(ticks=lambda: next(ticks))
    for name in ("one", "two", "three", "four"):
        writer.event(name, {})
    writer.close("end")
    values = shown(sink.data)
    assert [round(pause, 3) for pause, _ in pauses(values, 1.0)] == [0, 1, 2, 0.5, 5, 0.5]
    assert [round(pause, 3) for pause, _ in pauses(values, 2.0, idle=100)] == [0, 0.5, 1, 0.25, 30, 0.25]
    waited = []
    page = io.StringIO()
    play(values, Console(file=page), speed=1.0, wait=waited.append)
    assert waited == [1, 2, 0.5, 5, 0.5]
    assert "(60 s later)" in page.getvalue()


def test_verdicts_are_told_apart(begin, sink, facts):
    writer = begin()
    asked = [
        (Permit("q"), "permit"),
        (Permit("q", would_have="denial: policy"), "observed"),
        (Denial(DenialCode.POLICY, "no"), "denied"),
        (Denial(DenialCode.PENDING, "wait", ticket="ap-9"), "held"),
        (Pending(("p",), ("owners",)), "held"),
    ]
    for number, (decision, _) in enumerate(asked, start=1):
        writer.intent(Statement("q", number=number), facts, decision)
    writer.close("end")
    found = [value for value in shown(sink.data) if isinstance(value, Asked)]
    assert [value.verdict for value in found] == [verdict for _, verdict in asked]
    assert found[1].why == "enforce mode would have answered: denial: policy"
    assert found[3].approval == "ap-9"


def hostile_recording(begin, sink):
    writer = begin(header={"client_address": HOSTILE})
    text = f"SELECT 1 {HOSTILE}\n#99 permit  read select\n  │ DROP TABLE x"
    facts = Facts(Effect.READ, HOSTILE, fingerprint="f")
    writer.intent(Statement(text, number=1), facts, Permit(HOSTILE + "up", (HOSTILE,)))
    name = HOSTILE.replace("\0", "").encode("utf-8", "replace")
    body = b"\0\1" + name + b"\0" + bytes(12) + b"\xff\xff\xff\xff\0\0"
    rows = b"T" + (len(body) + 4).to_bytes(4, "big") + body
    cell = HOSTILE.encode("utf-8", "replace") + b"\xff\xfe"
    value = b"\0\1" + len(cell).to_bytes(4, "big") + cell
    rows += b"D" + (len(value) + 4).to_bytes(4, "big") + value
    tag = b"SELECT 1" + name + b"\0"
    rows += b"C" + (len(tag) + 4).to_bytes(4, "big") + tag
    said = b"S" + name + b"\0V" + name + b"\0C" + name + b"\0M" + name + b"\0D" + name + b"\0H" + name + b"\0\0"
    for kind in (b"N", b"E"):
        rows += kind + (len(said) + 4).to_bytes(4, "big") + said
    writer.relayed(Masked(rows, 1, 1, HOSTILE, HOSTILE))
    writer.event(HOSTILE, {HOSTILE: HOSTILE})
    denial = Denial(DenialCode.POLICY, HOSTILE, HOSTILE, (HOSTILE,), ticket=HOSTILE)
    writer.intent(Statement(HOSTILE, StatementKind.PREPARE, number=2), facts, denial)
    writer.close(HOSTILE)
    return shown(sink.data)


SGR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("width", [20, 37, 80, 400])
def test_hostile_recordings_print_nothing_but_text_and_our_colours(begin, sink, width):
    values = hostile_recording(begin, sink)
    page = printed(values, width=width)
    rest = SGR.sub("", page)
    assert all(character.isprintable() or character == "\n" for character in rest)
    if width == 400:
        assert "\\x1b]0;owned\\x07" in rest
        assert "[bold red]markup[/]" in rest
    asked = [line for line in rest.splitlines() if line.startswith("#")]
    assert [line.split()[0] for line in asked] == ["#1", "#2"], "a recorded line cannot pass for one of ours"


def test_json_is_one_object_a_line_whatever_was_recorded(begin, sink):
    values = hostile_recording(begin, sink)
    lines = list(json_lines(values))
    assert len(lines) == len(values)
    for line in lines:
        assert line.isascii()
        assert line.isprintable()
        assert {"at", "type", "statement"} <= set(json.loads(line))
    asked = json.loads(lines[1])
    assert asked["type"] == "asked"
    assert asked["text"].startswith(f"SELECT 1 {HOSTILE}")


def test_a_truncated_recording_says_so_at_its_end(begin, ask, sink):
    writer = begin()
    ask(writer, 1)
    writer.commit()
    values = shown(sink.data)
    assert isinstance(values[0], Opened)
    assert isinstance(values[-1], Ended)
    assert "stops here" in values[-1].reason
    assert "stops here" in shown(bytes(sink.data) + b"\0\0\0\0\0\0\1")[-1].reason


def test_a_tampered_recording_plays_up_to_the_damage_and_says_so(begin, ask, sink):
    writer = begin()
    ask(writer, 1, "SELECT 'before'")
    writer.commit()
    at = len(sink.data)
    ask(writer, 2, "SELECT 'after'")
    writer.commit()
    data = bytearray(sink.data)
    data[at + 100] ^= 1
    values = shown(data)
    assert [value.text for value in values if isinstance(value, Asked)] == ["SELECT 'before'"]
    assert values[-1].reason.startswith("TAMPERED")


def test_protocols_without_a_decoder_show_sizes(begin, ask, sink):
    writer = begin()
    ask(writer, 1)
    writer.relayed(Masked(b"whatever", 1))
    writer.close("end")
    values = shown(sink.data, decode_opaque)
    assert [type(value) for value in values] == [Opened, Asked, Opaque, Ended]
    assert values[2].size == 8


def test_parameters_are_readable(begin, ask, sink):
    from blastwall.model import Parameter

    writer = begin()
    bound = (
        Parameter(None),
        Parameter(b"ana"),
        Parameter(b"\0\0\0\7", True),
        Parameter(b"\xff"),
        Parameter(b"y" * 300),
    )
    ask(writer, 1, parameters=bound)
    writer.close("end")
    (asked,) = [value for value in shown(sink.data) if isinstance(value, Asked)]
    assert asked.parameters == (None, "ana", "00 00 00 07", "\\xff", "y" * 200 + "… (300 bytes)")
    assert "$1 = NULL" in SGR.sub("", printed([asked]))


@pytest.mark.parametrize("value", [Done(1_500_000_000, 3, "SELECT 1")])
def test_json_times_are_seconds(value):
    assert as_json(value) == {"at": 1.5, "statement": 3, "tag": "SELECT 1", "type": "done"}
