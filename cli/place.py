"""What the verbs for people have in common: the state directory, how output looks, who sits at the keyboard."""

from __future__ import annotations

import getpass
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from blastwall.errors import ClientFault, OurFault
from blastwall.local.store import Store
from rig.issuer import LocalIssuer

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}  # seconds, by how people write lengths of time
PIPED_WIDTH = 240  # columns of a table that nobody looks at on a terminal

state_option = click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".state"),
    show_default=True,
    envvar="BLASTWALL_STATE",
    help="The state directory of a local `blastwall up`.",
)


def format_option(default: str, *others: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """``--format``; json is among them."""
    return click.option(
        "--format",
        "form",
        type=click.Choice([default, *others]),
        default=default,
        show_default=True,
        help="The output; json: an object a line.",
    )


def gathered(
    name: str, make: Callable[[dict[str, Any]], object], *options: Callable[[Callable[..., object]], Any]
) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Options that a command gets as one argument ``name``: what ``make`` takes out of all that click collected."""

    def decorate(command: Callable[..., object]) -> Callable[..., object]:
        def read(**given: Any) -> object:  # noqa: ANN401  what click collected
            made = make(given)
            return command(**{name: made}, **given)

        read.__name__, read.__doc__ = command.__name__, command.__doc__
        read.__click_params__ = list(getattr(command, "__click_params__", ()))  # type: ignore[attr-defined]  # click's own
        found: Callable[..., object] = read
        for option in options:
            found = option(found)
        return found

    return decorate


def deciding(who: str) -> tuple[Callable[[Callable[..., object]], Any], ...]:
    """``--as``, ``--group`` and ``--config`` of a person at the keyboard; ``who``: what the help calls them."""
    return (
        click.option("--as", "name", default=user, help=f"{who}.  [default: you]"),
        click.option(
            "--group", "groups", multiple=True, default=("owners",), show_default=True, help="A group of theirs."
        ),
        click.option(
            "--config",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            help="The configuration whose policies apply.  [default: the running gateway's]",
        ),
    )


def open_store(state: Path) -> Store:
    """The store of a state directory that is in use. Raises ClientFault when nothing was ever run with it."""
    file = state / "blastwall.db"
    if not file.exists():
        raise ClientFault(f"nothing was run with the state directory {state}: start `blastwall up`, or give --state")
    return Store(file)


@contextmanager
def local_issuer(state: Path) -> Iterator[LocalIssuer]:
    """The issuer of a local `blastwall up`. Raises OurFault for keys that cannot be read, here or in the block."""
    try:
        yield LocalIssuer.open(state)
    except OSError as fault:
        raise OurFault(f"the local issuer's keys in {state} cannot be used: {fault}") from fault


def user() -> str:
    """The name of whoever runs this command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such account: a container's bare number
        return "operator"


def echo_json(*values: object) -> None:
    """What ``--format json`` writes, of every verb: an object a line, so that lists and streams read alike.

    ASCII only: no character of an agent's reaches the terminal as itself.
    """
    for value in values:
        click.echo(json.dumps(value, sort_keys=True, default=str))


def console() -> Console:
    """Standard output: as wide as its terminal, or as $COLUMNS says; so wide in a pipe that few lines are broken."""
    found = Console()
    if not found.is_terminal and not os.environ.get("COLUMNS", "").isdecimal():
        found.width = PIPED_WIDTH
    return found


def used(state: Path) -> Path:
    """The state directory. Raises ClientFault without one: a wrong --state is not one where nothing happened."""
    if not state.is_dir():
        raise ClientFault(f"there is no state directory {state}: start `blastwall up`, or give --state")
    return state


def echo_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table of text that has been made visible before. The first column, with an id to copy, is never broken."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # Text: square brackets mean nothing
    console().print(table)


def moment(at: float) -> str:
    """A wall-clock time in UTC, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def span(seconds: float) -> str:
    """A length of time in words, roughly: ``5 s``, ``12 min``, ``3 h``, ``2 d``; never negative."""
    seconds = max(0.0, seconds)
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} d"
