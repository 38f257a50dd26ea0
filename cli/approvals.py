"""``blastwall approvals``: see, approve and deny what agents ask for."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from blastwall.approvals import LIVE, MAX_NOTE, Ballot, Filed, to_document
from blastwall.approvals.bounds import MOST_ROWS
from blastwall.approvals.demands import demands_of, missing, spelt
from blastwall.approvals.rules import unknown, voices_of
from blastwall.approvals.view import lines_of, rows_of, standing, view_of
from blastwall.approvals.visible import block, one_line, visible
from blastwall.errors import ClientFault
from blastwall.local.approvals import LocalApprovals
from blastwall.local.clock import SystemClock
from blastwall.model import ApprovalState, ApprovalStatus, Denial, Secret
from cli import approver, place, watching
from cli.token import Duration
from cli.where import Where, options
from rig import running
from rig.desk import login_link

T = TypeVar("T")
STATEMENT_WIDTH = 60  # characters of a statement in the list; `show` has all of them


@click.group(short_help="See, approve and deny what agents ask for.")
def command() -> None:
    """See, approve and deny what agents ask for."""


@command.command("ls")
@click.option("--all", "everything", is_flag=True, help="Those that are over, too.")
@options
@place.format_option("table", "json")
def list_requests(everything: bool, where: Where, form: str) -> None:
    """List requests, the newest first."""
    if where.aws:
        found = asyncio.run(where.operations().requests(live=not everything))
    else:
        found = _with(where.state, lambda approvals: approvals.ls(live=not everything))
    if form == "json":
        place.echo_json(*map(_document, found))
        return
    rows = []
    for filed in found:
        request, status = filed.request, filed.status
        principal, facts = request.principal, request.facts
        left = f", {place.span(status.expires_at - time.time())} left" if status.state in LIVE else ""
        person = visible(principal.on_behalf_of or "nobody")
        rows.append(
            (
                f"{visible(request.id)}\n{status.state}{left}",
                f"{visible(principal.agent)} for {person}\nat {visible(request.target)}",
                f"{visible(facts.verb)} ({facts.effect}), risk {request.risk.score}\n"
                + one_line(request.statement.text, STATEMENT_WIDTH),
            )
        )
    place.echo_table(("request", "who", "wants"), rows)


@command.command("show")
@click.argument("id")
@options
@place.format_option("text", "json")
def show(id: str, where: Where, form: str) -> int:
    """Show everything about one request, exactly as it would run."""
    filed = _filed(where, id)
    if filed is None:
        click.echo(f"there is no request {visible(id)}; `blastwall approvals ls --all` lists those there are", err=True)
        return 1
    if form == "json":
        place.echo_json(_document(filed))
    else:
        click.echo("\n".join(describe(filed, time.time())))
    return 0


def _decision(decide: Callable[..., int]) -> Callable[..., int]:
    """The options of both decisions."""
    command: Callable[..., object] = decide
    for option in (
        click.argument("id"),
        click.option("--note", default="", help="Kept on record and told to the agent."),
        click.option("--shown", metavar="HASH", help="Decide only what `show` displayed under this hash."),
        *place.deciding("Who decides"),
        options,
        place.format_option("text", "json"),
    ):
        command = option(command)
    return cast("Callable[..., int]", command)


@command.command("approve")
@click.option("--for", "seconds", type=Duration(), help="With --same-shape: for how long, such as 10m.")
@click.option(
    "--same-shape",
    is_flag=True,
    help="All statements of the session that differ from this one only in literals, where policy allows that.",
)
@click.option("--rows", type=click.IntRange(0, MOST_ROWS), help="Roll it back should it change more rows than this.")
@_decision
def approve(seconds: int | None, same_shape: bool, rows: int | None, **options: Any) -> int:  # noqa: ANN401  what click collected
    """Let the statement run, once, for as long as the request lives.

    It may change as many rows as `show` says, or as --rows does.
    """
    if same_shape != (seconds is not None):
        raise click.UsageError("--for and --same-shape go together: for how long, and what")
    return _decide(approve=True, grant_seconds=float(seconds or 0), rows=rows, **options)


@command.command("deny")
@_decision
def deny(**options: Any) -> int:  # noqa: ANN401  what click collected for _decide
    """Refuse the statement; one denial is enough.

    It takes an approval back that was not used; a connection's also when it was: then its session ends at once.
    """
    return _decide(approve=False, grant_seconds=0.0, rows=None, **options)


@command.command("watch")
@click.option("--as", "name", default=place.user, help="Who decides.  [default: you]")
@click.option("--group", "groups", multiple=True, default=("owners",), show_default=True, help="A group of theirs.")
@click.option(
    "--config",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The configuration whose policies apply.  [default: the running gateway's]",
)
@place.state_option
def watch(name: str, groups: tuple[str, ...], config: Path | None, state: Path) -> None:
    """Show what waits as it comes, each request in full, and decide with one key."""
    if not watching.on_a_terminal():
        raise click.UsageError("watch needs a terminal; `blastwall approvals ls --format json` is for programs")
    keyboard = approver.Keyboard(state, config, name, groups)

    async def run(approvals: LocalApprovals) -> None:
        async def decide(filed: Filed, ballot: Ballot) -> ApprovalStatus | Denial:
            bundle = approver.policies(keyboard)
            who = await approver.identify(keyboard, bundle)
            return await approvals.vote(
                filed.request.id,
                who,
                ballot,
                lambda person, asked, given: bundle.may_decide(person, asked, given, time.time()),
            )

        await watching.watch(lambda: approvals.ls(live=True), approvals.changed, decide, time.time)

    approver.policies(keyboard)
    _with(state, run)


@command.command("link")
@click.option("--as", "name", default=place.user, help="Who signs in.  [default: you]")
@click.option("--group", "groups", multiple=True, default=("owners",), show_default=True, help="A group of theirs.")
@place.state_option
def link(name: str, groups: tuple[str, ...], state: Path) -> None:
    """Print a link to the local approval page that signs somebody in: once, within ten minutes."""
    found = running.read(state)
    if found is None or not found.page:
        raise ClientFault(f"no gateway runs with the state directory {state}: start one with `blastwall up`")
    click.echo(login_link(found.page, state, name, groups))


def _decide(
    *,
    approve: bool,
    grant_seconds: float,
    rows: int | None,
    id: str,
    note: str,
    shown: str | None,
    name: str,
    groups: tuple[str, ...],
    config: Path | None,
    where: Where,
    form: str,
) -> int:
    if len(note) > MAX_NOTE:
        raise click.UsageError(f"--note has at most {MAX_NOTE} characters")
    if where.aws:
        return _decide_there(where, id, shown, Ballot(approve, "", note, grant_seconds, rows), form)
    state = where.state
    keyboard = approver.Keyboard(state, config, name, groups)
    bundle = approver.policies(keyboard)

    async def vote(approvals: LocalApprovals) -> tuple[ApprovalStatus | Denial, Filed | None]:
        who = await approver.identify(keyboard, bundle)
        filed = await approvals.show(id)
        if filed is None:
            return unknown(id), None
        ballot = Ballot(approve, shown or view_of(filed.request).shown, note, grant_seconds, rows)
        verdict = await approvals.vote(
            id, who, ballot, lambda person, asked, given: bundle.may_decide(person, asked, given, time.time())
        )
        return verdict, await approvals.show(id)

    verdict, filed = _with(state, vote)
    if isinstance(verdict, Denial):
        return _refused(id, verdict, form)
    assert filed is not None
    if form == "json":
        place.echo_json(_document(filed))
    else:
        _tell(filed)
    if filed.request.policy_version != bundle.policies.version:
        click.echo("note: policy has changed since it was asked: the agent will have to ask again", err=True)
    return 0


def _decide_there(where: Where, id: str, shown: str | None, ballot: Ballot, form: str) -> int:
    """The answer of a person whom a token names: the deployment's own function verifies it, and asks its own policy."""
    text = os.environ.get(approver.TOKEN_VARIABLE, "").strip()
    if not text:
        raise ClientFault(
            f"set {approver.TOKEN_VARIABLE} to a token of yours for approvals: AWS credentials decide nothing"
        )
    filed = _filed(where, id)
    if filed is None:
        return _refused(id, unknown(id), form)
    named = replace(ballot, shown=shown or view_of(filed.request).shown)
    denial = asyncio.run(where.operations().decide(id, Secret(text), named))
    if denial is not None:
        return _refused(id, denial, form)
    after = _filed(where, id)
    assert after is not None
    if form == "json":
        place.echo_json(_document(after))
    else:
        _tell(after)
    return 0


def _filed(where: Where, id: str) -> Filed | None:
    if where.aws:
        return asyncio.run(where.operations().request(id))
    return _with(where.state, lambda approvals: approvals.show(id))


def _refused(id: str, verdict: Denial, form: str) -> int:
    if form == "json":
        place.echo_json({"id": id, "refused": str(verdict.code), "reason": verdict.reason, "hint": verdict.hint})
    click.echo(visible(f"refused: {verdict.reason}" + (f" ({verdict.hint})" if verdict.hint else "")), err=True)
    return 1


def _tell(filed: Filed) -> None:
    click.echo(_outcome(filed))
    if few := too_few(filed):
        click.echo(few, err=True)


def _outcome(filed: Filed) -> str:
    if filed.status.state is ApprovalState.REQUESTED:
        have = sum(vote.approve for vote in filed.votes)
        left = f"{have} of {filed.request.quorum} people have approved"
        if len(demands_of(filed.request)) > 1:
            left = f"{visible(spelt(missing(filed.request, voices_of(filed.votes))))} must approve besides"
        return f"{filed.request.id}: your approval counts; {left}"
    return f"{filed.request.id}: {standing(filed.status)}"


def too_few(filed: Filed) -> str:
    """What to say to whoever approved it for fewer rows than were counted: it will be undone. "" otherwise."""
    bound, blast = filed.status.bound, filed.request.blast or {}
    if (
        bound is None
        or filed.status.state is not ApprovalState.APPROVED
        or not blast.get("known")
        or not blast.get("rows_exact")
        or blast["rows"] <= bound
    ):
        return ""
    return f"note: it was counted to change {rows_of(blast['rows'])}: as things stand it will be rolled back"


def describe(filed: Filed, now: float) -> list[str]:
    """All an approver needs: the rendering model's lines, then where the request stands and who has voted."""
    status = filed.status
    shown = [*lines_of(view_of(filed.request)), "", f"{'state':>13}  {standing(status)}"]
    if status.state in LIVE:
        shown.append(f"{'expires':>13}  in {place.span(max(0.0, status.expires_at - now))}")
    for vote in filed.votes:
        word = "approved" if vote.approve else "denied"
        shown += ["", f"{word} by {visible(vote.approver.subject)}, {place.moment(vote.at)}", *_note(vote.note)]
    return shown


def _note(note: str) -> list[str]:
    return block(note) if note else []


def _with(state: Path, ask: Callable[[LocalApprovals], Awaitable[T]]) -> T:
    async def run() -> T:
        store = place.open_store(state)
        try:
            return await ask(LocalApprovals(store, SystemClock()))
        finally:
            store.close()

    return asyncio.run(run())


def _document(filed: Filed) -> dict[str, Any]:
    return {
        "request": to_document(filed.request),
        "view": view_of(filed.request).document(),
        "state": str(filed.status.state),
        "by": list(filed.status.by),
        "note": filed.status.note,
        "changed_at": filed.status.changed_at,
        "uses": filed.status.uses,
        "used": filed.status.used,
        "same_shape": filed.status.same_shape,
        "bound": filed.status.bound,
        "votes": [
            {
                "approver": vote.approver.subject,
                "approve": vote.approve,
                "note": vote.note,
                "at": vote.at,
                "rows": vote.rows,
            }
            for vote in filed.votes
        ],
    }
