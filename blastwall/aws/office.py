"""What the ``approval_*`` functions do: JSON in, JSON out, a fault told and never raised to the caller.

``request``  the gateway asks: files the request, starts the state machine.
``notify``   the state machine asks: keeps its sealed task token and tells people (steps ask, escalate), or finds out
             what was decided (step settle): from the stored request, whatever the task was answered with.
``decide``   a person answers, with a token of their own; or anybody says that a request is over (``answer``), which
             ends the wait and decides nothing. The only one that may answer tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from blastwall.approvals import Ballot, Event, from_document
from blastwall.approvals.documents import status_document
from blastwall.approvals.notices import Kind
from blastwall.approvals.slack import SlackDoor, answer_document, callback_of
from blastwall.aws.approvals import ApprovalTable, Authorise
from blastwall.aws.waiting import Waiting
from blastwall.errors import ClientFault, Fault, OurFault, TokenFault, UpstreamFault
from blastwall.local.notifier import Notifier
from blastwall.model import ApprovalState, ApprovalStatus, Denial, Principal, Secret

Answer = dict[str, Any]

STEPS: Mapping[str, Kind] = {"ask": Kind.ASKED, "escalate": Kind.ESCALATED}
#: What reading JSON of another shape raises; JSON also has numbers that no machine number holds.
MISSHAPEN = (ValueError, KeyError, TypeError, AttributeError, OverflowError)
#: How a wait ended that no decision ended, and what that makes of a request nobody has decided.
ENDINGS: Mapping[str, tuple[Event, str]] = {
    "timeout": (Event.EXPIRE, ""),
    "answered": (Event.DENY, "the task was answered, but nobody had decided: denied"),
}


class AlreadyDecided(Exception):
    """A task need not wait: its request was decided before its token was kept."""


@dataclass(frozen=True, slots=True)
class Office:
    """``verify``: a person's token to a principal. ``authorise`` asks policy.

    ``slack``: the key of Slack's signature and who its users are; None: nobody answers there.
    """

    table: ApprovalTable
    waiting: Waiting
    notifier: Notifier
    verify: Callable[[Secret], Awaitable[Principal]]
    authorise: Authorise
    slack: tuple[bytes, Mapping[str, tuple[str, tuple[str, ...]]]] | None = None

    def request(self, event: Mapping[str, Any]) -> Answer:
        """``event`` is the request's document. Answers {"status"} or {"fault"}; once more is the same request."""
        try:
            request = from_document(event)
            status = self.table.file(request)
            stored = self.table.show(status.id)
            if stored is not None and status.state is ApprovalState.REQUESTED:
                self.waiting.start(stored.request)  # each time: whoever filed it may not have come this far
            return {"status": status_document(status)}
        except ClientFault as fault:
            return fault_of("policy", fault)
        except MISSHAPEN as fault:
            return fault_of("ours", OurFault(f"not an approval request: {fault}"))
        except Fault as fault:
            return fault_of("ours", fault)

    def notify(self, event: Mapping[str, Any]) -> Answer:
        """A step of the state machine. Raises AlreadyDecided, and OurFault for the machine to try again."""
        id, step = str(event["id"]), str(event["step"])
        if step == "settle":
            return {"id": id, "state": str(self.settle(id, str(event["how"])).state)}
        if not self.table.keep_token(id, self.waiting.seal(id, str(event["token"]))):
            raise AlreadyDecided(f"the request {id} was decided, or never made")
        self._tell(id, STEPS[step])
        return {"id": id}

    def settle(self, id: str, how: str) -> ApprovalStatus:
        """What became of the request. Undecided, it expires at the end of its time; ended otherwise, it is denied."""
        event, note = ENDINGS[how]
        status = self.table.move(id, event, note=note, only=ApprovalState.REQUESTED)
        self.table.forget_token(id)
        self._tell(id, Kind.DECIDED)
        return status

    def decide(self, event: Mapping[str, Any]) -> Answer:
        """A ballot {"id", "token", "approve", "shown", "note", "grant_seconds", "rows"}, {"answer": id}, or what Slack
        sends.

        Answers {"status"}, {"refused": {"code", "reason", "hint"}} or {"fault"}.
        """
        try:
            if "answer" in event:
                self._answer(str(event["answer"]))
                return {}
            if "slack" in event and self.slack is not None:
                door = SlackDoor(*self.slack, self._counted, self.table.clock.now)
                return {"slack": answer_document(asyncio.run(door.handle(callback_of(event["slack"]))))}
            approver = asyncio.run(self._person(str(event["token"])))
            return self.count(str(event["id"]), approver, ballot_of(event))
        except TokenFault as fault:
            return fault_of("token", fault)
        except MISSHAPEN as fault:
            return fault_of("policy", ClientFault(f"not a decision: {fault}"))
        except UpstreamFault as fault:
            return fault_of("upstream", fault)
        except Fault as fault:
            return fault_of("ours", fault)

    def count(self, id: str, approver: Principal, ballot: Ballot) -> Answer:
        """The decision is written first; only then is the task told that there is one."""
        verdict = self.table.vote(id, approver, ballot, self.authorise)
        if isinstance(verdict, Denial):
            return {"refused": {"code": str(verdict.code), "reason": verdict.reason, "hint": verdict.hint}}
        self._answer(id)
        return {"status": status_document(verdict)}

    async def _counted(self, id: str, person: Principal, ballot: Ballot) -> Answer:
        return self.count(id, person, ballot)

    async def _person(self, token: str) -> Principal:
        return await self.verify(Secret(token))

    def _answer(self, id: str) -> None:
        sealed = self.table.token(id)
        if sealed is not None and not self._undecided(id):
            self.waiting.answer(id, sealed)
            self.table.forget_token(id)

    def _undecided(self, id: str) -> bool:
        filed = self.table.show(id)
        return filed is not None and filed.status.state is ApprovalState.REQUESTED

    def _tell(self, id: str, kind: Kind) -> None:
        filed = self.table.show(id)
        if filed is None or not self.notifier.anybody:
            return
        before = self.table.messages(id)
        after = self.notifier.tell(filed, kind, before, self.table.ls(live=True))
        if after != before:
            self.table.keep_messages(id, after)


def ballot_of(event: Mapping[str, Any]) -> Ballot:
    """Raises ValueError, KeyError or TypeError for anything but a ballot."""
    if not isinstance(event["approve"], bool):
        raise TypeError("approve is true or false")
    rows = event.get("rows")
    return Ballot(
        event["approve"],
        str(event["shown"]),
        str(event.get("note", "")),
        float(event.get("grant_seconds", 0.0)),
        None if rows is None else int(rows),
    )


def fault_of(kind: str, fault: Fault, hint: str = "") -> Answer:
    """A fault as an answer: token, policy, upstream or ours."""
    return {"fault": {"kind": kind, "message": str(fault), "hint": hint}}
