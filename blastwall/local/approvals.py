"""``ports.Approvals`` on the local store, and what the approver's command line needs beside it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from blastwall import approvals as rules
from blastwall.approvals import Ballot, Event, Filed, Vote
from blastwall.approvals.demands import demands_of
from blastwall.approvals.documents import principal_document, principal_of
from blastwall.approvals.fingerprints import binding_of, check_binding
from blastwall.approvals.flood import Asked, Limits, excess
from blastwall.approvals.rules import Grant, judge_ballot, unknown
from blastwall.approvals.view import view_of
from blastwall.errors import ClientFault, OurFault
from blastwall.local.ends import end_by, mark_ended
from blastwall.local.store import Store, announce
from blastwall.model import (
    ApprovalRequest,
    ApprovalState,
    ApprovalStatus,
    Denial,
    Principal,
    StatementKind,
)
from blastwall.ports import Clock

Authorise = Callable[[Principal, ApprovalRequest, Ballot], Denial | None]

SHIPPED = Limits()
WITHDRAWN = "withdrawn"  # how a session ended whose approval was taken back
_COLUMNS = "id, state, decided_by, note, changed_at, expires_at, uses, used, same_shape, bound"


class LocalApprovals:
    """People's decisions in the shared store; one made in another process is seen within about 50 ms."""

    def __init__(self, store: Store, clock: Clock, limits: Limits = SHIPPED) -> None:
        self._store = store
        self._clock = clock
        self._limits = limits

    def adopt(self, limits: Limits) -> None:
        """Hold agents to these from the next request on."""
        self._limits = limits

    async def request(self, request: ApprovalRequest) -> ApprovalStatus:
        """File the request, or return the live one with the same binding (its own id).

        The same question under an older policy version is superseded. Raises OurFault when the binding is not that of
        the request's own content, ClientFault when the agent asks too much of people (``approvals.flood``).
        """
        check_binding(request)
        question = binding_of(request, "")
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> ApprovalStatus:
            _settle(db, now)
            live = _newest(db, request.binding)
            if live is not None and live["state"] in rules.LIVE:
                return _status(live, now)
            for older in _rows(db, "question = ? AND state IN ('requested', 'approved')", question):
                _move(db, older, Event.SUPERSEDE, now, note="policy has changed since")
            too_much = excess(
                _asked(db, request.principal.identity, now - self._limits.window), request.session, now, self._limits
            )
            if too_much is not None:
                raise ClientFault(too_much)
            db.execute(
                "INSERT INTO approvals VALUES (?, ?, ?, ?, 'requested', ?, ?, ?, '[]', '', ?, ?, ?, 1, 0, 0, NULL)",
                (
                    request.id, request.binding, question, request.session,
                    request.requested_at, request.expires_at, now, json.dumps(rules.to_document(request)),
                    request.principal.identity, request.shape,
                ),
            )  # fmt: skip
            announce(db, NEWS)
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

    async def redeem(self, binding: str, shape: str = "") -> ApprovalStatus | None:
        """Consume one use of an APPROVED, unexpired request with this binding, atomically. None: there is none.

        Failing that, one use of a request that was approved for every statement of this ``shape``.
        """
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> ApprovalStatus | None:
            _settle(db, now)
            row = _newest(db, binding)
            if row is not None and row["state"] == ApprovalState.DENIED:
                return None  # who denied this very statement is not overruled by a grant for others like it
            if row is None or row["state"] != ApprovalState.APPROVED:
                granted = _rows(db, "shape = ? AND state = 'approved' AND same_shape = 1", shape, 1) if shape else []
                if not granted:
                    return None
                row = granted[0]
            db.execute("UPDATE approvals SET used = used + 1 WHERE id = ?", (row["id"],))
            if row["used"] + 1 >= row["uses"]:
                _move(db, row, Event.REDEEM, now)
            (found,) = _filed(db, "id = ?", row["id"], limit=1, now=now)
            until = rules.opens_until(found.request, found.status)
            if until is not None:
                end_by(db, found.request.session, until)
            return replace(found.status, met=demands_of(found.request))

        return await self._store.write(work, durable=True)

    async def latest(self, binding: str) -> ApprovalStatus | None:
        """The newest request with this binding in whatever state, or None."""
        now = self._clock.now()
        filed = await self._store.read(lambda db: _filed(db, "binding = ?", binding, limit=1, now=now))
        return replace(filed[0].status, met=demands_of(filed[0].request)) if filed else None

    async def withdraw(self, id: str, note: str) -> ApprovalStatus:
        """Take a live request back, or a connection's that was used: its session ends. One that is over stays as it is.

        Raises OurFault for an unknown id.
        """
        filed = await self.show(id)
        if filed is None:
            raise OurFault(f"there is no approval request {id!r}")
        asked, now, note = filed.request, self._clock.now(), note[: rules.MAX_NOTE]

        def work(db: sqlite3.Connection) -> ApprovalStatus:
            _settle(db, now)
            row = _row(db, id)
            _move(db, row, Event.WITHDRAW, now, note=note, kind=asked.statement.kind)
            after = _row(db, id)
            if after["state"] != row["state"]:
                _end_session(db, asked, after, now, note)
            return _status(after, now)

        return await self._store.write(work, durable=True)

    async def vote(self, id: str, approver: Principal, ballot: Ballot, authorise: Authorise) -> ApprovalStatus | Denial:
        """Count one person's answer, or say why it does not count. ``authorise`` asks policy (``may_approve``).

        Raises ValueError when the note is longer than 1,000 characters.
        """
        filed = await self.show(id)
        if filed is None:
            return unknown(id)
        refusal = judge_ballot(filed.request, ballot, view_of(filed.request).shown)
        if refusal is None:
            refusal = authorise(approver, filed.request, ballot)
        if refusal is not None:
            return refusal
        now = self._clock.now()

        def work(db: sqlite3.Connection) -> ApprovalStatus | Denial:
            _settle(db, now)
            row = _row(db, id)
            votes = _votes(db, id)
            after = rules.judge_vote(filed.request, ApprovalState(row["state"]), votes, approver, ballot.approve, now)
            if isinstance(after, Denial):
                return after
            vote = Vote(approver, ballot.approve, ballot.note, now, ballot.grant_seconds, ballot.rows)
            db.execute(
                "INSERT INTO approval_votes VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    id, json.dumps(principal_document(approver)), vote.approve, vote.note, now, vote.grant_seconds,
                    vote.rows,
                ),
            )  # fmt: skip
            if after is ApprovalState.APPROVED:
                approving = [one for one in (*votes, vote) if one.approve]
                _grant(db, id, rules.granted(filed.request, approving, now))
                _move(db, row, Event.APPROVE, now, by=[one.approver.subject for one in approving], note=vote.note)
            elif after is ApprovalState.DENIED:
                kind = filed.request.statement.kind
                _move(db, row, Event.DENY, now, by=[approver.subject], note=vote.note, kind=kind)
                _end_session(db, filed.request, _row(db, id), now, vote.note, approver.subject)
            announce(db, NEWS)
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

    async def changed(self, timeout: float) -> None:
        """Wait until any request is made or changes, or for ``timeout`` seconds."""
        with self._store.watcher.listening(NEWS) as news:
            try:
                await asyncio.wait_for(news.wait(), timeout)
            except TimeoutError:
                pass


#: What every change of any request is announced under.
NEWS = "approvals"


def withdraw_all(db: sqlite3.Connection, session: str, note: str, now: float) -> None:
    """Withdraw what a session still waits for, in the transaction that ends it: its approvals could never be used."""
    for row in _rows(db, "session = ? AND state IN ('requested', 'approved')", session):
        _move(db, row, Event.WITHDRAW, now, note=note)


def _end_session(
    db: sqlite3.Connection, asked: ApprovalRequest, row: dict[str, Any], now: float, note: str, by: str = ""
) -> None:
    """In the transaction that takes an approval back: what it opened is closed by every process that has it open."""
    after = ApprovalState(row["state"])
    if not rules.ends_session(asked, row["used"], after):
        return
    reason = rules.end_reason(asked.id, after, note)
    if mark_ended(db, asked.session, WITHDRAWN, now, reason=reason, by=by):
        withdraw_all(db, asked.session, f"the session ended: {reason}", now)


def _move(
    db: sqlite3.Connection,
    row: dict[str, Any],
    event: Event,
    now: float,
    *,
    by: Sequence[str] = (),
    note: str = "",
    kind: StatementKind = StatementKind.EXECUTE,
) -> None:
    """The only place that changes a state, and only by the table: an event that may not happen changes nothing."""
    after = rules.next_state(ApprovalState(row["state"]), event, kind)
    if after is None:
        return
    if event is Event.REDEEM:  # who approved stays on record
        by, note = json.loads(row["decided_by"]), row["note"]
    db.execute(
        "UPDATE approvals SET state = ?, decided_by = ?, note = ?, changed_at = ? WHERE id = ? AND state = ?",
        (after, json.dumps(list(by)), note, now, row["id"], row["state"]),
    )
    announce(db, row["id"])
    announce(db, NEWS)


def _grant(db: sqlite3.Connection, id: str, grant: Grant) -> None:
    db.execute(
        "UPDATE approvals SET uses = ?, expires_at = ?, same_shape = ?, bound = ? WHERE id = ?",
        (grant.uses, grant.expires_at, grant.same_shape, grant.bound, id),
    )


def _asked(db: sqlite3.Connection, agent: str, since: float) -> list[Asked]:
    found = db.execute(
        "SELECT session, state, requested_at, changed_at FROM approvals"
        " WHERE agent = ? AND (state = 'requested' OR requested_at > ? OR changed_at > ?)",
        (agent, since, since),
    )
    return [Asked(session, ApprovalState(state), asked, changed) for session, state, asked, changed in found]


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
    by = tuple(json.loads(row["decided_by"]))
    return ApprovalStatus(
        row["id"],
        state,
        by,
        row["note"],
        row["changed_at"],
        row["uses"],
        row["used"],
        bool(row["same_shape"]),
        row["expires_at"],
        row["bound"],
    )


def _filed(db: sqlite3.Connection, where: str, value: object, *, limit: int, now: float) -> list[Filed]:
    found = []
    for row in _rows(db, where, value, limit):
        text = db.execute("SELECT document FROM approvals WHERE id = ?", (row["id"],)).fetchone()[0]
        found.append(Filed(rules.from_document(json.loads(text)), _status(row, now), _votes(db, row["id"])))
    return found


def _votes(db: sqlite3.Connection, id: str) -> tuple[Vote, ...]:
    found = db.execute(
        "SELECT approver, approve, note, at, grant_seconds, rows FROM approval_votes WHERE request = ? ORDER BY rowid",
        (id,),
    )
    return tuple(
        Vote(principal_of(json.loads(who)), bool(approve), note, at, seconds, rows)
        for who, approve, note, at, seconds, rows in found
    )
