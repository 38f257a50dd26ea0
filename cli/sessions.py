"""``blastwall sessions``: see and end live sessions, of the local gateway or (``--aws``) of a deployment."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import click

from blastwall.approvals.visible import visible
from blastwall.credentials.lease import Lease, LeaseState
from cli import place
from cli.where import Row, Where, options


@click.group(short_help="See and end live sessions.")
def command() -> None:
    """See and end live sessions: of the local gateway, or with --aws of a deployment."""


@command.command("ls")
@click.option("--all", "everything", is_flag=True, help="Those that have ended, too.")
@options
@place.format_option("table", "json")
def list_sessions(everything: bool, where: Where, form: str) -> None:
    """List sessions, the newest first."""
    rows = where.sessions(lambda sessions: sessions.ls(live=not everything))
    if form == "json":
        place.echo_json(*map(_document, rows))
        return
    lines = []
    for row in rows:
        session, principal = row.session, row.session.principal
        left = f"live, {place.span(session.expires_at - time.time())} left"
        person = visible(principal.on_behalf_of or "nobody")
        used = ", ".join(f"{amount} {visible(name)}" for name, amount in sorted(row.usage.items())) or "nothing yet"
        glass = f"\nBREAK-GLASS: {visible(session.break_glass)}" if session.break_glass else ""
        lines.append(
            (
                f"{visible(session.id)}\n{left if row.ended_at is None else 'ended'}",
                f"{visible(principal.agent)} for {person}\nat {visible(session.target)}{glass}",
                f"since {place.moment(session.started_at)}, {len(row.connections)} connections, used {used}"
                + (f"\n{visible(row.reason)}" if row.reason else ""),
            )
        )
    place.echo_table(("session", "who", "so far"), lines)


@command.command("show")
@click.argument("id")
@options
@place.format_option("text", "json")
def show(id: str, where: Where, form: str) -> int:
    """Show one session, live or ended."""
    row = where.sessions(lambda sessions: sessions.show(id))
    if row is None:
        return _unknown(id)
    leases = where.leases(id)
    if form == "json":
        place.echo_json(_document(row) | {"credentials": [asdict(lease) for lease in leases]})
        return 0
    session, principal = row.session, row.session.principal
    lines = {
        "session": session.id,
        "agent": principal.agent,
        "subject": f"{principal.subject} of {principal.issuer}",
        "on behalf of": principal.on_behalf_of or "nobody in particular",
        "groups": ", ".join(sorted(principal.groups)) or "none",
        "target": session.target,
        "started": place.moment(session.started_at),
        "expires": place.moment(session.expires_at),
        "break-glass": session.break_glass or "no",
        "connections": ", ".join(row.connections) or "none at present",
        "used": ", ".join(f"{amount} {name}" for name, amount in sorted(row.usage.items())) or "nothing yet",
        "credentials": "; ".join(map(_told, leases)) or "none of its own",
        "ended": "no" if row.ended_at is None else f"{place.moment(row.ended_at)}: {row.reason}",
    }
    for name, text in lines.items():
        click.echo(f"{name:>14}  {visible(text)}")
    return 0


@command.command("kill")
@click.argument("id")
@click.option("--reason", default="ended by an operator", show_default=True, help="Told to the agent.")
@options
def kill(id: str, reason: str, where: Where) -> int:
    """End a session now, in every gateway process; its token opens no new one at that target."""
    by = where.user()
    if not where.sessions(lambda sessions: sessions.kill(id, reason, by)):
        return _unknown(id, live=True)
    click.echo(f"{visible(id)} ended")
    return 0


@command.command("lock", short_help="End all of an agent's sessions, and refuse it new ones.")
@click.argument("agent")
@click.option("--reason", default="locked by an operator", show_default=True, help="Told to the agent.")
@options
def lock(agent: str, reason: str, where: Where) -> None:
    """End all sessions of an agent and refuse it new ones until it is unlocked."""
    if not agent.strip():
        raise click.BadParameter("name the agent, as its tokens do", param_hint="AGENT")
    by = where.user()
    ended = where.sessions(lambda sessions: sessions.lock(agent, reason, by))
    click.echo(f"{visible(agent)} locked; {ended} {'session' if ended == 1 else 'sessions'} ended")


@command.command("unlock")
@click.argument("agent")
@options
def unlock(agent: str, where: Where) -> int:
    """Let an agent open sessions again."""
    if not where.sessions(lambda sessions: sessions.unlock(agent)):
        click.echo(f"{visible(agent)} is not locked", err=True)
        return 1
    click.echo(f"{visible(agent)} unlocked")
    return 0


def _unknown(id: str, *, live: bool = False) -> int:
    which = "live session" if live else "session"
    click.echo(f"there is no {which} {visible(id)}; `blastwall sessions ls --all` lists those there are", err=True)
    return 1


def _told(lease: Lease) -> str:
    """A credential in words: whether it can still be used, and what showed that it cannot."""
    if lease.state is LeaseState.CLOSED:
        return f"{lease.id}, dead: {lease.note}"
    ending = f", being taken back ({lease.note})" if lease.state is LeaseState.ENDING else ""
    return f"{lease.id} until {place.moment(lease.expires_at)} at the latest{ending}"


def _document(row: Row) -> dict[str, Any]:
    document = asdict(row.session)
    document["principal"]["groups"] = sorted(row.session.principal.groups)
    return document | {
        "connections": list(row.connections),
        "usage": dict(row.usage),
        "ended_at": row.ended_at,
        "reason": row.reason,
        "ended_by": row.ended_by,
    }
