"""Recordings as asciicast version 2, which asciinema plays (https://docs.asciinema.org/manual/asciicast/v2/)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator

from rich.console import Console

from blastwall.recording.play import pauses
from blastwall.recording.records import Header
from blastwall.recording.render import render
from blastwall.recording.shown import Shown
from blastwall.recording.terminal import neutral

WIDTH, HEIGHT = 120, 36


def asciicast(header: Header, shown: Iterable[Shown], *, width: int = WIDTH, height: int = HEIGHT) -> Iterator[str]:
    """Yield the file's lines: a JSON object, then ``[seconds, "o", text]`` for each thing shown.

    Only our own colours are escape sequences in it: recorded text has been made harmless before.
    """
    principal, target = header.raw["principal"], header.raw["target"]
    title = f"{principal.get('agent')} at {target.get('name')} ({header.recording})"
    yield json.dumps(
        {
            "version": 2,
            "width": width,
            "height": height,
            "timestamp": int(header.started_at),
            "idle_time_limit": 5,
            "title": neutral(title, 200),
            "env": {"TERM": "xterm-256color"},
        }
    )
    clock = 0.0
    for pause, value in pauses(shown, 1.0, idle=float("inf")):
        clock += pause
        text = _terminal(value, width)
        if text:
            yield json.dumps([round(clock, 6), "o", text])


def _terminal(value: Shown, width: int) -> str:
    page = io.StringIO()
    console = Console(
        file=page, force_terminal=True, color_system="standard", width=width, legacy_windows=False, _environ={}
    )
    for part in render(value):
        console.print(part, highlight=False, markup=False, emoji=False)
    return page.getvalue().replace("\n", "\r\n")
