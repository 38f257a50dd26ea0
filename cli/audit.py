"""``blastwall audit``: the audit events of a local gateway, projected from its recordings."""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from blastwall.local.audit import AuditTrail
from blastwall.local.query import Answer, ask
from blastwall.recording.export import cell, csv_line
from blastwall.recording.terminal import neutral
from cli import place

DECISIONS = {"permit": "green", "observed": "yellow", "held": "bold yellow", "denied": "bold red"}
WIDE = 100  # columns from which every fact of an event has a column of its own
READABLE = 20  # columns that a value wants, if it is as long: narrower ones are shown one below the other


@click.group(short_help="Read audit events.")
def command() -> None:
    """Audit events (OCSF): who asked what of which target, and what was decided."""


@command.command("ls")
@click.option("--agent", help="Only of this agent.")
@click.option("--target", help="Only at this target.")
@click.option("--decision", type=click.Choice(sorted(DECISIONS)), help="Only statements decided so.")
@click.option("--since", metavar="TIME", help="Since 2026-11-22, 2026-11-22T10:00, or for the last 90s, 15m, 2h, 7d.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="The newest so many.")
@place.format_option("table", "json")
@place.state_option
def ls(
    agent: str | None,
    target: str | None,
    decision: str | None,
    since: str | None,
    limit: int,
    form: str,
    state: Path,
) -> None:
    """Audit events, the oldest first. What was recorded a moment ago is there already."""
    trail = AuditTrail(place.used(state))
    after = 0.0 if since is None else moment(since, time.time())
    if (state / "recordings").is_dir():
        trail.catch_up()
    day = datetime.fromtimestamp(max(after, 0.0), UTC).date().isoformat()
    chosen = _chosen(trail.events(day), agent, target, decision, after)
    newest = deque(chosen, limit)
    if form == "json":
        place.echo_json(*newest)
        return
    if not newest:
        click.echo("no such audit events", err=True)
        return
    console = place.console()
    console.print(_listing(newest) if console.width >= WIDE else _narrow(newest))


@command.command("query")
@click.argument("sql")
@click.option("--since", default="", metavar="DAY", help="Look at the days from this one on (2026-11-22), no others.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="Rows at most.")
@click.option("--timeout", type=click.FloatRange(0.1, 3600), default=30.0, show_default=True, help="Seconds at most.")
@place.format_option("table", "json", "csv")
@place.state_option
def query(sql: str, since: str, limit: int, timeout: float, form: str, state: Path) -> None:
    """Answer one SELECT over the table audit_events, the same as in Athena; docs/queries.md has the usual questions."""
    if since and re.fullmatch(r"\d{4}-\d{2}-\d{2}", since) is None:
        raise click.BadParameter(f"{since!r} is not a day like 2026-11-22", param_hint="--since")
    if (place.used(state) / "recordings").is_dir():
        AuditTrail(state).catch_up()
    answer = ask(state / "audit", sql, since=since, limit=limit, seconds=timeout)
    if form == "json":
        for row in answer.rows:
            click.echo(json.dumps(dict(zip(answer.columns, row, strict=True)), default=str))
    elif form == "csv":
        for cells in (answer.columns, *answer.rows):
            click.echo(csv_line("" if value is None else cell(_text(value)) for value in cells), nl=False)
    else:
        _show(answer)
    if answer.more:
        click.echo(f"there are more than these {limit} rows: --limit shows others", err=True)


def _show(answer: Answer) -> None:
    """Whatever is in the rows, and in the names that the SQL gave them: neither can act on the terminal.

    A table, or where its columns would be too narrow to read, one value below the other.
    """
    names = [neutral(name, 60) for name in answer.columns]
    rows = [["" if value is None else neutral(_text(value), 500) for value in row] for row in answer.rows]
    if not rows:
        click.echo("no rows", err=True)
    console = place.console()
    wanted = [min(READABLE, max(map(len, column))) for column in zip(names, *rows, strict=True)]
    if sum(wanted) + 2 * len(wanted) <= console.width:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in names:
            table.add_column(Text(name), overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table)
        return
    for number, row in enumerate(rows, 1):
        console.print(Text(f"row {number}", style="bold"))
        block = Table(box=None, pad_edge=False, show_header=False)
        block.add_column(no_wrap=True, style="dim")
        block.add_column(overflow="fold")
        for name, value in zip(names, row, strict=True):
            block.add_row(Text(name), Text(value))
        console.print(block)


def _text(value: object) -> str:
    """A value as a program reads it: JSON for what has parts."""
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, default=str)
    return str(value)


def moment(text: str, now: float) -> float:
    """Seconds since the epoch of an ISO date or time (UTC unless it says otherwise), or of a while ago."""
    ago = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if ago is not None:
        return now - int(ago.group(1)) * place.UNITS[ago.group(2)]
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is neither a date, nor a time, nor like 15m", param_hint="--since"
        ) from error
    return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp()


def _chosen(
    events: Iterator[dict[str, Any]], agent: str | None, target: str | None, decision: str | None, after: float
) -> Iterator[dict[str, Any]]:
    for event in events:
        own = _at(event, "unmapped", "blastwall")
        if (
            event["time"] >= after * 1000
            and (agent is None or _at(event, "actor", "user").get("name") == agent)
            and (target is None or _at(event, "dst_endpoint").get("name") == target)
            and (decision is None or own.get("verdict") == decision)
        ):
            yield event


def _at(event: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    value: Any = event
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _facts(event: Mapping[str, Any]) -> tuple[Text, Text, Text, Text, Text]:
    """Agent, target, decision, what was done, and the statement or what happened."""
    own = _at(event, "unmapped", "blastwall")
    verdict = str(own.get("verdict", ""))
    what = own.get("event") or own.get("outcome") or f"{own.get('effect', '')} {own.get('verb', '')}".strip()
    if "status_code" in event:
        what = f"failed: {event['status_code']}"
    said = _at(event, "query_info").get("query_string") or own.get("command") or own.get("request")
    read = _at(own, "read")
    if read.get("how"):
        said = f"{read['how']} {read.get('recording', '')}".strip()
    return (
        Text(neutral(str(_at(event, "actor", "user").get("name", "")), 60)),
        Text(neutral(str(_at(event, "dst_endpoint").get("name", "")), 60)),
        Text(neutral(verdict, 20), style=DECISIONS.get(verdict, "")),
        Text(neutral(str(what), 60)),
        Text(neutral(str(said or event.get("message", "")), 200)),
    )


def _listing(events: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("time (UTC)", no_wrap=True)
    for title in ("agent", "target", "decision", "what", "statement"):
        table.add_column(title, overflow="fold")
    for event in events:
        table.add_row(f"{_when(event):%Y-%m-%d %H:%M:%S}", *_facts(event))
    return table


def _narrow(events: Sequence[Mapping[str, Any]]) -> Table:
    """For a terminal on which six columns would break every word: three, of several lines."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("time (UTC), who", overflow="fold", min_width=14)
    table.add_column("decision", overflow="fold", min_width=12)
    table.add_column("statement", overflow="fold", ratio=1)
    for event in events:
        agent, target, decision, what, statement = _facts(event)
        who = Text.assemble(f"{_when(event):%m-%d %H:%M:%S}\n", agent, " at ", target)
        table.add_row(who, Text("\n").join(part for part in (decision, what) if part.plain), statement)
    return table


def _when(event: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(event["time"] / 1000, UTC)
