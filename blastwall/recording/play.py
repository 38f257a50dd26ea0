"""Playback: what a recording shows, when it happened, on a terminal or as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator

from rich.console import Console

from blastwall.recording.codec import Torn
from blastwall.recording.reader import Reader
from blastwall.recording.records import End, Record
from blastwall.recording.render import render
from blastwall.recording.shown import Shown, as_json

IDLE = 5.0  # seconds that a pause lasts at most in playback, after the speed is applied


def records_to_the_end(reader: Reader) -> Iterator[Record]:
    """The reader's records, and when it stops early, an end that says why."""
    last = 0
    ended = False
    for record in reader.records():
        last = record.at
        ended = ended or isinstance(record, End)
        yield record
    if reader.problem is not None and not isinstance(reader.problem, Torn):
        yield End(reader.sequence, last, f"TAMPERED: {reader.problem} Nothing after this can be believed.", 0.0, {})
    elif not ended:
        yield End(
            reader.sequence, last, "The recording stops here: its writer was stopped, or is still at work.", 0.0, {}
        )


def pauses(shown: Iterable[Shown], speed: float, idle: float = IDLE) -> Iterator[tuple[float, Shown]]:
    """Pair each value with the seconds to wait before it."""
    before = 0
    for value in shown:
        yield min(max(value.at - before, 0) / 1e9 / speed, idle), value
        before = max(before, value.at)


def play(
    shown: Iterable[Shown], console: Console, *, speed: float, wait: Callable[[float], object], idle: float = IDLE
) -> None:
    """Print a recording at its own speed; ``wait`` takes seconds. Long pauses are said, not waited out."""
    before = 0
    for pause, value in pauses(shown, speed, idle):
        gap = (value.at - before) / 1e9
        before = max(before, value.at)
        if pause > 0:
            wait(pause)
        if gap > 10 * idle:
            console.print(f"  ({gap:,.0f} s later)", style="dim", highlight=False, markup=False)
        for part in render(value):
            console.print(part, highlight=False, markup=False, emoji=False)


def json_lines(shown: Iterable[Shown]) -> Iterator[str]:
    """One JSON object a value, ASCII only: safe to print and to parse line by line."""
    for value in shown:
        yield json.dumps(as_json(value), default=str, sort_keys=True)
