"""``ports.Approvals`` on the local store, and what the approver's command line needs beside it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from blastwall import approvals as rules
from blastwall.approvals import Event, Vote
from blastwall.errors import ClientFault, OurFault
from blastwall.local.store import Store, announce
from blastwall.model import ApprovalRequest, ApprovalState, ApprovalStatus, Denial, DenialCode, Principal
from blastwall.ports import Clock

Authorise = Callable[[Principal, ApprovalRequest], Denial | None]

MAX_LIVE = 32  # requests of one session that may wait at once: more is a way to tire approvers out
MAX_NOTE = 1000  # characters

_COLUMNS = "id, state, decided_by, note, changed_at, expires_at"


@dataclass(frozen=True, slots=True)
class Filed:
    """A request with where it stands and who has voted."""

    request: ApprovalRequest
    status: ApprovalStatus
    votes: tuple[Vote, ...] = ()


class LocalApprovals:
    """People's decisions in the shared store; one made in another process is seen within about 50 ms."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def request(self, request: ApprovalRequest) -> ApprovalStatus:
        """File the request, or return the live one with the same binding (its own id).

        The same question under an older policy version is superseded. Raises OurFault when the binding is not that of
        the request's own content, ClientFault when the session has 32 requests waiting.
        """
        if request.binding != _bound(request, request.policy_version):
            raise OurFault(
                "an approval request must carry the binding of its own content (blastwall.approvals.binding)"
            )
        question = _bound(request, "")
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> ApprovalStatus:
            _settle(db, now)
            live = _newest(db, request.binding)
            if live is not None and live["state"] in rules.LIVE:
                return _status(live, now)
            for older in _rows(db, "question = ? AND state IN ('requested', 'approved')", question):
                _move(db, older, Event.SUPERSEDE, now, note="policy has changed since")
            waiting = db.execute(
                "SELECT count(*) FROM approvals WHERE session = ? AND state = 'requested'", (request.session,)
            )
            if waiting.fetchone()[0] >= MAX_LIVE:
                raise ClientFault(
                    f"this session has {MAX_LIVE} requests waiting for a person: wait for those, or withdraw some"
                )
            db.execute(
                "INSERT INTO approvals VALUES (?, ?, ?, ?, 'requested', ?, ?, ?, '[]', '', ?)",
                (
                    request.id, request.binding, question, request.session,
                    request.requested_at, request.expires_at, now, json.dumps(rules.to_document(request)),
                ),
            )  # fmt: skip
            return _status(_row(db, request.id), now)

        return await self._store.write(work, durable=True)

    async def decided(self, id: str, timeout: float) -> ApprovalStatus:
        """Wait until the request leaves REQUESTED, or for ``timeout`` seconds; return where it stands."""
        deadline = asyncio.get_running_loop().time() + timeout
        with self._store.watcher.listening(id) as news:
            while True:
                news.clear()
                row = await self._store.read(lambda db: _row(db, id))
                now = self._clock.now()
                status = _status(row, now)
                left = min(deadline - asyncio.get_running_loop().time(), row["expires_at"] - now)
                if status.state is not ApprovalState.REQUESTED or left <= 0:
                    return status
                try:
                    await asyncio.wait_for(news.wait(), left)
                except TimeoutError:
                    pass

    async def redeem(self, binding: str) -> ApprovalStatus | None:
        """Consume one use of an APPROVED, unexpired request with this binding, atomically. None: there is none."""
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> ApprovalStatus | None:
            _settle(db, now)
            row = _newest(db, binding)
            if row is None or row["state"] != ApprovalState.APPROVED:
                return None
            _move(db, row, Event.REDEEM, now)
            return _status(_row(db, row["id"]), now)

        return await self._store.write(work, durable=True)

    async def latest(self, binding: str) -> ApprovalStatus | None:
        """The newest request with this binding in whatever state, or None."""
        row = await self._store.read(lambda db: _newest(db, binding))
        return None if row is None else _status(row, self._clock.now())

    async def withdraw(self, id: str, note: str) -> ApprovalStatus:
        """Take a live request back; one that is over stays as it is. Raises OurFault for an unknown id."""
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> ApprovalStatus:
            _settle(db, now)
            _move(db, _row(db, id), Event.WITHDRAW, now, note=note[:MAX_NOTE])
            return _status(_row(db, id), now)

        return await self._store.write(work, durable=True)

    async def vote(
        self, id: str, approver: Principal, approve: bool, note: str, authorise: Authorise
    ) -> ApprovalStatus | Denial:
        """Count one person's answer, or say why it does not count. ``authorise`` asks policy (``may_approve``).

        Raises ValueError when the note is longer than 1,000 characters.
        """
        if len(note) > MAX_NOTE:
            raise ValueError(f"a note has at most {MAX_NOTE} characters")
        filed = await self.show(id)
        if filed is None:
            return Denial(
                DenialCode.POLICY, f"there is no request {id!r} that you may decide", hint="list those there are"
            )
        refusal = authorise(approver, filed.request)
        if refusal is not None:
            return refusal
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> ApprovalStatus | Denial:
            _settle(db, now)
            row = _row(db, id)
            votes = _votes(db, id)
            after = rules.judge_vote(filed.request, ApprovalState(row["state"]), votes, approver, approve)
            if isinstance(after, Denial):
                return after
            db.execute(
                "INSERT INTO approval_votes VALUES (?, ?, ?, ?, ?)",
                (id, json.dumps(_person(approver)), approve, note, now),
            )
            if after is not ApprovalState.REQUESTED:
                by = [vote.approver.subject for vote in votes if vote.approve] if approve else []
                event = Event.APPROVE if approve else Event.DENY
                _move(db, row, event, now, by=[*by, approver.subject], note=note)
            return _status(_row(db, id), now)

        return await self._store.write(work, durable=True)

    async def show(self, id: str) -> Filed | None:
        """One request, complete; None if there is none of that id."""
        now = self._clock.now()
        rows = await self._store.read(lambda db: _filed(db, "id = ?", id, limit=1, now=now))
        return rows[0] if rows else None

    async def ls(self, *, live: bool = False, limit: int = 200) -> Sequence[Filed]:
        """The newest requests first; ``live``: only those that wait for a decision or for their use."""
        now = self._clock.now()
        where = "state IN ('requested', 'approved') AND expires_at > ?" if live else "? IS NOT NULL"
        return await self._store.read(lambda db: _filed(db, where, now, limit=limit, now=now))


def _bound(request: ApprovalRequest, policy_version: str) -> str:
    return rules.binding(
        principal=request.principal,
        session=request.session,
        target=request.target,
        statement=request.statement,
        policy_version=policy_version,
    )


def withdraw_all(db: sqlite3.Connection, session: str, note: str, now: float) -> None:
    """Withdraw what a session still waits for, in the transaction that ends it: its approvals could never be used."""
    for row in _rows(db, "session = ? AND state IN ('requested', 'approved')", session):
        _move(db, row, Event.WITHDRAW, now, note=note)


def _move(
    db: sqlite3.Connection, row: dict[str, Any], event: Event, now: float, *, by: Sequence[str] = (), note: str = ""
) -> None:
    """The only place that changes a state, and only by the table: an event that may not happen changes nothing."""
    after = rules.next_state(ApprovalState(row["state"]), event)
    if after is None:
        return
    if event is Event.REDEEM:  # who approved stays on record
        by, note = json.loads(row["decided_by"]), row["note"]
    db.execute(
        "UPDATE approvals SET state = ?, decided_by = ?, note = ?, changed_at = ? WHERE id = ? AND state = ?",
        (after, json.dumps(list(by)), note, now, row["id"], row["state"]),
    )
    announce(db, row["id"])


def _settle(db: sqlite3.Connection, now: float) -> None:
    for row in _rows(db, "state IN ('requested', 'approved') AND expires_at <= ?", now):
        _move(db, row, Event.EXPIRE, now)


def _rows(db: sqlite3.Connection, where: str, value: object, limit: int = -1) -> list[dict[str, Any]]:
    """Rows, newest first. ``where`` is one of this file's own conditions with one placeholder; -1: all of them."""
    names = [name.strip() for name in _COLUMNS.split(",")]
    query = f"SELECT {_COLUMNS} FROM approvals WHERE {where} ORDER BY rowid DESC LIMIT ?"  # noqa: S608  literals only
    found = db.execute(query, (value, limit))
    return [dict(zip(names, row, strict=True)) for row in found]


def _row(db: sqlite3.Connection, id: str) -> dict[str, Any]:
    rows = _rows(db, "id = ?", id)
    if not rows:
        raise OurFault(f"there is no approval request {id!r}")
    return rows[0]


def _newest(db: sqlite3.Connection, binding: str) -> dict[str, Any] | None:
    rows = _rows(db, "binding = ?", binding, 1)
    return rows[0] if rows else None


def _status(row: dict[str, Any], now: float) -> ApprovalStatus:
    state = rules.as_of(ApprovalState(row["state"]), row["expires_at"], now)
    return ApprovalStatus(row["id"], state, tuple(json.loads(row["decided_by"])), row["note"], row["changed_at"])


def _filed(db: sqlite3.Connection, where: str, value: object, *, limit: int, now: float) -> list[Filed]:
    found = []
    for row in _rows(db, where, value, limit):
        text = db.execute("SELECT document FROM approvals WHERE id = ?", (row["id"],)).fetchone()[0]
        found.append(Filed(rules.from_document(json.loads(text)), _status(row, now), _votes(db, row["id"])))
    return found


def _votes(db: sqlite3.Connection, id: str) -> tuple[Vote, ...]:
    found = db.execute("SELECT approver, approve, note, at FROM approval_votes WHERE request = ? ORDER BY rowid", (id,))
    return tuple(Vote(_principal(json.loads(who)), bool(approve), note, at) for who, approve, note, at in found)


def _person(principal: Principal) -> dict[str, Any]:
    return asdict(principal) | {"groups": sorted(principal.groups)}


def _principal(members: dict[str, Any]) -> Principal:
    return Principal(**(members | {"groups": frozenset(members["groups"])}))
