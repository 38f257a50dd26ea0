"""From facts to a permit or a denial, waiting for a person where policy says so."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final

from librt.time import time as wall_time

from blastwall import approvals, blast
from blastwall.approvals.bounds import Room, counted, proposed
from blastwall.blast import NOTHING, Blast
from blastwall.conversation import Exchange
from blastwall.errors import ClientFault, Fault
from blastwall.model import (
    ApprovalRequest,
    ApprovalState,
    ApprovalStatus,
    Denial,
    DenialCode,
    Facts,
    Guard,
    Pending,
    Permit,
    Session,
    Statement,
    StatementKind,
    Target,
)
from blastwall.policy.decide import Policies, Question, Standing
from blastwall.policy.question import is_light
from blastwall.ports import Approvals, Clock, Recording
from fargate_proxy.ledger import Ledger
from fargate_proxy.overtaken import outgrown, overtaken

log = logging.getLogger("blastwall.gateway")

#: How often a waiting client is told that its statement is still held, so that idle timers between us keep still.
REMINDER_SECONDS: Final = 20.0
_EXECUTE: Final = StatementKind.EXECUTE
#: Permits a connection remembers by the identity of what they are for.
REMEMBERED: Final = 512
SHIPPED: Final = Room()
#: What can be undone by the rows it touched.
KEPT: Final = frozenset({"update", "delete"})
#: Finding out what a statement would do takes at most this long, whatever a protocol allows itself (seconds).
FORESEE_SECONDS: Final = 25.0

#: What running a statement would do; a protocol's own affair.
Foresee = Callable[[Statement, Facts], Awaitable[Blast]]


@dataclass(frozen=True, slots=True)
class Asking:
    """How people are asked. A ticket outlives the inline hold: an agent has ``ticket_seconds`` to come back with the
    identical statement. ``escalation`` groups may decide ``escalate_seconds`` after the request (no groups: never).
    ``canonical`` writes a text in the grammar's own spelling, without comments ("" when it cannot). ``room`` says how
    many rows more than were counted a change may touch, ``keep`` up to how many of them are kept to be undone.
    """

    ticket_seconds: float = 900.0
    escalation: tuple[str, ...] = ()
    escalate_seconds: float = 0.0
    canonical: Callable[[str], str] = field(default=lambda text: "")
    room: Room = SHIPPED
    keep: int = 0
    literals: bool = True  # see ProtocolSpec


class Known:
    """A permit that nobody had to be asked for, with all that it depended on and that may change in a connection.

    It keeps the facts alive, so that their id() stays theirs. ``since`` and ``until`` are the hour it was given in
    (seconds since the epoch).
    """

    __slots__ = ("exhausted", "facts", "kind", "permit", "policies", "since", "until")

    def __init__(
        self,
        facts: Facts,
        kind: StatementKind,
        policies: Policies,
        hour: int,
        exhausted: frozenset[str],
        permit: Permit,
    ) -> None:
        self.facts: Final = facts
        self.kind: Final = kind
        self.policies: Final = policies
        self.since: Final[float] = hour * 3600.0
        self.until: Final[float] = hour * 3600.0 + 3600.0
        self.exhausted: Final = exhausted
        self.permit: Final = permit


class Decider:
    """Decides for one connection. ``standing`` is looked at for each statement, so a reload takes effect at once.

    ``foresee`` finds out what a statement would do (None: its protocol cannot tell). It is called only where a rule
    reads that, or a person will.
    """

    def __init__(
        self,
        session: Session,
        target: Target,
        standing: Standing,
        people: Approvals,
        recording: Recording,
        ledger: Ledger,
        clock: Clock,
        asking: Asking = Asking(),
        foresee: Foresee | None = None,
    ) -> None:
        self._session = session
        self._target = target
        self._standing = standing
        self._people = people
        self._recording = recording
        self._ledger = ledger
        self._clock = clock
        self._asking = asking
        self._foresee = foresee
        self._now = clock.now
        # The machine's own is asked without a call into the interpreter.
        self._machine = clock.now is time.time
        self._known: dict[tuple[int, bool], Known] = {}
        self._last: Known | None = None  # of the statement that ran before, and
        self._last_named: Known | None = None  # of the one that was named before: the next is mostly like it

    def at_once(self, statement: Statement, facts: Facts, upstream_text: str) -> Permit | Denial | None:
        """As :meth:`decide` where nobody has to be waited for; None: :meth:`decide` has to."""
        if facts.filters_masked and self._target.masking is not None:
            return None
        policies = self._standing.policies
        now = wall_time() if self._machine else self._now()
        exhausted = self._ledger.exhausted
        kind = statement.kind
        known = self._last if kind is _EXECUTE else self._last_named
        if known is None or known.facts is not facts:
            known = self._known.get((id(facts), kind is _EXECUTE))
        if (
            known is not None
            and known.kind is kind
            and known.policies is policies
            and known.since <= now < known.until
            and (known.exhausted is exhausted or known.exhausted == exhausted)
        ):
            self._note(known)
            permit = known.permit
            if permit.upstream_text is upstream_text or permit.upstream_text == upstream_text:
                return permit
            return policies.renew(permit, upstream_text)
        decision = self._judge(policies, statement, facts, upstream_text)
        if type(decision) is Permit:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = Known(facts, kind, policies, int(now) // 3600, exhausted, decision)
            self._known[(id(facts), kind is _EXECUTE)] = known
            self._note(known)
        return decision

    def _note(self, known: Known) -> None:
        if known.kind is _EXECUTE:
            self._last = known
        else:
            self._last_named = known

    def _judge(
        self, policies: Policies, statement: Statement, facts: Facts, upstream_text: str
    ) -> Permit | Denial | None:
        question = self._question(statement, facts, upstream_text)
        if policies.needs_blast(question):
            if not is_light(statement.kind, facts):
                return None
            question = question._replace(blast=NOTHING)
        decision = policies.decide(question)
        return None if isinstance(decision, Pending) else decision

    async def decide(
        self, statement: Statement, facts: Facts, upstream_text: str, exchange: Exchange | None
    ) -> Permit | Denial:
        """A permit or the reason why not. Waits at most the target's ``hold_seconds`` for a person."""
        masking = self._target.masking
        lookup = (
            masking is not None
            and facts.filters_masked
            and statement.kind is StatementKind.EXECUTE
            and masking.counts(facts.masked_columns)
        )
        if lookup and self._ledger.lookups >= masking.lookups:
            return Denial(
                DenialCode.BUDGET,
                f"this session has compared masked columns {self._ledger.lookups} times, and may do so "
                f"{masking.lookups} times: enough guesses would find a value",
                "Work with other columns; with a new token you may compare again.",
            )
        decision = await self._decide(statement, facts, upstream_text, exchange)
        if lookup and isinstance(decision, Permit):
            self._ledger.lookups += 1
        return decision

    async def _decide(
        self, statement: Statement, facts: Facts, upstream_text: str, exchange: Exchange | None
    ) -> Permit | Denial:
        policies = self._standing.policies
        question = self._question(statement, facts, upstream_text)
        found: Blast | None = None
        if policies.needs_blast(question):
            found = NOTHING if is_light(statement.kind, facts) else await self._look_ahead(statement, facts)
            question = question._replace(blast=_for_policy(found, facts))
        decision = policies.decide(question, guard=self._counted(found, facts))
        if not isinstance(decision, Pending):
            return decision
        binding = approvals.binding(
            principal=self._session.principal,
            session=self._session.id,
            target=self._target.name,
            statement=statement,
            policy_version=policies.version,
        )
        shape = approvals.shape(
            principal=self._session.principal,
            session=self._session.id,
            target=self._target.name,
            statement=statement,
            facts=facts,
            policy_version=policies.version,
            literals=self._asking.literals,
        )
        permit = await self._redeem(binding, shape, policies, question, decision)
        if permit is not None:
            return permit
        before = await self._people.latest(binding)
        if before is not None and before.state is ApprovalState.DENIED:
            return self._answer(before, decision)
        try:
            if found is None and self._foresee is not None and (before is None or before.state is not _ASKED):
                found = await self._look_ahead(statement, facts)
            status = await self._request(statement, facts, decision, binding, shape, policies, found)
        except ClientFault as fault:  # too many requests wait already: a way to tire approvers out
            return Denial(
                DenialCode.BUDGET, str(fault), "Wait for the decisions that are outstanding.", risk=decision.risk
            )
        if exchange is not None and exchange.interactive:
            status = await self._hold(status, exchange, decision)
            if status.state is ApprovalState.APPROVED:
                refusal = overtaken(self._standing.policies, policies, question, decision)
                if refusal is not None:
                    return refusal
                permit = await self._redeem(binding, shape, self._standing.policies, question, decision)
                if permit is not None:
                    return permit
        return self._answer(status, decision)

    def _question(self, statement: Statement, facts: Facts, upstream_text: str) -> Question:
        return Question(
            self._session.principal,
            self._target,
            statement.kind,
            facts,
            self._hour(),
            self._ledger.exhausted,
            self._session.break_glass is not None,
            upstream_text,
        )

    def _hour(self) -> int:
        return int(self._clock.now() // 3600 % 24)

    async def _look_ahead(self, statement: Statement, facts: Facts) -> Blast:
        """What the statement would do. Never raises: what was not found out is unknown, and says why."""
        if statement.kind is StatementKind.CONNECT:
            return NOTHING  # there is nothing yet that could be asked, and nothing that it changes
        if self._foresee is None:
            return blast.unknown("What a statement would do cannot be found out on this kind of target.")
        try:
            async with asyncio.timeout(FORESEE_SECONDS):
                return await self._foresee(statement, facts)
        except TimeoutError:
            return blast.unknown("Finding out what it would do took too long.")
        except Fault as fault:
            return blast.unknown(f"What it would do could not be found out: {fault}")
        except Exception:
            log.exception("defect while looking ahead")
            return blast.unknown("What it would do could not be found out: the gateway met a defect of its own.")

    async def _redeem(
        self, binding: str, shape: str, policies: Policies, question: Question, pending: Pending
    ) -> Permit | Denial | None:
        """Consume an approval and ask policy again; None when there is no approval.

        What policy asks for may have grown since (another risk): then the approval is too small. Hour and budgets are
        those of now: a person may have taken their time.
        """
        status = await self._people.redeem(binding, shape)
        if status is None:
            return None
        if (refusal := outgrown(status, pending)) is not None:  # others like it may need less: then people are asked
            return None if status.same_shape and not await self._own(binding) else refusal
        redeemed = {"approval": status.id, "by": list(status.by), "note": status.note, "same_shape": status.same_shape}
        self._recording.event("approval_redeemed", redeemed)
        now = question._replace(hour=self._hour(), exhausted=self._ledger.exhausted)
        decision = policies.decide(now, approved=status.id, guard=self._guard(question.facts, status))
        if isinstance(decision, Pending):
            return Denial(DenialCode.POLICY, "policy changed while the approval was given", policies=decision.policies)
        return decision

    async def _own(self, binding: str) -> bool:
        """Whether an approval just redeemed is this very statement's, and no other's of its shape."""
        latest = await self._people.latest(binding)
        return latest is not None and latest.state in (ApprovalState.APPROVED, ApprovalState.REDEEMED)

    def _counted(self, found: Blast | None, facts: Facts) -> Guard | None:
        """What a statement is held to that rules let run for the few rows it changes: by now there may be more."""
        if found is None or found is NOTHING or not counted(facts):
            return None
        bound = proposed(facts, found.document(), self._asking.room)
        return None if bound is None else Guard(bound)

    def _guard(self, facts: Facts, status: ApprovalStatus) -> Guard | None:
        """What the approved statement is held to; None for whatever changes no rows, or any number of them."""
        keep = self._asking.keep if facts.verb in KEPT and facts.statements == 1 else 0
        if not counted(facts) or (status.bound is None and not keep):
            return None
        return Guard(status.bound, keep)

    async def _request(
        self,
        statement: Statement,
        facts: Facts,
        pending: Pending,
        binding: str,
        shape: str,
        policies: Policies,
        found: Blast | None,
    ) -> ApprovalStatus:
        now, asking = self._clock.now(), self._asking
        request = ApprovalRequest(
            id=approvals.request_id(secrets.token_bytes(10)),
            binding=binding,
            session=self._session.id,
            principal=self._session.principal,
            target=self._target.name,
            statement=statement,
            facts=facts,
            risk=pending.risk,
            approvers=pending.approvers,
            policy_version=policies.version,
            requested_at=now,
            expires_at=min(now + max(asking.ticket_seconds, self._target.hold_seconds), self._session.expires_at),
            quorum=pending.quorum,
            demands=pending.demands,
            shape=shape,
            canonical=asking.canonical(statement.text),
            escalation=asking.escalation,
            escalate_at=now + asking.escalate_seconds if asking.escalation else 0.0,
            blast=found.document() if found is not None else None,
        )
        request = replace(request, bound=proposed(facts, request.blast, asking.room))
        status = await self._people.request(request)
        self._recording.event(
            "approval_requested",
            {
                "approval": status.id,
                "statement": statement.number,
                "approvers": list(pending.approvers),
                "policies": list(pending.policies),
                "risk": pending.risk.score,
            },
        )
        return status

    async def _hold(self, status: ApprovalStatus, exchange: Exchange, pending: Pending) -> ApprovalStatus:
        """Let the client wait for a person; withdraw the request when it no longer waits."""
        seconds = min(self._target.hold_seconds, exchange.patience)
        deadline = self._clock.monotonic() + seconds
        who = " or ".join(pending.approvers) or "an approver"
        await exchange.notify(
            f"blastwall: held for approval {status.id} by {who}, for up to {seconds:.0f} s",
            f"decide with: blastwall approvals approve {status.id}",
        )
        gone = asyncio.ensure_future(exchange.gone())
        try:
            while status.state is ApprovalState.REQUESTED:
                left = deadline - self._clock.monotonic()
                if left <= 0:
                    break
                decided = asyncio.ensure_future(self._people.decided(status.id, min(left, REMINDER_SECONDS)))
                done, _ = await asyncio.wait({gone, decided}, return_when=asyncio.FIRST_COMPLETED)
                if decided in done:
                    status = decided.result()
                    if status.state is ApprovalState.REQUESTED and deadline - self._clock.monotonic() > 1:
                        await exchange.notify(f"blastwall: still held for approval {status.id}")
                else:
                    decided.cancel()
                    status = await self._people.withdraw(status.id, gone.result())
        finally:
            gone.cancel()
            await asyncio.wait({gone})
        self._recording.event(
            "approval_decided",
            {"approval": status.id, "state": str(status.state), "by": list(status.by), "note": status.note},
        )
        return status

    def _answer(self, status: ApprovalStatus, pending: Pending) -> Denial:
        """What the agent is told when there is no approval to redeem."""
        code, reason, hint = _ANSWERS[status.state]
        who = ", ".join(status.by) or "an approver"
        told = reason.format(asked=pending.reason, who=who, note=f": {status.note}" if status.note else "")
        return Denial(code, told, hint, pending.policies, pending.risk, status.id)


def _for_policy(found: Blast, facts: Facts) -> Blast:
    """What rules may go by. Where a masked column decides which rows are meant, numbers would tell the agent of its
    values by whether it is let through: people see them, rules do not.
    """
    if facts.filters_masked:
        return blast.unknown("Its condition compares masked columns.")
    return found


_ASKED: Final = ApprovalState.REQUESTED
_ANEW: Final = "Send it again to ask anew."
_USED: Final = (DenialCode.PENDING, "another connection has used its approval meanwhile", _ANEW)
#: What an agent is told of a request that it cannot redeem: kind of denial, reason, and what it may do.
_ANSWERS: Final = {
    ApprovalState.REQUESTED: (
        DenialCode.PENDING,
        "{asked}",
        "Send the identical statement again once the ticket is approved: it then runs once.",
    ),
    ApprovalState.APPROVED: _USED,
    ApprovalState.REDEEMED: _USED,
    ApprovalState.DENIED: (
        DenialCode.DENIED,
        "{who} refused it{note}",
        "Do not repeat it; ask the person for a way that they accept.",
    ),
    ApprovalState.EXPIRED: (DenialCode.EXPIRED, "the request expired before anybody decided", _ANEW),
    ApprovalState.WITHDRAWN: (DenialCode.WITHDRAWN, "the request was withdrawn{note}", _ANEW),
    ApprovalState.SUPERSEDED: (DenialCode.EXPIRED, "policy has changed, and a newer request took its place", _ANEW),
}
