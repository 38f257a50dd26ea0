"""``blastwall undo``: the statements that bring back what an approved change overwrote; with ``--apply``, run them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from blastwall.approvals.view import rows_of
from blastwall.approvals.visible import visible
from blastwall.audit.journal import note
from blastwall.errors import ClientFault, UpstreamFault
from blastwall.local.approvals import LocalApprovals
from blastwall.local.capsules import LocalCapsules
from blastwall.local.clock import SystemClock
from blastwall.local.recorder import LocalRecorder
from blastwall.local.signer import load_signer
from blastwall.model import ApprovalRequest, Credential, Denial, Principal
from blastwall.protocols.postgres.console import Console
from blastwall.protocols.postgres.link import Route, open_link
from blastwall.undo.capsule import Capsule, unpack
from blastwall.undo.restore import restoring
from blastwall.wire.wire import Signal
from cli import approver, door, place

APPLY_SECONDS = 900.0  # somebody may have to approve it first
AGENT = "undo"
_MEANINGS = {
    "22P02": "; that is, rows were changed since, or the change was never committed",  # the cast that is made to fail
    "23505": "; that is, a row with such a key is there again",
    "23503": "; that is, a row that it refers to is gone",
}


@click.command(short_help="Bring back what an approved change overwrote.")
@click.argument("id")
@click.option("--apply", "run", is_flag=True, help="Run the statements, through the gateway and its approvals.")
@click.option("--as", "name", default=place.user, help="Who undoes it.  [default: you]")
@click.option("--group", "groups", multiple=True, default=("owners",), show_default=True, help="A group of theirs.")
@click.option(
    "--agent-group",
    "agent_groups",
    multiple=True,
    default=("agents",),
    show_default=True,
    help="A group of the agent that --apply works as.",
)
@click.option(
    "--config",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The configuration whose policies apply.  [default: the running gateway's]",
)
@place.state_option
def command(
    id: str,
    run: bool,
    name: str,
    groups: tuple[str, ...],
    agent_groups: tuple[str, ...],
    config: Path | None,
    state: Path,
) -> int:
    """Print the statements that undo what the approval ID let run; with --apply, run them.

    They hold the real values, whatever is masked, so policy must permit `undo`. They refuse when a row has changed
    since. With --apply they go through the gateway like any agent's statement, and wait for approval where policy says
    so: by somebody else than you.
    """
    place.open_store(state).close()  # a wrong --state is told before keys are made in it
    keyboard = approver.Keyboard(state, config, name, groups)
    capsule = asyncio.run(_opened(keyboard, id, run))
    if isinstance(capsule, Denial):
        hint = f" ({capsule.hint})" if capsule.hint else ""
        click.echo(visible(f"refused: {capsule.reason}{hint}"), err=True)
        return 1
    text = restoring(capsule)
    if not run:
        click.echo(f"{text};")
        return 0
    way = door.Way(state, None, None)
    protocol, there = door.find(way, capsule.target, database=capsule.database, user=None)
    if protocol != "postgres":
        raise ClientFault(f"{capsule.target} is no PostgreSQL target any more: nothing is undone")
    token = door.Tokens(way, door.Agent(AGENT, agent_groups, name)).get()
    credential = Credential(there.login, token, "static", None)
    rows = rows_of(capsule.rows)
    click.echo(f"{rows} to bring back; `blastwall approvals ls` shows whether it waits for somebody", err=True)
    try:
        asyncio.run(
            _apply(Route(there.host, there.port, "verify-full", str(there.ca)), there.database, credential, text)
        )
    except UpstreamFault as fault:
        click.echo(visible(f"nothing was undone: {fault}{_meaning(fault)}"), err=True)
        return 1
    click.echo(f"as they were before {visible(id)}: {rows}")
    return 0


def _meaning(fault: UpstreamFault) -> str:
    """What a refusal of the text that restores means: where columns are masked, the database's words do not say."""
    known = "nothing is undone" in str(fault)
    return "" if known else _MEANINGS.get(fault.code, "")


async def _opened(keyboard: approver.Keyboard, id: str, run: bool) -> Capsule | Denial:
    """The capsule of an approval, once policy permits it and that is on record. Raises ClientFault."""
    bundle = approver.policies(keyboard)
    who = await approver.identify(keyboard, bundle)
    capsules = LocalCapsules(keyboard.state)
    store = place.open_store(keyboard.state)
    try:
        filed = await LocalApprovals(store, SystemClock()).show("-".join(id.split("-")[:2]))
    finally:
        store.close()
    names = [one for one in await capsules.names(id) if one == id or one.startswith(f"{id}-")]
    if filed is None or not names:
        if bundle.config.approvals.undo.rows == 0:
            raise ClientFault(f"nothing was kept for {visible(id)}: gateway.yaml sets no approvals.undo (docs/undo.md)")
        why = "it did not run, or the recording of its session says why (event undo_capsule)"
        raise ClientFault(f"nothing was kept for {visible(id)}: {why}")
    if len(names) > 1:
        raise ClientFault(f"{visible(id)} ran several times: name one of {', '.join(names)}")
    target = bundle.targets.get(filed.request.target)
    if target is None:
        raise ClientFault(f"the target {visible(filed.request.target)} is no longer configured")
    refusal = bundle.policies.may_undo(who, filed.request.principal, target)
    await asyncio.to_thread(_on_record, keyboard.state, who, names[0], filed.request, refusal, run)
    if refusal is not None:
        return refusal
    content = await capsules.open(names[0])
    if content is None:
        raise ClientFault(f"the undo capsule {names[0]} is gone")
    return unpack(content)


def _on_record(
    state: Path, who: Principal, name: str, request: ApprovalRequest, refusal: Denial | None, run: bool
) -> None:
    """Who opens a capsule, or was not let: before any value is seen."""
    clock = SystemClock()
    recorder = LocalRecorder(state, clock, signer=load_signer(state / "keys"))
    fields = {
        "capsule": name,
        "agent": request.principal.agent,
        "apply": run,
        "denial": "" if refusal is None else refusal.reason,
    }
    try:
        asyncio.run(note(recorder, clock, who, "undo_opened", fields, request.target))
    finally:
        recorder.close()


async def _apply(route: Route, database: str, credential: Credential, text: str) -> None:
    """Run the text as one simple query: all of it, or nothing. Raises UpstreamFault."""
    signal = Signal(asyncio.get_running_loop())
    try:
        async with asyncio.timeout(APPLY_SECONDS):
            parameters = {"database": database, "application_name": "blastwall undo", "client_encoding": "UTF8"}
            console = Console(await open_link(route, parameters, credential, signal), signal)
            try:
                await console.run(text)
            finally:
                console.close()
    except TimeoutError:
        raise UpstreamFault(f"nobody approved it within {APPLY_SECONDS / 60:.0f} minutes") from None
