"""Playback as terminal output. Everything recorded passes ``terminal.neutral``; nothing recorded is read as markup.

Recorded lines stand behind a bar of their own, so that a statement cannot look like a line of ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table as Grid
from rich.text import Text

from blastwall.recording.shown import Asked, Done, Ended, Happened, Opaque, Opened, Said, Shown, Streamed, Table
from blastwall.recording.terminal import neutral, neutral_lines

MAX_COLUMNS = 20
MAX_CELL = 120
MAX_STATEMENT = 4_000
MAX_LINE = 500
MAX_FIELD, DEEPEST_FIELD = 80, 4  # of one field of an event

MASKED = "magenta"  # what the agent saw in a value's place
VERDICTS = {"permit": "green", "observed": "yellow", "held": "bold yellow", "denied": "bold red"}
STREAMS = {"errors": "red", "input": "cyan"}
BARS = {"output": "│", "errors": "!", "input": "<"}


def render(shown: Shown) -> Iterator[RenderableType]:
    """Yield what to print for one value."""
    match shown:
        case Opened():
            yield Indented(_opened(shown), "  ", "▶ ")
        case Asked():
            yield from _asked(shown)
        case Table():
            yield from _table(shown)
        case Said():
            yield from _said(shown)
        case Streamed():
            yield _barred(shown.text, BARS.get(shown.stream, "│"), STREAMS.get(shown.stream, ""))
        case Done():
            yield Indented(Text(neutral(shown.tag, MAX_LINE), style="dim"))
        case Happened():
            fields = neutral(_told(dict(shown.fields)), MAX_LINE)
            line = Text.assemble(("· ", "cyan"), neutral(shown.name, 100), (f"  {fields}", "dim"))
            yield Indented(line, "  ")
        case Opaque():
            yield Indented(Text(f"{shown.size:,} bytes: {neutral(shown.note, MAX_LINE)}", style="dim italic"))
        case Ended():
            totals = ", ".join(f"{neutral(str(value), 20)} {neutral(name, 40)}" for name, value in shown.totals.items())
            last = neutral(shown.reason, MAX_LINE) + (f" ({totals})" if totals else "")
            yield Indented(Text(last, style="bold"), "  ", "■ ")


_PLAIN = re.compile(r"[\w@.:/-]+", re.ASCII)


def _told(fields: dict[str, Any], depth: int = 0) -> str:
    """An event's fields for people: what is empty is left out, what is long is cut. JSON lines have all of it."""
    kept = [(name, value) for name, value in fields.items() if value not in ("", None, [], {}, ())]
    return ", ".join(f"{name} {_brief(value, depth)}" for name, value in kept)


def _brief(value: object, depth: int) -> str:
    if isinstance(value, dict | list | tuple) and depth >= DEEPEST_FIELD:
        return "…"
    if isinstance(value, dict):
        return f"({_told(value, depth + 1)})"
    if isinstance(value, list | tuple):
        return " + ".join(_brief(item, depth + 1) for item in value)[:MAX_FIELD]
    plain = isinstance(value, str) and _PLAIN.fullmatch(value)  # anything else is quoted: it could look like a field
    text = str(value) if plain else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= MAX_FIELD else f"{text[:MAX_FIELD]}…"


def _opened(shown: Opened) -> Text:
    header = shown.header
    principal, target = header.get("principal", {}), header.get("target", {})
    agent, person = neutral(str(principal.get("agent")), 100), principal.get("on_behalf_of")
    whom = f" for {neutral(str(person), 100)}" if person else ""
    started = header.get("started_at", 0)
    when = datetime.fromtimestamp(float(started), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    line = Text.assemble((f"{agent}{whom}", "bold"), f" at {neutral(str(target.get('name')), 100)}, {when}")
    line.append(f"  session {neutral(str(header.get('session')), 100)}", style="dim")
    if header.get("break_glass"):
        line.append(f"  BREAK GLASS: {neutral(str(header.get('break_glass')), MAX_LINE)}", style="bold red")
    return line


def _asked(shown: Asked) -> Iterator[RenderableType]:
    head = Text.assemble((f"#{shown.statement} ", "dim"), (shown.verdict, VERDICTS.get(shown.verdict, "bold red")))
    details = [shown.kind] if shown.kind != "execute" else []
    details += [neutral(f"{shown.effect} {shown.verb}".strip(), 100), f"risk {shown.risk}"]
    if shown.policies:
        details.append("by " + neutral(", ".join(shown.policies), 200))
    if shown.approval:
        details.append(f"approval {neutral(shown.approval, 100)}")
    if shown.redacted:
        details.append("secrets removed")
    head.append("  " + " · ".join(details), style="dim")
    yield Indented(head, first="")
    yield _barred(shown.text, "│", "")
    if shown.upstream is not None:
        yield _barred(shown.upstream, "┊", "magenta")
    for number, value in enumerate(shown.parameters, start=1):
        yield Indented(Text(f"${number} = {'NULL' if value is None else neutral(value, MAX_LINE)}", style="cyan"))
    if shown.why:
        yield Indented(Text(neutral(shown.why, MAX_LINE), style=VERDICTS.get(shown.verdict, "")))
    if shown.hint:
        yield Indented(Text(neutral(shown.hint, MAX_LINE), style="dim"))


class Indented:
    """Text whose every line stands behind ``indent``, those too that the terminal's width makes."""

    def __init__(self, text: Text, indent: str = "    ", first: str | None = None) -> None:
        self._text = text
        self._indent = indent
        self._first = indent if first is None else first

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(options.max_width - len(self._indent), 1)
        for number, line in enumerate(self._text.wrap(console, width, overflow="fold")):
            line.rstrip()
            yield Text.assemble(
                (self._indent if number else self._first, line.style), line, no_wrap=True, overflow="fold"
            )


def _barred(text: str, bar: str, style: str) -> Indented:
    """Recorded text behind a bar."""
    return Indented(Text("\n".join(neutral_lines(text, MAX_STATEMENT)), style=style), f"  {bar} ")


def _table(shown: Table) -> Iterator[RenderableType]:
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=True)
    columns = shown.columns[:MAX_COLUMNS]
    for name in columns:
        grid.add_column(Text(neutral(name, MAX_CELL)), overflow="fold")
    hidden = len(shown.columns) - len(columns)
    if hidden:
        grid.add_column(Text(f"… {hidden} more", style="dim"))
    for place, row in enumerate(shown.rows):
        masked = shown.masked[place] if place < len(shown.masked) else ()
        grid.add_row(*(_cell(value, number in masked) for number, value in enumerate(row[:MAX_COLUMNS])))
    if shown.columns:
        yield grid
    if shown.more:
        yield Indented(Text(f"… {shown.more:,} more", style="dim"))
    if shown.hidden or shown.replaced:
        by_rule = "masked: " + ", ".join(neutral(rule, MAX_CELL) for rule in shown.hidden) if shown.hidden else ""
        replaced = f"{shown.replaced:,} values masked by the gateway" if shown.replaced else ""
        yield Indented(Text("; ".join(filter(None, (by_rule, replaced))), style=MASKED))


def _cell(value: str | None, masked: bool = False) -> Text:
    if value is None:
        return Text("NULL", style="dim")
    text = neutral(value, MAX_CELL)
    return Text(f"▒ {text}", style=MASKED) if masked else Text(text)


def _said(shown: Said) -> Iterator[RenderableType]:
    style = "red" if shown.failed else "yellow"
    code = f" {neutral(shown.code, 10)}" if shown.code else ""
    yield _barred(f"{shown.severity}{code}: {shown.message}"[:MAX_STATEMENT], "│", style)
    if shown.detail:
        yield _barred(f"DETAIL: {shown.detail}", "│", style)
    if shown.hint:
        yield _barred(f"HINT: {shown.hint}", "│", style)
