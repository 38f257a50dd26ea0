"""``blastwall approvals``: see, approve and deny what agents ask for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from blastwall.approvals import to_document
from blastwall.local.approvals import MAX_NOTE, Filed, LocalApprovals
from blastwall.local.clock import SystemClock
from blastwall.model import ApprovalState, ApprovalStatus, Denial, Parameter
from cli import approver, place
from cli.visible import block, legend, one_line, visible

T = TypeVar("T")
STATEMENT_WIDTH = 60  # characters of a statement in the list; `show` has all of them


@click.group(short_help="See, approve and deny what agents ask for.")
def command() -> None:
    """See, approve and deny what agents ask for."""


@command.command("ls")
@click.option("--all", "everything", is_flag=True, help="Those that are over, too.")
@place.state_option
@place.format_option("table", "json")
def list_requests(everything: bool, state: Path, form: str) -> None:
    """List requests, the newest first."""
    found = _with(state, lambda approvals: approvals.ls(live=not everything))
    if form == "json":
        place.echo_json([_document(filed) for filed in found])
        return
    rows = []
    for filed in found:
        request, status = filed.request, filed.status
        live = status.state in (ApprovalState.REQUESTED, ApprovalState.APPROVED)
        principal, facts = request.principal, request.facts
        left = f", {place.span(request.expires_at - time.time())} left" if live else ""
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
@place.state_option
@place.format_option("text", "json")
def show(id: str, state: Path, form: str) -> int:
    """Show everything about one request, exactly as it would run."""
    filed = _with(state, lambda approvals: approvals.show(id))
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
        click.option("--as", "name", default=place.user, help="Who decides.  [default: you]"),
        click.option(
            "--group", "groups", multiple=True, default=("owners",), show_default=True, help="A group of theirs."
        ),
        click.option(
            "--config",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            help="The configuration whose policies apply.  [default: the running gateway's]",
        ),
        place.state_option,
        place.format_option("text", "json"),
    ):
        command = option(command)
    return cast("Callable[..., int]", command)


@command.command("approve")
@_decision
def approve(**options: Any) -> int:  # noqa: ANN401  what click collected for _decide
    """Let the statement run, once, for as long as the request lives."""
    return _decide(approve=True, **options)


@command.command("deny")
@_decision
def deny(**options: Any) -> int:  # noqa: ANN401  what click collected for _decide
    """Refuse the statement; one denial is enough, and it takes an approval back that was not used."""
    return _decide(approve=False, **options)


def _decide(
    *,
    approve: bool,
    id: str,
    note: str,
    name: str,
    groups: tuple[str, ...],
    config: Path | None,
    state: Path,
    form: str,
) -> int:
    if len(note) > MAX_NOTE:
        raise click.UsageError(f"--note has at most {MAX_NOTE} characters")
    keyboard = approver.Keyboard(state, config, name, groups)
    bundle = approver.policies(keyboard)

    async def vote(approvals: LocalApprovals) -> tuple[ApprovalStatus | Denial, Filed | None]:
        who = await approver.identify(keyboard, bundle)
        verdict = await approvals.vote(
            id, who, approve, note, lambda person, request: approver.authorise(bundle, person, request)
        )
        return verdict, await approvals.show(id)

    verdict, filed = _with(state, vote)
    if isinstance(verdict, Denial):
        if form == "json":
            place.echo_json({"id": id, "refused": str(verdict.code), "reason": verdict.reason, "hint": verdict.hint})
        click.echo(visible(f"refused: {verdict.reason}" + (f" ({verdict.hint})" if verdict.hint else "")), err=True)
        return 1
    assert filed is not None
    if form == "json":
        place.echo_json(_document(filed))
    else:
        click.echo(_outcome(filed))
    if filed.request.policy_version != bundle.policies.version:
        click.echo("note: policy has changed since it was asked: the agent will have to ask again", err=True)
    return 0


def _outcome(filed: Filed) -> str:
    if filed.status.state is ApprovalState.REQUESTED:
        have = sum(vote.approve for vote in filed.votes)
        return f"{filed.request.id}: your approval counts; {have} of {filed.request.quorum} people have approved"
    return f"{filed.request.id}: {filed.status.state}"


def describe(filed: Filed, now: float) -> list[str]:
    """All an approver needs, the gateway's findings first and the agent's own words in a margin of their own."""
    request, status = filed.request, filed.status
    principal, facts, statement = request.principal, request.facts, request.statement
    left = request.expires_at - now
    lines = {
        "request": request.id,
        "state": f"{status.state}" + (f" by {', '.join(status.by)}" if status.by else ""),
        "expires": f"{place.moment(request.expires_at)} ({f'in {place.span(left)}' if left > 0 else 'over'})",
        "agent": f"{principal.agent} ({principal.subject} of {principal.issuer})",
        "on behalf of": principal.on_behalf_of or "nobody in particular",
        "groups": ", ".join(sorted(principal.groups)) or "none",
        "session": f"{request.session} at {request.target}",
        "approvers": f"{request.quorum} of {', '.join(request.approvers) or 'those whom policy lets'}",
        "does": f"{facts.verb} ({facts.effect})" + ("" if facts.bounded else ", WITHOUT A BOUND"),
        "because": facts.reason or "-",
        "touches": "; ".join(str(one) for one in facts.objects) or "no object",
        "remarks": ", ".join(sorted(facts.flags)) or "none",
        "risk": f"{request.risk.score} of 100: "
        + (", ".join(f"{why} {by:+d}" for why, by in request.risk.reasons) or "-"),
        "settings": statement.surroundings or "-",
    }
    shown = [f"{name:>13}  {visible(text)}" for name, text in lines.items()]
    raw = statement.text.encode("utf-8", "surrogateescape")
    shown += [
        "",
        f"What the agent wrote ({statement.kind}, {len(raw)} bytes, {statement.text.count(chr(10)) + 1} lines):",
    ]
    shown += block(statement.text)
    for number, parameter in enumerate(statement.parameters, start=1):
        shown += ["", *_parameter(number, parameter)]
    unclear = legend(statement.text)
    if unclear:
        shown += ["", "CAUTION, characters that do not show, or look like others:", *(f"  {line}" for line in unclear)]
    for vote in filed.votes:
        word = "approved" if vote.approve else "denied"
        shown += ["", f"{word} by {visible(vote.approver.subject)}, {place.moment(vote.at)}", *_note(vote.note)]
    return shown


def _parameter(number: int, parameter: Parameter) -> list[str]:
    title = f"Parameter ${number}" + (f" (type {parameter.type_id})" if parameter.type_id else "")
    if parameter.value is None:
        return [f"{title}: NULL"]
    if parameter.binary:
        return [f"{title}, {len(parameter.value)} bytes in binary:", *block(parameter.value.hex(" "))]
    text = parameter.value.decode("utf-8", "surrogateescape")
    return [f"{title}, {len(parameter.value)} bytes:", *block(text), *(f"  {line}" for line in legend(text))]


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
        "state": str(filed.status.state),
        "by": list(filed.status.by),
        "note": filed.status.note,
        "changed_at": filed.status.changed_at,
        "votes": [
            {"approver": vote.approver.subject, "approve": vote.approve, "note": vote.note, "at": vote.at}
            for vote in filed.votes
        ],
    }
