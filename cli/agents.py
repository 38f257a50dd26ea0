"""``blastwall agents``: who has used the gateway; lock an agent out, and let it in again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from blastwall.local.audit import AuditTrail
from blastwall.local.clock import SystemClock
from blastwall.local.sessions import LocalSessions
from blastwall.recording.terminal import neutral
from cli import place, sessions
from cli.audit import moment

CONNECT = "connect"  # the kind of an event that tells of being let in, or not


@dataclass(slots=True)
class Use:
    """What the audit trail has of one agent. Times in seconds since the epoch; ``locked``: by whom and why, or None."""

    agent: str
    first_seen: float | None = None
    last_seen: float | None = None
    sessions: set[str] = field(default_factory=set)
    people: set[str] = field(default_factory=set)
    targets: set[str] = field(default_factory=set)
    statements: int = 0
    denied: int = 0
    held: int = 0
    locked: str | None = None

    def count(self, event: Mapping[str, Any]) -> None:
        """Add an event that says how something was decided. Being denied to connect is a denial, and no statement."""
        at, own = event["time"] / 1000, event["unmapped"]["blastwall"]
        self.first_seen = min(at, self.first_seen or at)
        self.last_seen = max(at, self.last_seen or at)
        self.sessions.add(str(event["actor"].get("session", {}).get("uid", "")))
        self.targets.add(str(event.get("dst_endpoint", {}).get("name", "")))
        if person := own.get("on_behalf_of"):
            self.people.add(str(person))
        self.statements += own.get("kind") != CONNECT
        self.denied += own["verdict"] == "denied"
        self.held += own["verdict"] == "held"


@click.group(short_help="See who has used the gateway; lock an agent out, or let it in again.")
def command() -> None:
    """See which agents have used the gateway; end all sessions of one and refuse it new ones, or let it in again."""


@command.command("ls")
@click.option("--since", metavar="TIME", default="30d", show_default=True, help="A date or time, or 90s, 15m, 2h, 7d.")
@place.state_option
@place.format_option("table", "json")
def list_agents(since: str, state: Path, form: str) -> None:
    """List the agents that have asked for anything, or are locked, the latest first.

    Counted in the local audit trail. In AWS the same is question 12 of docs/queries.md.
    """
    after = moment(since, time.time())
    trail = AuditTrail(place.used(state))
    if (state / "recordings").is_dir():
        trail.catch_up()
    day = datetime.fromtimestamp(max(after, 0.0), UTC).date().isoformat()
    uses = _used((event for event in trail.events(day) if event["time"] >= after * 1000), _locks(state))
    if form == "json":
        place.echo_json(*map(_document, uses))
        return
    if not uses:
        click.echo(f"no agent has asked for anything since {place.moment(after)}", err=True)
        return
    rows = [
        (
            neutral(use.agent, 60) + ("" if use.locked is None else f"\nLOCKED: {neutral(use.locked, 100)}"),
            place.moment(use.last_seen) if use.last_seen else "not lately",
            f"{use.statements:,} in {len(use.sessions):,} {'session' if len(use.sessions) == 1 else 'sessions'}",
            f"{use.denied:,}",
            f"{use.held:,}",
            ", ".join(neutral(name, 60) for name in sorted(use.targets)),
        )
        for use in uses
    ]
    place.echo_table(("agent", "last seen", "statements", "denied", "held", "targets"), rows)


def _used(events: Iterable[Mapping[str, Any]], locks: Mapping[str, str]) -> list[Use]:
    """By agent, the latest first; those that are locked also where they asked for nothing."""
    uses: dict[str, Use] = {}
    for event in events:
        if "verdict" in event.get("unmapped", {}).get("blastwall", {}):
            name = str(event["actor"]["user"]["name"])
            uses.setdefault(name, Use(name)).count(event)
    for name, why in locks.items():
        uses.setdefault(name, Use(name)).locked = why
    return sorted(uses.values(), key=lambda use: (-(use.last_seen or 0.0), use.agent))


def _locks(state: Path) -> Mapping[str, str]:
    if not (state / "blastwall.db").exists():  # a trail alone, copied from elsewhere
        return {}

    async def look() -> Mapping[str, str]:
        store = place.open_store(state)
        try:
            return await LocalSessions(store, SystemClock()).locks()
        finally:
            store.close()

    return asyncio.run(look())


def _document(use: Use) -> dict[str, Any]:
    document = asdict(use) | {name: sorted(getattr(use, name)) for name in ("people", "targets")}
    return document | {"sessions": len(use.sessions)}


command.add_command(sessions.lock)
command.add_command(sessions.unlock)
