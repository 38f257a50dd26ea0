"""``blastwall recordings``: list, verify, replay and export what was recorded."""

from __future__ import annotations

import importlib
import importlib.util
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from blastwall import protocols
from blastwall.local.recordings import Entry, Shelf
from blastwall.local.signer import PUBLIC, trusted_keys
from blastwall.recording.asciicast import asciicast
from blastwall.recording.export import page, statements_csv
from blastwall.recording.play import json_lines, play, records_to_the_end
from blastwall.recording.reader import Reader, read_header
from blastwall.recording.records import Header
from blastwall.recording.shown import Decode, Shown, decode_opaque
from blastwall.recording.terminal import neutral
from blastwall.recording.verify import State

STATES = {"complete": "green", "live": "cyan", "truncated": "yellow", "unreadable": "red"}
VERDICTS = {State.INTACT: "green", State.UNSIGNED: "yellow", State.TRUNCATED: "yellow", State.TAMPERED: "bold red"}

state_option = click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".state"),
    show_default=True,
    envvar="BLASTWALL_STATE",
    help="The state directory.",
)
rows_option = click.option(
    "--rows", type=click.IntRange(0, 100_000), default=20, show_default=True, help="Of a result."
)


@click.group(short_help="List, verify, replay and export recordings.")
def command() -> None:
    """What agents asked, what was decided, and what they received."""


@command.command("ls")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="The newest so many.")
@state_option
def ls(form: str, limit: int, state: Path) -> None:
    """Recordings, the newest first. Listing verifies nothing: `recordings verify ID` does."""
    found = []
    for entry in Shelf(state).entries():
        found.append(entry.summary())
        if len(found) == limit:
            break
    if form == "json":
        for summary in found:
            click.echo(json.dumps(summary, sort_keys=True, default=str))
        return
    if not found:
        click.echo(f"no recordings in {state / 'recordings'}")
        return
    console = Console()
    console.print(_listing(found, wide=console.width >= 110))


@command.command("verify")
@click.argument("id", required=False)
@click.option("--all", "every", is_flag=True, help="Every recording.")
@click.option(
    "--key",
    "keys",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help=f"A public key to trust (PEM) instead of STATE/keys/{PUBLIC}; may be given again.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@state_option
def verify(id: str | None, every: bool, keys: tuple[Path, ...], form: str, state: Path) -> int:
    """Check a recording against its hash chain and its signature. Exit code 0 only when all asked for are intact."""
    shelf = Shelf(state)
    if (id is None) != every:
        raise click.UsageError("give the ID of one recording, or --all")
    own = state / "keys" / PUBLIC
    trusted = trusted_keys(*(keys or ([own] if own.exists() else [])))
    whole = True
    for entry in list(shelf.entries()) if id is None else [shelf.find(id)]:
        verdict = entry.verify(trusted)
        whole = whole and verdict.state is State.INTACT
        if form == "json":
            click.echo(json.dumps({**asdict(verdict), "id": entry.id, "live": entry.live()}, sort_keys=True))
            continue
        line = Text.assemble(
            entry.id, "  ", (str(verdict.state), VERDICTS[verdict.state]), f"  {neutral(verdict.reason)}"
        )
        if verdict.state in (State.TRUNCATED, State.TAMPERED):
            line.append(f" Whole up to block {verdict.block} at byte {verdict.offset:,} ({verdict.records:,} records).")
        if verdict.state is State.TRUNCATED and entry.live():
            line.append(" It is still being written.")
        Console(soft_wrap=True).print(line, highlight=False)
    return 0 if whole else 1


@command.command("play")
@click.argument("id")
@click.option("--speed", type=click.FloatRange(0.01, 1000), default=1.0, show_default=True, help="Times as fast.")
@click.option("--no-wait", is_flag=True, help="All at once.")
@click.option("--idle", type=click.FloatRange(0), default=5.0, show_default=True, help="The longest pause, in seconds.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@rows_option
@state_option
def play_(id: str, speed: float, no_wait: bool, idle: float, form: str, rows: int, state: Path) -> None:
    """Replay a recording as it happened: statements, verdicts, results. A unique beginning of the ID is enough."""
    with _opened(Shelf(state).find(id), rows) as (_, shown):
        if form == "json":
            for line in json_lines(shown):
                click.echo(line)
            return
        play(shown, Console(), speed=speed, wait=_no_wait if no_wait else time.sleep, idle=idle)


@command.command("export")
@click.argument("id")
@click.option(
    "--format",
    "form",
    type=click.Choice(["asciicast", "csv", "html", "json"]),
    default="asciicast",
    show_default=True,
    help="asciicast v2 for asciinema; csv: the statements; html: a page without scripts; json: one value a line.",
)
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="A new file [default: stdout].")
@rows_option
@state_option
def export(id: str, form: str, output: Path | None, rows: int, state: Path) -> None:
    """Export a recording for another program."""
    with _opened(Shelf(state).find(id), rows) as (header, shown):
        lines = _exported(form, header, shown)
        if output is None:
            for line in lines:
                click.echo(line, nl=False)
            return
        try:
            with output.open("x", encoding="utf-8", newline="") as file:
                file.writelines(lines)
        except FileExistsError as error:
            raise click.UsageError(f"{output} exists already; give another name") from error


def _exported(form: str, header: Header, shown: Iterator[Shown]) -> Iterator[str]:
    match form:
        case "asciicast":
            return (line + "\n" for line in asciicast(header, shown))
        case "csv":
            return statements_csv(header, shown)
        case "html":
            return page(header, shown)
        case _:
            return (line + "\n" for line in json_lines(shown))


@contextmanager
def _opened(entry: Entry, rows: int) -> Iterator[tuple[Header, Iterator[Shown]]]:
    with entry.open() as file:
        header = read_header(file)
        file.seek(0)
        decode = decoder(header.protocol)
        yield header, iter(decode(records_to_the_end(Reader(file)), rows=rows))


def decoder(protocol: str) -> Decode:
    """The playback decoder of a protocol folder. The name is a recording's word: only folders that exist are tried."""
    folders = {path.name for root in protocols.__path__ for path in Path(root).iterdir() if path.is_dir()}
    name = f"blastwall.protocols.{protocol}.replay"
    if protocol not in folders or not protocol.isidentifier() or importlib.util.find_spec(name) is None:
        return decode_opaque
    decode: Decode = importlib.import_module(name).decode
    return decode


def _no_wait(seconds: float) -> None:
    pass


def _listing(found: list[dict[str, Any]], *, wide: bool) -> Table:
    """A narrow terminal is shown ids cut to what finds them, and neither years nor sessions."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("id", no_wrap=True)
    for title in ("agent", "target"):
        table.add_column(title, overflow="fold")
    table.add_column("started", no_wrap=True)
    for title in ("took", "asked", "denied"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    if wide:
        table.add_column("session", overflow="fold", style="dim")
    for summary in found:
        cells: list[RenderableType] = [
            _plain(summary["id"] if wide else summary["id"][:12]),
            _plain(summary.get("agent")),
            _plain(summary.get("target")),
            _time(summary.get("started_at"), wide=wide),
            _duration(summary.get("duration")),
            _plain(summary.get("statements")),
            _plain(summary.get("denied")),
            Text(summary["state"], style=STATES[summary["state"]]),
        ]
        table.add_row(*cells, *([_plain(summary.get("session"))] if wide else []))
    return table


def _plain(value: object) -> Text:
    """A recorded value as a cell: harmless, and never read as markup."""
    return Text("" if value is None else neutral(str(value), 60))


def _time(value: object, *, wide: bool) -> str:
    if not isinstance(value, int | float) or not 0 <= value < 1e11:
        return ""
    return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%MZ" if wide else "%m-%d %H:%MZ")


def _duration(value: object) -> str:
    if not isinstance(value, int | float):
        return ""
    minutes, seconds = divmod(value, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{int(seconds):02}" if hours or minutes else f"{seconds:.1f} s"
