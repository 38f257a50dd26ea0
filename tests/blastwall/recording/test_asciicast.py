"""asciicast v2 as asciinema's own specification says, and nothing recorded gets out of its text."""

from __future__ import annotations

import io
import json
import re

import pytest

from blastwall.model import Masked
from blastwall.protocols.postgres.replay import decode
from blastwall.recording.asciicast import HEIGHT, WIDTH, asciicast
from blastwall.recording.play import records_to_the_end
from blastwall.recording.reader import Reader, read_header


@pytest.fixture
def cast(begin, ask, sink):
    writer = begin()
    ask(writer, 1, "SELECT 1\n-- \x1b[2J \x1b]52;c;eA==\x07")
    writer.relayed(Masked(b"C\0\0\0\rSELECT 1\0", 1, 1, "SELECT 1"))
    writer.event("notice", {"text": "\x1bc"})
    writer.close("the client \x1bPleft")
    data = bytes(sink.data)
    header = read_header(io.BytesIO(data))
    return list(asciicast(header, decode(records_to_the_end(Reader(io.BytesIO(data))), rows=5)))


def test_the_header_is_version_2(cast):
    header = json.loads(cast[0])
    assert header["version"] == 2
    assert (header["width"], header["height"]) == (WIDTH, HEIGHT)
    assert header["timestamp"] == 1_800_000_000
    assert header["title"] == "reporting-agent at shop (0123456789abcdef)"


def test_events_are_timed_output_in_order(cast):
    events = [json.loads(line) for line in cast[1:]]
    assert len(events) == 5
    assert all(len(event) == 3 and event[1] == "o" and isinstance(event[2], str) for event in events)
    times = [event[0] for event in events]
    assert times == sorted(times)
    assert all("\n" not in event[2].replace("\r\n", "") for event in events), "a terminal needs both"


def test_the_only_escapes_are_our_colours(cast):
    for line in cast:
        text = "".join(part for part in json.loads(line) if isinstance(part, str)) if line.startswith("[") else line
        rest = re.sub(r"\x1b\[[0-9;]*m", "", text)
        assert all(character.isprintable() or character in "\r\n" for character in rest)
