"""``Leases`` on DynamoDB.

Items of the table: ``session`` S and ``lease`` S (its id) are the key; ``target``, ``kind``, ``profile``, ``holder``,
``state`` (open, ending, closed), ``note`` S; ``made_at``, ``expires_at``, ``not_before``, ``attempts``, ``closed_at``,
``ttl`` N. Index ``by_state`` (state, expires_at). A lease is written in one transaction with a check that its session
lives, so that none is written after its session's end was dealt with. Besides, ``alone#<what>`` (lease ``alone``):
``holder`` S and ``until`` N, who has that in hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from blastwall.aws.sessions import task_key
from blastwall.aws.tables import Calls, Item, Lost, number, real_of, string_of, text
from blastwall.credentials.lease import CLAIM_SECONDS, Lease, LeaseState, LeaseTaken
from blastwall.errors import OurFault, TokenFault, UpstreamFault

KEPT_SECONDS: Final = 30 * 86_400.0
ATTEMPTS: Final = 8
GRACE_SECONDS: Final = 10.0  # in which a session's own task ends its leases
#: Whoever is alone with something is so for this long at most; no function runs for longer (stacks/functions.toml).
ALONE_SECONDS: Final = 90.0
PATIENCE_SECONDS: Final = 20.0
_FREE: Final = "attribute_not_exists(#until) OR #until <= :now"


class AwsLeases:
    """Implements :class:`blastwall.credentials.lease.Leases`. ``sessions`` names the table of sessions."""

    def __init__(self, client: Any, name: str, sessions: str) -> None:  # noqa: ANN401  boto3 has no types
        self._calls = Calls(client, name)
        self._sessions = sessions
        self._other = Calls(client, sessions)

    async def write(self, lease: Lease) -> None:
        await asyncio.to_thread(self._write, lease)

    async def claim(self, lease: Lease, now: float) -> bool:
        return await asyncio.to_thread(
            self._change,
            lease,
            "SET #state = :ending, not_before = :until",
            {":ending": text(LeaseState.ENDING), ":until": number(now + CLAIM_SECONDS), ":now": number(now)},
            "#state = :open OR (#state = :ending AND not_before <= :now)",
            {":open": text(LeaseState.OPEN)},
        )

    async def retry(self, lease: Lease, at: float, note: str) -> None:
        await asyncio.to_thread(
            self._change,
            lease,
            "SET not_before = :at, note = :note ADD attempts :one",
            {":at": number(at), ":note": text(note), ":one": number(1)},
            "#state = :ending",
            {":ending": text(LeaseState.ENDING)},
        )

    async def close(self, lease: Lease, at: float, note: str) -> None:
        await asyncio.to_thread(
            self._change,
            lease,
            "SET #state = :closed, note = :note, closed_at = :at",
            {":closed": text(LeaseState.CLOSED), ":note": text(note), ":at": number(at)},
            "attribute_exists(lease)",
            {},
        )

    async def of(self, session: str) -> Sequence[Lease]:
        return await asyncio.to_thread(self._of, session)

    async def history(self, session: str) -> Sequence[Lease]:
        """All of the session's leases, closed ones too, for whoever asks what became of them."""
        return await asyncio.to_thread(self._of, session, everything=True)

    @contextlib.asynccontextmanager
    async def alone(self, what: str) -> AsyncIterator[None]:
        """Nobody else who asks so is inside meanwhile. Raises UpstreamFault when somebody is for 20 seconds."""
        mine, deadline = secrets.token_hex(8), time.monotonic() + PATIENCE_SECONDS
        while not await asyncio.to_thread(self._enter, what, mine):
            if time.monotonic() >= deadline:
                raise UpstreamFault(f"others have {what} in hand for {PATIENCE_SECONDS:.0f} s already")
            await asyncio.sleep(0.05 + secrets.randbelow(100) / 1000)  # not all of them at the same moment
        try:
            yield
        finally:
            await asyncio.to_thread(self._leave, what, mine)

    def _enter(self, what: str, mine: str) -> bool:
        now = time.time()
        values = {
            ":mine": text(mine),
            ":until": number(now + ALONE_SECONDS),
            ":ttl": number(int(now + KEPT_SECONDS)),
            ":now": number(now),
        }
        return self._take(what, "SET #holder = :mine, #until = :until, #ttl = :ttl", values, _FREE)

    def _leave(self, what: str, mine: str) -> None:
        self._take(what, "SET #until = :none", {":none": number(0), ":mine": text(mine)}, "#holder = :mine")

    def _take(self, what: str, expression: str, values: Item, condition: str) -> bool:
        try:
            key = {"session": text(f"alone#{what}"), "lease": text("alone")}
            self._calls.update(key, expression, values, condition)
        except Lost:
            return False
        return True

    async def attempts(self, lease: Lease) -> int:
        """How often it could not be ended."""
        item = await asyncio.to_thread(self._calls.get, _key(lease))
        return int(real_of(item, "attempts")) if item else 0

    async def abandoned(self, holder: str, now: float) -> Sequence[Lease]:
        """Those of sessions that ended ten seconds ago, ran out, or that no task follows any more; those of tasks that
        have died; and those that are due again. An index tells, a moment late.

        ``holder`` is not asked: it is a function, which holds nothing.
        """
        return await asyncio.to_thread(self._abandoned, now)

    def _write(self, lease: Lease) -> None:
        item = _key(lease) | {
            "target": text(lease.target),
            "kind": text(lease.kind),
            "profile": text(lease.profile),
            "holder": text(lease.holder),
            "state": text(lease.state),
            "note": text(lease.note),
            "made_at": number(lease.made_at),
            "expires_at": number(lease.expires_at),
            "not_before": number(0),
            "attempts": number(0),
            "ttl": number(int(lease.expires_at + KEPT_SECONDS)),
        }
        check = {
            "TableName": self._sessions,
            "Key": {"id": text(lease.session)},
            "ConditionExpression": "attribute_exists(id) AND attribute_not_exists(ended_at)",
        }
        for _ in range(ATTEMPTS):
            try:
                put = {"Item": item, "ConditionExpression": "attribute_not_exists(lease)"}
                self._calls.together({"Put": put}, {"ConditionCheck": dict(check)})
                return
            except Lost as lost:
                if lost.reasons[1:2] == (True,):
                    raise TokenFault("the session has ended; connect again, with a new token if this repeats") from None
                if lost.reasons[:1] == (True,):
                    raise LeaseTaken from None
        raise OurFault(f"the lease {lease.id} could not be written: others changed it all the time")

    def _change(self, lease: Lease, expression: str, values: Item, condition: str, more: Item) -> bool:
        try:
            self._calls.update(_key(lease), expression, values | more, condition)
        except Lost:
            return False
        return True

    def _of(self, session: str, *, everything: bool = False) -> list[Lease]:
        closed: Item = {} if everything else {":closed": text(LeaseState.CLOSED)}
        found = self._calls.query(
            "#session = :session",
            {":session": text(session)} | closed,
            chosen="" if everything else "#state <> :closed",
        )
        return sorted(map(_lease, found), key=lambda lease: lease.made_at)

    def _abandoned(self, now: float) -> list[Lease]:
        """Open ones first: what has failed before must not keep what has not been tried from its turn."""
        due = [
            item
            for state in (LeaseState.OPEN, LeaseState.ENDING)
            for item in self._calls.query("#state = :state", {":state": text(state)}, index="by_state")
            if real_of(item, "not_before") <= now
        ]
        opened = [item for item in due if string_of(item, "state") == LeaseState.OPEN]
        ids = {string_of(item, "session") for item in opened} | {task_key(string_of(item, "holder")) for item in opened}
        keys = [{"id": text(id)} for id in sorted(ids)]
        known = {string_of(item, "id"): item for item in self._other.get_many(keys, consistent=True)}
        return [_lease(item) for item in due if string_of(item, "state") != LeaseState.OPEN or _over(item, known, now)]


def _over(item: Item, known: Mapping[str, Item], now: float) -> bool:
    """``known``: sessions and tasks as they stand, by their ids."""
    session = known.get(string_of(item, "session"))
    if session is None:
        return True
    if real_of(session, "ended_at") > now:
        return True  # by a clock that is wrong: how long ago it was cannot be told, but it has ended
    ends = min(real_of(session, "ended_at", now), real_of(session, "expires_at"))
    if ends <= now - GRACE_SECONDS or real_of(session, "alive_until") <= now:
        return True
    task = known.get(task_key(string_of(item, "holder")))
    return task is not None and real_of(task, "alive_until") <= now  # none: a function, or one that never said so


def _key(lease: Lease) -> Item:
    return {"session": text(lease.session), "lease": text(lease.id)}


def _lease(item: Item) -> Lease:
    return Lease(
        session=string_of(item, "session"),
        id=string_of(item, "lease"),
        target=string_of(item, "target"),
        kind=string_of(item, "kind"),
        profile=string_of(item, "profile"),
        holder=string_of(item, "holder"),
        made_at=real_of(item, "made_at"),
        expires_at=real_of(item, "expires_at"),
        state=LeaseState(string_of(item, "state")),
        note=string_of(item, "note"),
    )
