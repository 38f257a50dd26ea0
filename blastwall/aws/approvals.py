"""Approvals in DynamoDB: every change is one conditional write, every read that decides something is consistent.

Items of the table, all with ``ttl`` (epoch seconds, 30 days after the request's expiry):

* a request: ``id`` its own; ``state`` S, ``version`` N (counts changes), ``binding`` S, ``session`` S, ``agent`` S
  (issuer|subject), ``requested_at`` N, ``expires_at`` N, ``changed_at`` N, ``decided_by`` L, ``note`` S, ``uses`` N,
  ``used`` N, ``same_shape`` BOOL, ``bound`` N (rows; not there: any number), ``document`` B (``approvals.documents``,
  JSON, zlib), ``votes`` S (JSON),
  ``messages`` S (JSON, what was sent to whom), ``task_token`` B (KMS ciphertext; only while the state machine waits);
* pointers to the newest request, ``id`` = ``b#<binding>``, ``q#<question>`` (the binding without its policy version)
  and ``s#<shape>`` (a grant); ``points_to`` S. An approval found through an index could be redeemed late or twice.

Indexes, for lists and limits only: ``by_state`` (state, requested_at), ``by_agent`` (agent, requested_at).
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from blastwall import approvals as rules
from blastwall.approvals import Ballot, Event, Filed, Vote
from blastwall.approvals.demands import demands_of
from blastwall.approvals.documents import status_of, vote_document, vote_of
from blastwall.approvals.fingerprints import binding_of, check_binding
from blastwall.approvals.flood import Asked, Limits, excess
from blastwall.approvals.rules import judge_ballot, unknown
from blastwall.approvals.view import view_of
from blastwall.aws.items import Item, Items, number, real
from blastwall.errors import ClientFault, OurFault
from blastwall.model import (
    ApprovalRequest,
    ApprovalState,
    ApprovalStatus,
    Denial,
    Principal,
    Session,
)
from blastwall.ports import Clock

Authorise = Callable[[Principal, ApprovalRequest, Ballot], Denial | None]

SHIPPED = Limits()
ATTEMPTS = 12  # at a write that others win; each loss means that somebody else got on
KEPT_SECONDS = 30 * 86_400
LARGEST_DOCUMENT = 300_000  # bytes, compressed: an item holds 400 KB, and nobody judges a longer text anyway
LARGEST_QUESTION = 6_000_000  # bytes of a request as JSON: Lambda takes 6 MB and answers any more with a fault
TOO_LARGE = "this statement is too large to be put before a person: split it"
SHORTEST_LOOK, LONGEST_LOOK = 0.1, 0.5  # seconds between two looks at a request that is waited for

_LIVE = (ApprovalState.REQUESTED, ApprovalState.APPROVED)


class Doors(Protocol):
    """What approvals that let sessions connect have to say to the sessions."""

    def shut(self, session: str, reason: str, by: str) -> bool:
        """End a live session."""
        ...

    def shut_by(self, session: str, until: float) -> None:
        """It ends then at the latest."""
        ...


class ApprovalTable:
    """The table itself, for Lambdas (blocking). ``client`` is a boto3 DynamoDB client.

    ``doors`` None: approvals of connections cannot be taken back here once they were used. Everything raises OurFault
    when AWS fails.
    """

    def __init__(
        self,
        client: Any,  # noqa: ANN401  boto3 has no types
        name: str,
        clock: Clock,
        limits: Limits = SHIPPED,
        doors: Doors | None = None,
    ) -> None:
        self._items = Items(client, name)
        self.clock = clock
        self._limits = limits
        self.doors = doors

    # asking

    def file(self, request: ApprovalRequest) -> ApprovalStatus:
        """See ``LocalApprovals.request``; a request of a size that no item holds is a ClientFault, too."""
        check_binding(request)
        document = zlib.compress(json.dumps(rules.to_document(request)).encode("ascii"))
        if len(document) > LARGEST_DOCUMENT:
            raise ClientFault(TOO_LARGE)
        question = binding_of(request, "")
        for _ in range(ATTEMPTS):
            now = self.clock.now()
            newest = self._pointed(f"b#{request.binding}")
            if newest is not None and _status(newest, now).state in rules.LIVE:
                return _status(newest, now)
            older = self._pointed(f"q#{question}")
            if older is not None and _status(older, now).state in rules.LIVE:
                if older["binding"]["S"] == request.binding:
                    continue  # the very same was filed between the two looks
                self.move(older["id"]["S"], Event.SUPERSEDE, note="policy has changed since")
            too_much = excess(self._asked(request), request.session, now, self._limits)
            if too_much is not None:
                raise ClientFault(too_much)
            if self._insert(request, document, question, newest, now):
                return _status(self._items.get(request.id) or {}, now)
        raise OurFault(f"the approval request {request.id} could not be filed: others changed it all the time")

    def _insert(
        self, request: ApprovalRequest, document: bytes, question: str, newest: Item | None, now: float
    ) -> bool:
        ttl = number(int(request.expires_at + KEPT_SECONDS))
        item = {
            "id": {"S": request.id},
            "state": {"S": ApprovalState.REQUESTED.value},
            "version": number(1),
            "binding": {"S": request.binding},
            "session": {"S": request.session},
            "agent": {"S": request.principal.identity},
            "requested_at": number(request.requested_at),
            "expires_at": number(request.expires_at),
            "changed_at": number(now),
            "decided_by": {"L": []},
            "note": {"S": ""},
            "uses": number(1),
            "used": number(0),
            "same_shape": {"BOOL": False},
            "document": {"B": document},
            "votes": {"S": "[]"},
            "messages": {"S": "{}"},
            "ttl": ttl,
        }
        pointer = {"id": {"S": f"b#{request.binding}"}, "points_to": {"S": request.id}, "ttl": ttl}
        put: Item = {"Item": pointer, "ConditionExpression": "attribute_not_exists(id)"}
        if newest is not None:
            put["ConditionExpression"] = "points_to = :seen"
            put["ExpressionAttributeValues"] = {":seen": newest["id"]}
        return self._items.put_together(
            {"Item": item, "ConditionExpression": "attribute_not_exists(id)"},
            put,
            {"Item": {"id": {"S": f"q#{question}"}, "points_to": {"S": request.id}, "ttl": ttl}},
        )

    def _asked(self, request: ApprovalRequest) -> list[Asked]:
        """The agent's requests that its limits count. An index is behind by moments: a limit may be passed by a few."""
        since = request.requested_at - max(self._limits.window, request.expires_at - request.requested_at)
        found = self._items.query("by_agent", "agent", request.principal.identity, since)
        now = self.clock.now()
        return [
            Asked(item["session"]["S"], _status(item, now).state, real(item, "requested_at"), real(item, "changed_at"))
            for item in found
        ]

    # using

    def redeem(self, binding: str, shape: str = "") -> ApprovalStatus | None:
        """See ``ports.Approvals``. Whoever loses the conditional write looks again: another may have used it up."""
        for _ in range(ATTEMPTS):
            now = self.clock.now()
            item = self._pointed(f"b#{binding}")
            if item is not None and _status(item, now).state is ApprovalState.DENIED:
                return None  # who denied this very statement is not overruled by a grant for others like it
            if item is None or _status(item, now).state is not ApprovalState.APPROVED:
                item = self._pointed(f"s#{shape}") if shape else None
                if item is None or not item["same_shape"]["BOOL"]:
                    return None
                if _status(item, now).state is not ApprovalState.APPROVED:
                    return None
            self._time_box(item, now)  # first: a session that ends too early harms less than one that goes on
            used = int(item["used"]["N"]) + 1
            last = used >= int(item["uses"]["N"])
            after = rules.next_state(ApprovalState.APPROVED, Event.REDEEM) if last else ApprovalState.APPROVED
            changed = self._items.change(
                item, {"used": number(used), "state": {"S": str(after)}, "changed_at": number(now)}
            )
            if changed is not None:
                return replace(_status(changed, now), met=demands_of(_request(changed)))
        return None

    def _time_box(self, item: Item, now: float) -> None:
        status = _status(item, now)
        until = rules.opens_until(_request(item), status) if status.same_shape else None
        if until is not None and self.doors is not None:
            self.doors.shut_by(item["session"]["S"], until)

    def latest(self, binding: str) -> ApprovalStatus | None:
        """The newest request with this binding in whatever state, or None."""
        item = self._pointed(f"b#{binding}")
        return None if item is None else replace(_status(item, self.clock.now()), met=demands_of(_request(item)))

    # deciding

    def vote(self, id: str, approver: Principal, ballot: Ballot, authorise: Authorise) -> ApprovalStatus | Denial:
        """Count one person's answer, or say why it does not count. Raises ValueError when the note is too long."""
        for _ in range(ATTEMPTS):
            item = self._request(id)
            if item is None:
                return unknown(id)
            request, votes = _request(item), _votes(item)
            refusal = judge_ballot(request, ballot, view_of(request).shown) or authorise(approver, request, ballot)
            if refusal is not None:
                return refusal
            now = self.clock.now()
            state = _status(item, now).state
            after = rules.judge_vote(request, state, votes, approver, ballot.approve, now)
            if isinstance(after, Denial):
                return after
            vote = Vote(approver, ballot.approve, ballot.note, now, ballot.grant_seconds, ballot.rows)
            counted = [*votes, vote]
            values: Item = {"votes": {"S": json.dumps([vote_document(one) for one in counted])}}
            if after is not state:
                approving = [one for one in counted if one.approve]
                by = [one.approver.subject for one in approving] if ballot.approve else [approver.subject]
                values |= _decision(after, by, ballot.note, now)
            if after is ApprovalState.APPROVED:
                grant = rules.granted(request, counted, now)
                values |= {
                    "uses": number(grant.uses),
                    "expires_at": number(grant.expires_at),
                    "same_shape": {"BOOL": grant.same_shape},
                }
                if grant.bound is not None:
                    values["bound"] = number(grant.bound)
                if grant.same_shape:
                    ttl = number(int(grant.expires_at + KEPT_SECONDS))
                    self._items.put({"id": {"S": f"s#{request.shape}"}, "points_to": {"S": id}, "ttl": ttl})
            self._shut(request, item, after, ballot.note, approver.subject)
            changed = self._items.change(item, values)
            if changed is not None:
                return _status(changed, now)
        raise OurFault(f"the vote on {id} could not be counted: others changed it all the time; vote again")

    def move(
        self,
        id: str,
        event: Event,
        *,
        by: Sequence[str] = (),
        note: str = "",
        only: ApprovalState | None = None,
    ) -> ApprovalStatus:
        """Let ``event`` happen, if the table of transitions allows it there, and (``only``) it stands there.

        Raises OurFault for an unknown id.
        """
        for _ in range(ATTEMPTS):
            item = self._request(id)
            if item is None:
                raise OurFault(f"there is no approval request {id!r}")
            now = self.clock.now()
            status = _status(item, now)
            stored = ApprovalState(item["state"]["S"])
            elsewhere = only is not None and status.state is not only
            request = _request(item)
            after = None if elsewhere else rules.next_state(status.state, event, request.statement.kind)
            if after is None and status.state is stored:
                return status
            if after is None:  # it expired, and nobody has written it down yet
                after, by, note = status.state, (), ""
            self._shut(request, item, after, note, ", ".join(by))
            changed = self._items.change(item, _decision(after, by, note[: rules.MAX_NOTE], now))
            if changed is not None:
                return _status(changed, now)
        raise OurFault(f"the approval request {id} could not be changed: others changed it all the time")

    def _shut(self, request: ApprovalRequest, item: Item, after: ApprovalState, note: str, by: str) -> None:
        """What is taken back is closed first: a session that ends for nothing harms less than one that goes on."""
        if not rules.ends_session(request, int(item["used"]["N"]), after):
            return
        if self.doors is None:
            raise OurFault(f"{request.id} let a session connect, which cannot be ended from here: end it by its id")
        self.doors.shut(request.session, rules.end_reason(request.id, after, note), by)

    # looking

    def show(self, id: str) -> Filed | None:
        """One request, complete; None if there is none of that id."""
        item = self._request(id)
        return None if item is None else _filed(item, self.clock.now())

    def ls(self, *, live: bool = False, limit: int = 200) -> list[Filed]:
        """The newest requests first; ``live``: only those that wait for a decision or for their use."""
        now = self.clock.now()
        found = [
            item
            for state in (_LIVE if live else ApprovalState)
            for item in self._items.query("by_state", "state", str(state), 0.0, limit)
        ]
        if live:
            found = [item for item in found if real(item, "expires_at") > now]
        found.sort(key=lambda item: real(item, "requested_at"), reverse=True)
        return [_filed(item, now) for item in found[:limit]]

    def withdraw_all(self, agent: str, session: str, note: str) -> list[str]:
        """Withdraw what an ended session waits for; ``agent`` is its principal's identity. Returns which."""
        withdrawn = []
        for item in self._items.query("by_agent", "agent", agent, 0.0):
            if item["session"]["S"] == session and ApprovalState(item["state"]["S"]) in _LIVE:
                self.move(item["id"]["S"], Event.WITHDRAW, note=note)
                withdrawn.append(item["id"]["S"])
        return withdrawn

    # what the state machine and the notifier keep beside a request

    def keep_token(self, id: str, sealed: bytes) -> bool:
        """Keep the waiting task's token with a request that is still undecided; False: it is decided, nobody waits."""
        undecided = {"state": {"S": ApprovalState.REQUESTED.value}}
        return self._items.set(id, "task_token", {"B": sealed}, where=undecided)

    def token(self, id: str) -> bytes | None:
        """The sealed token of the task that waits for this request, if one does."""
        item = self._request(id) or {}
        return bytes(item["task_token"]["B"]) if "task_token" in item else None

    def forget_token(self, id: str) -> None:
        """After the task was answered: its token opens nothing any more."""
        self._items.set(id, "task_token", None)

    def messages(self, id: str) -> dict[str, Any]:
        """What was sent about this request, by channel, as :meth:`keep_messages` was given it."""
        item = self._request(id)
        return {} if item is None else dict(json.loads(item["messages"]["S"]))

    def keep_messages(self, id: str, messages: Mapping[str, Any]) -> None:
        """Remember what was sent, to update it later and not to send it twice."""
        self._items.set(id, "messages", {"S": json.dumps(dict(messages))})

    def _request(self, id: str) -> Item | None:
        return self._items.get(id) if id.startswith("a-") else None  # a pointer's name is nobody's request

    def _pointed(self, pointer: str) -> Item | None:
        found = self._items.get(pointer)
        return None if found is None else self._items.get(found["points_to"]["S"])


Invoke = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]


class AwsApprovals:
    """``ports.Approvals`` of a gateway on AWS.

    It reads and redeems in the table itself; to ask, and to end a wait, it has Lambdas called: ``invoke`` takes a
    function (``approval_request``, ``approval_decide``) and a JSON object, and returns one. It blocks.
    """

    def __init__(self, table: ApprovalTable, invoke: Invoke) -> None:
        self._table = table
        self._invoke = invoke

    async def request(self, request: ApprovalRequest) -> ApprovalStatus:
        """File the request, or return the live one with the same binding (its own id)."""
        document = rules.to_document(request)
        if len(json.dumps(document)) > LARGEST_QUESTION:
            raise ClientFault(TOO_LARGE)
        answer = await asyncio.to_thread(self._invoke, "approval_request", document)
        fault = answer.get("fault")
        if fault is not None:
            raise (ClientFault if fault["kind"] == "policy" else OurFault)(fault["message"])
        return status_of(answer["status"])

    async def decided(self, id: str, timeout: float) -> ApprovalStatus:
        """Wait until the request leaves REQUESTED, or for ``timeout`` seconds; return where it stands."""
        deadline = asyncio.get_running_loop().time() + timeout
        pause = SHORTEST_LOOK
        while True:
            filed = await asyncio.to_thread(self._table.show, id)
            if filed is None:
                raise OurFault(f"there is no approval request {id!r}")
            left = deadline - asyncio.get_running_loop().time()
            if filed.status.state is not ApprovalState.REQUESTED or left <= 0:
                return filed.status
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, LONGEST_LOOK)

    async def redeem(self, binding: str, shape: str = "") -> ApprovalStatus | None:
        """See ``ports.Approvals``."""
        return await asyncio.to_thread(self._table.redeem, binding, shape)

    async def latest(self, binding: str) -> ApprovalStatus | None:
        """The newest request with this binding in whatever state, or None."""
        return await asyncio.to_thread(self._table.latest, binding)

    async def withdraw(self, id: str, note: str) -> ApprovalStatus:
        """Take a live request back, and let the state machine know. Raises OurFault for an unknown id."""
        status = await asyncio.to_thread(self._table.move, id, Event.WITHDRAW, note=note)
        await asyncio.to_thread(self._invoke, "approval_decide", {"answer": id})
        return status

    def withdraw_all(self, session: Session, note: str) -> None:
        """Take back what an ended session waits for, and let the state machine know. Blocks."""
        for id in self._table.withdraw_all(session.principal.identity, session.id, note):
            self._invoke("approval_decide", {"answer": id})


def _decision(state: ApprovalState, by: Sequence[str], note: str, now: float) -> Item:
    return {
        "state": {"S": state.value},
        "decided_by": {"L": [{"S": one} for one in by]},
        "note": {"S": note},
        "changed_at": number(now),
    }


def _status(item: Item, now: float) -> ApprovalStatus:
    return ApprovalStatus(
        item["id"]["S"],
        rules.as_of(ApprovalState(item["state"]["S"]), real(item, "expires_at"), now),
        tuple(one["S"] for one in item["decided_by"]["L"]),
        item["note"]["S"],
        real(item, "changed_at"),
        int(item["uses"]["N"]),
        int(item["used"]["N"]),
        item["same_shape"]["BOOL"],
        real(item, "expires_at"),
        int(item["bound"]["N"]) if "bound" in item else None,
    )


def _request(item: Item) -> ApprovalRequest:
    return rules.from_document(json.loads(zlib.decompress(item["document"]["B"])))


def _votes(item: Item) -> tuple[Vote, ...]:
    return tuple(vote_of(one) for one in json.loads(item["votes"]["S"]))


def _filed(item: Item, now: float) -> Filed:
    return Filed(_request(item), _status(item, now), _votes(item))
