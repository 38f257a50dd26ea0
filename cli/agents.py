"""``blastwall agents``: lock an agent out, and let it in again."""

from __future__ import annotations

import click

from cli import sessions


@click.group(short_help="Lock an agent out, or let it in again.")
def command() -> None:
    """End all sessions of an agent at once and refuse it new ones, or let it in again."""


command.add_command(sessions.lock)
command.add_command(sessions.unlock)
