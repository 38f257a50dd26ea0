"""``blastwall recordings``: list, verify, replay, follow and export what was recorded.

All but verifying shows what agents asked and received: policy decides it (``read-recording``), and it is recorded.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
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
from blastwall.audit.project import JOURNAL
from blastwall.errors import RecordingFault
from blastwall.local.clock import SystemClock
from blastwall.local.recordings import Entry, Shelf
from blastwall.local.sessions import LocalSessions
from blastwall.local.signer import PUBLIC, trusted_keys
from blastwall.local.tail import tail
from blastwall.recording.asciicast import asciicast
from blastwall.recording.codec import SUFFIX, FormatFault
from blastwall.recording.export import page, statements_csv
from blastwall.recording.play import json_lines, play, records_to_the_end
from blastwall.recording.reader import Reader as BlockReader
from blastwall.recording.reader import read_header
from blastwall.recording.records import Header
from blastwall.recording.shown import Decode, Shown, decode_opaque
from blastwall.recording.terminal import neutral
from blastwall.recording.verify import State
from cli import place
from cli.reader import READING, Reader, options

WIDE, NARROW = 110, 72  # columns from which sessions are listed; up to which there is room for nothing but who and when
NEXT_CONNECTION = 0.5  # seconds between two looks for another connection of a followed session
STATES = {"complete": "green", "live": "cyan", "truncated": "yellow", "unreadable": "red"}
VERDICTS = {State.INTACT: "green", State.UNSIGNED: "yellow", State.TRUNCATED: "yellow", State.TAMPERED: "bold red"}

rows_option = click.option(
    "--rows", type=click.IntRange(0, 100_000), default=20, show_default=True, help="Of a result."
)


@click.group(short_help="List, verify, replay, follow and export recordings.")
def command() -> None:
    """What agents asked, what was decided, and what they received."""


@command.command("ls")
@place.format_option("table", "json")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="The newest so many.")
@click.option("--all", "everything", is_flag=True, help="Those too that only tell that a recording was read.")
@place.state_option
@options
def ls(form: str, limit: int, everything: bool, state: Path, reader: Reader) -> None:
    """Recordings that you may read, the newest first. Listing verifies nothing: `recordings verify ID` does."""
    found, hidden = _readable(Shelf(place.used(state)), reader, limit, everything)
    if found or hidden:
        reader.listed(len(found))
    if hidden:
        click.echo(f"{hidden} others are not for you to read", err=True)
    if form == "json":
        place.echo_json(*found)
        return
    if not found:
        click.echo(f"no recordings in {state / 'recordings'}", err=True)
        return
    console = place.console()
    console.print(_listing(found, console.width))


def _readable(shelf: Shelf, reader: Reader, limit: int, everything: bool) -> tuple[list[dict[str, Any]], int]:
    """Summaries of what the reader may read, and how many were passed over that are not for this reader."""
    found: list[dict[str, Any]] = []
    hidden = 0
    for entry in shelf.entries():
        if entry.id.startswith(READING) and not everything:
            continue
        try:
            with entry.open() as file:
                header = read_header(file)
        except (FormatFault, RecordingFault):
            found.append(entry.summary())  # it says that it cannot be read
        else:
            if header.protocol == JOURNAL and not everything:
                continue
            if reader.refusal(header) is not None:
                hidden += 1
                continue
            found.append(entry.summary())
        if len(found) == limit:
            break
    return found, hidden


@command.command("verify")
@click.argument("id", metavar="ID|PATH", required=False)
@click.option("--all", "every", is_flag=True, help="Every recording.")
@click.option(
    "--key",
    "keys",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help=f"A public key to trust (PEM) instead of STATE/keys/{PUBLIC}; may be given again.",
)
@place.format_option("text", "json")
@place.state_option
def verify(id: str | None, every: bool, keys: tuple[Path, ...], form: str, state: Path) -> int:
    """Check a recording against its hash chain and its signature: intact, unsigned, truncated, or tampered (and where).

    It needs the file and the public key, and shows nothing of what was recorded. A PATH is a file anywhere. Exit code 0
    only when all asked for are intact; with --all, what is still being written may be unfinished.
    """
    if (id is None) != every:
        raise click.UsageError("give the ID of one recording, or its PATH, or --all")
    own = state / "keys" / PUBLIC
    trusted = trusted_keys(*(keys or ([own] if own.exists() else [])))
    whole = True
    meant = _meant(id, state)
    if not meant:
        click.echo(f"no recordings in {state / 'recordings'}: nothing was verified", err=True)
    for entry in meant:
        try:
            verdict = entry.verify(trusted)
        except (
            FormatFault,
            RecordingFault,
        ) as fault:  # one that is none, or not to be read, must not keep the others from being looked at
            whole = False
            _unreadable(entry, fault, form)
            continue
        going_on = every and verdict.state is State.TRUNCATED and entry.live()
        whole = whole and (verdict.state is State.INTACT or going_on)
        if form == "json":
            place.echo_json({**asdict(verdict), "id": entry.id, "live": entry.live()})
            continue
        line = Text.assemble(
            entry.id, "  ", (str(verdict.state), VERDICTS[verdict.state]), f"  {neutral(verdict.reason)}"
        )
        if verdict.state in (State.TRUNCATED, State.TAMPERED):
            line.append(f" Whole up to block {verdict.block} at byte {verdict.offset:,} ({verdict.records:,} records).")
        if verdict.proven and verdict.state is not State.INTACT:
            line.append(f" A trusted key signed the first {verdict.proven:,} bytes.")
        if verdict.completed_by:
            line.append(f" Its end was written by another: {neutral(verdict.completed_by, 100)}.")
        if verdict.state is State.TRUNCATED and entry.live():
            line.append(" It is still being written.")
        Console(soft_wrap=True).print(line, highlight=False)
    return 0 if whole else 1


def _unreadable(entry: Entry, fault: FormatFault | RecordingFault, form: str) -> None:
    if form == "json":
        place.echo_json({"id": entry.id, "state": "unreadable", "reason": str(fault)})
    else:
        line = Text.assemble(entry.id, "  ", ("unreadable", STATES["unreadable"]), f"  {neutral(str(fault))}")
        Console(soft_wrap=True).print(line, highlight=False)


def _meant(id: str | None, state: Path) -> list[Entry]:
    if id is None:
        return list(Shelf(place.used(state)).entries())
    path = Path(id)
    if path.name.endswith(SUFFIX):
        if not path.is_file():
            raise click.UsageError(f"there is no file {id!r}")
        return [Entry(path)]
    return [_find(Shelf(place.used(state)), id)]


def _find(shelf: Shelf, id: str) -> Entry:
    """The recording of that beginning. None or several are an answer, and no failure of ours: exit code 1."""
    try:
        return shelf.find(id)
    except RecordingFault as none:
        raise click.ClickException(str(none)) from none


@command.command("play")
@click.argument("id")
@click.option("--speed", type=click.FloatRange(0.01, 1000), default=1.0, show_default=True, help="Times as fast.")
@click.option("--no-wait", is_flag=True, help="All at once.")
@click.option("--idle", type=click.FloatRange(0), default=5.0, show_default=True, help="The longest pause, in seconds.")
@place.format_option("text", "json")
@rows_option
@place.state_option
@options
def play_(id: str, speed: float, no_wait: bool, idle: float, form: str, rows: int, state: Path, reader: Reader) -> None:
    """Replay a recording as it happened: statements, verdicts, results. A unique beginning of the ID is enough."""
    with _opened(_find(Shelf(place.used(state)), id), rows, reader, "play") as (_, shown):
        if form == "json":
            for line in json_lines(shown):
                click.echo(line)
            return
        play(shown, Console(), speed=speed, wait=_no_wait if no_wait else time.sleep, idle=idle)


@command.command("follow")
@click.argument("id", metavar="ID|SESSION")
@place.format_option("text", "json")
@rows_option
@place.state_option
@options
def follow(id: str, form: str, rows: int, state: Path, reader: Reader) -> None:
    """Show a live recording as it is written, to its end; of a session, one connection after the other.

    What there is already comes first. Ctrl-C stops looking, never the session.
    """
    shelf = Shelf(place.used(state))
    session = _session(shelf, id)
    seen: set[str] = set()
    while True:
        entries = [_find(shelf, id)] if session is None else _connections(shelf, session)
        for entry in entries:
            if entry.id not in seen:
                seen.add(entry.id)
                _follow(entry, rows, form, reader)
        if session is None or _over(state, session):
            return
        time.sleep(NEXT_CONNECTION)


def _follow(entry: Entry, rows: int, form: str, reader: Reader) -> None:
    header = reader.open(entry, "follow")
    shown = iter(decoder(header.protocol)(tail(entry, time.sleep), rows=rows))
    if form == "json":
        for line in json_lines(shown):
            click.echo(line)
    else:
        play(shown, Console(), speed=1.0, wait=_no_wait)


def _session(shelf: Shelf, id: str) -> str | None:
    """The session that is meant when no recording's id begins so."""
    try:
        shelf.find(id)
    except RecordingFault:
        if _connections(shelf, id):
            return id
        return None
    return None


def _connections(shelf: Shelf, session: str) -> list[Entry]:
    """The recordings of a session's connections, in the order in which they began."""
    found = []
    for entry in shelf.entries():
        try:
            with entry.open() as file:
                header = read_header(file)
        except (FormatFault, RecordingFault):
            continue
        if header.session == session and header.protocol != JOURNAL:
            found.append((header.started_at, entry.id, entry))
    return [entry for _, _, entry in sorted(found, key=lambda one: one[:2])]


def _over(state: Path, session: str) -> bool:
    """Whether a session has ended, as the store of the gateway has it; one that nobody knows has."""
    if not (state / "blastwall.db").exists():
        return True

    async def look() -> bool:
        store = place.open_store(state)
        try:
            row = await LocalSessions(store, SystemClock()).show(session)
            return row is None or row.ended_at is not None or row.session.expires_at < time.time()
        finally:
            store.close()

    return asyncio.run(look())


@command.command("fetch")
@click.argument("id")
@click.option(
    "--bucket", required=True, envvar="BLASTWALL_RECORDINGS_BUCKET", help="Where a gateway on AWS keeps them."
)
@place.state_option
@options
def fetch(id: str, bucket: str, state: Path, reader: Reader) -> None:
    """Bring a recording out of a bucket into a state directory of its own, for `verify`, `play` and `export`.

    It takes a role that may read the bucket (your AWS credentials), and policy decides as for the others.
    """
    if (state / "blastwall.db").exists():  # its finisher would complete what is still being written elsewhere
        raise click.UsageError(f"a gateway uses {state}: give what is fetched a directory of its own, with --state")
    from cli.bucket import bring  # boto3 is slow to load, and no other verb here needs it

    entry = bring(bucket, id, Shelf(state), lambda header: reader.admit(header, "fetch"))
    click.echo(entry.id)


@command.command("export")
@click.argument("id")
@click.option(
    "--format",
    "form",
    type=click.Choice(["asciicast", "csv", "html", "json"]),
    default="asciicast",
    show_default=True,
    help="asciicast v2 for asciinema; csv: the statements; html: a page without scripts; json: an object a line.",
)
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="A new file [default: stdout].")
@rows_option
@place.state_option
@options
def export(id: str, form: str, output: Path | None, rows: int, state: Path, reader: Reader) -> None:
    """Export a recording for another program."""
    with _opened(_find(Shelf(place.used(state)), id), rows, reader, f"export {form}") as (header, shown):
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
def _opened(entry: Entry, rows: int, reader: Reader, how: str) -> Iterator[tuple[Header, Iterator[Shown]]]:
    header = reader.open(entry, how)
    with entry.open() as file:
        decode = decoder(header.protocol)
        yield header, iter(decode(records_to_the_end(BlockReader(file)), rows=rows))


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


def _listing(found: list[dict[str, Any]], width: int) -> Table:
    """A narrow terminal is shown ids cut to what finds them, no years, no sessions; a very narrow one no counts."""
    wide, narrow = width >= WIDE, width < NARROW
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("id", no_wrap=True)
    for title in ("agent", "target"):
        table.add_column(title, overflow="fold")
    table.add_column("started", no_wrap=True)
    for title in () if narrow else ("took", "asked"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("denied", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    if wide:
        table.add_column("session", overflow="fold", style="dim")
    for summary in found:
        counts: list[RenderableType] = [_duration(summary.get("duration")), _plain(summary.get("statements"))]
        cells: list[RenderableType] = [
            _plain(summary["id"] if wide else summary["id"][:12]),
            _plain(summary.get("agent")),
            _plain(summary.get("target")),
            _time(summary.get("started_at"), wide=wide),
            *([] if narrow else counts),
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
