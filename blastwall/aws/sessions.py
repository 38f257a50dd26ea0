"""``ports.Sessions`` on DynamoDB: sessions shared by all tasks, changed by conditional writes only.

Items of the table (key ``id``), all but locks with ``ttl``:

* a session: ``id`` its own; ``token_id``, ``agent``, ``target``, ``glass`` (the break-glass reason, "" for none),
  ``principal`` (JSON) S; ``started_at``, ``expires_at``, ``linger``, ``alive_until``, ``idle_since`` (absent while
  somebody is connected) N; ``connections`` SS; ``used_rows``, ``used_bytes``, ``used_statements`` N; once it has ended
  ``ended_at`` N, ``ending``, ``reason``, ``ended_by`` S. A task that follows a session renews ``alive_until``: one that
  nobody renews has lost its task, and counts as idle from then on;
* ``live#<token>#<target>#<glass>``: ``points_to`` S, the token's newest session there;
* ``words#<minute>``: what tasks tell each other (``blastwall.aws.words``);
* ``killed#<token>#<target>``: ``reason`` S; the token opens no session there again;
* ``task#<holder>``: ``alive_until`` N, a task that follows sessions says so; one that no longer does has died, and what
  it was handed is of no use to anybody, though its sessions may live on in other tasks;
* ``lock#<agent>``: ``reason``, ``by`` S, ``at`` N; stays until it is unlocked.

Index ``by_agent`` (agent), to lock one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Final

from blastwall.aws import words
from blastwall.aws.standing import IDLE, REASONS, Standing, as_of, over, standing_of, used
from blastwall.aws.tables import Calls, Item, Lost, number, real_of, string_of, text
from blastwall.errors import AgentLocked, Fault, OurFault, TokenFault
from blastwall.model import Principal, Session, Target
from blastwall.ports import Clock

log = logging.getLogger("blastwall.sessions")

KILLED: Final = "killed"
LOCKED: Final = "locked"
WITHDRAWN: Final = "withdrawn"
FORGOTTEN: Final = "the session is not known any more"  # its table was put back to an earlier day

ATTACH_WITHIN: Final = 60.0  # seconds that an opened session waits for its connection
ALIVE_SECONDS: Final = 60.0  # a session whose task has not said for so long that it lives has lost it
KEPT_SECONDS: Final = 30 * 86_400.0
MAX_REASON: Final = 500  # characters of a break-glass reason
ATTEMPTS: Final = 12  # at a write that others win
_LIVE: Final = "attribute_exists(id) AND attribute_not_exists(ended_at)"

Withdraw = Callable[[Session, str], None]


def _nothing_waits(session: Session, note: str) -> None:
    """For functions that keep no approvals."""


class SessionTable:
    """The table itself, for Lambdas (blocking). ``withdraw`` takes back what an ended session waits for."""

    def __init__(
        self,
        client: Any,  # noqa: ANN401  boto3 has no types
        name: str,
        clock: Clock,
        *,
        withdraw: Withdraw = _nothing_waits,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._calls = Calls(client, name)
        self.name = name
        self.clock = clock
        self._withdraw = withdraw
        self._random_bytes = random_bytes

    def open(self, principal: Principal, target: Target, break_glass: str | None = None) -> Session:
        """See ``ports.Sessions.open``."""
        now = self.clock.now()
        if now >= principal.expires_at:
            raise TokenFault("the token has expired; ask your identity provider for a new token")
        if break_glass is not None and not (0 < len(break_glass) <= MAX_REASON and break_glass.isprintable()):
            raise TokenFault(f"a break-glass session needs a reason in plain text of 1 to {MAX_REASON} characters")
        for _ in range(ATTEMPTS):
            pointer = self._calls.get({"id": text(_pointer(principal, target, break_glass))})
            self._refuse(principal, target)
            known = pointer and self._calls.get({"id": pointer["points_to"]})
            try:
                if known and self._settled(known, now) is None:
                    return self._join(known, target, now)
                return self._insert(principal, target, break_glass, pointer or None, used(known or {}), now)
            except Lost:
                continue
        raise OurFault("a session could not be opened: others changed it all the time; try again")

    def attach(self, session: Session, connection: str) -> None:
        """Note a connection. Raises TokenFault when the session has ended."""
        now = self.clock.now()
        item = self._known(session.id)
        reason = self._settled(item, now)
        if reason is None:
            try:
                self._calls.update(
                    {"id": text(session.id)},
                    "SET alive_until = :alive REMOVE idle_since ADD connections :connection",
                    {":alive": number(now + ALIVE_SECONDS), ":connection": {"SS": [connection]}},
                    _LIVE,
                )
                return
            except Lost:
                reason = string_of(self._known(session.id), "reason")
        raise TokenFault(f"the session has ended ({reason}); connect again, with a new token if this repeats")

    def detach(self, session: Session, connection: str, usage: dict[str, int]) -> None:
        """A connection ended; a second time changes nothing."""
        now = self.clock.now()
        added = "".join(f", used_{name} :{name}" for name in usage)
        try:
            item = self._calls.update(
                {"id": text(session.id)},
                "DELETE connections :gone" + (" ADD" + added[1:] if added else ""),
                {":gone": {"SS": [connection]}, ":one": text(connection)}
                | {f":{name}": number(amount) for name, amount in usage.items()},
                "contains(connections, :one)",
            )
            if "connections" not in item:
                item = self._calls.update(
                    {"id": text(session.id)},
                    "SET idle_since = :now",
                    {":now": number(now)},
                    f"{_LIVE} AND attribute_not_exists(connections)",
                )
            self._settled(item, now)
        except Lost:
            return

    def usage(self, session: Session) -> dict[str, int]:
        """What its ended connections used together."""
        return used(self._known(session.id))

    def kill(self, id: str, reason: str, by: str) -> bool:
        """End a session; its token opens no new one at that target. False: no such live session."""
        item = self._calls.get({"id": text(id)})
        if item is None or self._settled(item, self.clock.now()) is not None:
            return False
        return self._end(item, KILLED, f"killed by {by}: {reason}", by)

    def shut(self, id: str, reason: str, by: str) -> bool:
        """End a session whose approval was taken back; its token may ask again. False: no such live session."""
        item = self._calls.get({"id": text(id)})
        if item is None or self._settled(item, self.clock.now()) is not None:
            return False
        return self._end(item, WITHDRAWN, reason, by)

    def shut_by(self, id: str, until: float) -> None:
        """A live session ends at ``until`` at the latest."""
        values = {":until": number(until)}
        try:
            self._calls.update({"id": text(id)}, "SET expires_at = :until", values, f"{_LIVE} AND expires_at > :until")
        except Lost:
            return

    def lock(self, agent: str, reason: str, by: str) -> int:
        """End all sessions of an agent and refuse new ones. Returns how many ended here; their tasks end the others."""
        values = {":reason": text(reason), ":by": text(by), ":at": number(self.clock.now())}
        self._calls.update({"id": text(f"lock#{agent}")}, "SET reason = :reason, #by = :by, #at = :at", values)
        said = f"agent locked by {by}: {reason}"
        live = self._calls.query(
            "#agent = :agent", {":agent": text(agent)}, index="by_agent", chosen="attribute_not_exists(ended_at)"
        )
        return sum(self._end(item, LOCKED, said, by) for item in list(live))

    def unlock(self, agent: str) -> bool:
        """False: it was not locked."""
        key = {"id": text(f"lock#{agent}")}
        try:
            self._calls.together({"Delete": {"Key": key, "ConditionExpression": "attribute_exists(id)"}})
        except Lost:
            return False
        return True

    def every(self, *, live: bool, limit: int = 200) -> Sequence[Standing]:
        """The newest sessions first; ``live``: only those. It reads the whole table: for people who look."""
        ended, now = " AND attribute_not_exists(ended_at)" if live else "", self.clock.now()
        found = [as_of(item, now) for item in self._calls.scan(f"attribute_exists(token_id){ended}")]
        found = [item for item in found if not live or "ended_at" not in item]
        found.sort(key=lambda item: real_of(item, "started_at"), reverse=True)
        return [standing_of(item) for item in found[:limit]]

    def ls(self, agent: str) -> Sequence[Standing]:
        """An agent's live sessions, as an index knows them: a moment ago."""
        found = self._calls.query(
            "#agent = :agent", {":agent": text(agent)}, index="by_agent", chosen="attribute_not_exists(ended_at)"
        )
        return [standing_of(item) for item in found if over(item, self.clock.now()) is None]

    def peek(self, id: str) -> Standing | None:
        """As :meth:`show`, and nothing is written: whoever looks may have no right to."""
        item = self._calls.get({"id": text(id)})
        return None if item is None else standing_of(as_of(item, self.clock.now()))

    def show(self, id: str) -> Standing | None:
        """One session as it stands now; what has run out has ended. None: there is none of that id."""
        item = self._calls.get({"id": text(id)})
        if item is None:
            return None
        if self._settled(item, self.clock.now()) is not None and "ended_at" not in item:
            item = self._known(id)
        return standing_of(item)

    def look(self, sessions: Sequence[Session]) -> dict[str, str]:
        """Of at most 50 sessions those that have ended, by id, and why; ends what has run out or is locked by now."""
        keys = {session.id for session in sessions} | {f"lock#{session.principal.agent}" for session in sessions}
        found = {string_of(item, "id"): item for item in self._calls.get_many([{"id": text(key)} for key in keys])}
        now = self.clock.now()
        ended = {}
        for session in sessions:
            item = found.get(session.id) or self._calls.get({"id": text(session.id)})  # a batch may miss a new one
            if item is None:
                ended[session.id] = FORGOTTEN
                continue
            lock = found.get(f"lock#{session.principal.agent}")
            if lock is not None and "ended_at" not in item:
                by, reason = string_of(lock, "by"), string_of(lock, "reason")
                self._end(item, LOCKED, f"agent locked by {by}: {reason}", by)
                item = self._known(session.id)
            reason_now = self._settled(item, now)
            if reason_now is not None:
                ended[session.id] = reason_now
        return ended

    def renew(self, session: Session) -> None:
        """Say that a task still follows it."""
        values = {":alive": number(self.clock.now() + ALIVE_SECONDS)}
        try:
            self._calls.update({"id": text(session.id)}, "SET alive_until = :alive", values, _LIVE)
        except Lost:
            return

    def beat(self, holder: str) -> None:
        """Say that a task lives that is handed credentials."""
        now = self.clock.now()
        values = {":alive": number(now + ALIVE_SECONDS), ":ttl": number(int(now + 86_400))}
        self._calls.update({"id": text(task_key(holder))}, "SET alive_until = :alive, #ttl = :ttl", values)

    def tell(self, word: str) -> None:
        """Leave a word for every task (``blastwall.aws.words``)."""
        words.tell(self._calls, word, self.clock.now())

    def told(self) -> frozenset[str]:
        """What tasks left for each other in the last minute."""
        return words.told(self._calls, self.clock.now())

    # inside

    def _known(self, id: str) -> Item:
        item = self._calls.get({"id": text(id)})
        if item is None:
            raise OurFault(f"there is no session {id!r} in the table {self.name}")
        return item

    def _refuse(self, principal: Principal, target: Target) -> None:
        lock = self._calls.get({"id": text(f"lock#{principal.agent}")})
        if lock is not None:
            by, reason = string_of(lock, "by"), string_of(lock, "reason")
            raise AgentLocked(f"the agent is locked by {by}: {reason}; ask them to unlock it")
        killed = self._calls.get({"id": text(f"killed#{principal.token_id}#{target.name}")})
        if killed is not None:
            raise TokenFault(
                f"this token's session was ended ({string_of(killed, 'reason')}); ask for a new token if you may go on"
            )

    def _join(self, item: Item, target: Target, now: float) -> Session:
        """A live session again; one that idles gets time to be connected to."""
        if "idle_since" in item:
            since = max(real_of(item, "idle_since"), now + max(0.0, ATTACH_WITHIN - target.linger_minutes * 60))
            values = {":since": number(since), ":alive": number(now + ALIVE_SECONDS)}
            condition = f"{_LIVE} AND attribute_exists(idle_since)"
            try:
                self._calls.update(
                    {"id": item["id"]}, "SET idle_since = :since, alive_until = :alive", values, condition
                )
            except Lost:
                if "ended_at" in self._known(string_of(item, "id")):
                    raise
        return standing_of(item).session

    def _insert(
        self,
        principal: Principal,
        target: Target,
        break_glass: str | None,
        pointer: Item | None,
        before: dict[str, int],
        now: float,
    ) -> Session:
        """``before`` is what the token has used there: a session that ended takes no budget along."""
        session = Session(
            id="s-" + base64.b32encode(self._random_bytes(10)).decode("ascii").lower()[:12],
            principal=principal,
            target=target.name,
            started_at=now,
            expires_at=principal.expires_at + target.outlive_token_minutes * 60,
            break_glass=break_glass,
        )
        linger = target.linger_minutes * 60
        ttl = number(int(session.expires_at + KEPT_SECONDS))
        item = {
            "id": text(session.id),
            "token_id": text(principal.token_id),
            "agent": text(principal.agent),
            "target": text(target.name),
            "glass": text(break_glass or ""),
            "principal": text(json.dumps(asdict(principal) | {"groups": sorted(principal.groups)})),
            "started_at": number(now),
            "expires_at": number(session.expires_at),
            "linger": number(linger),
            "idle_since": number(now + max(0.0, ATTACH_WITHIN - linger)),
            "alive_until": number(now + ALIVE_SECONDS),
            "ttl": ttl,
        } | {f"used_{kind}": number(amount) for kind, amount in before.items()}
        name = _pointer(principal, target, break_glass)
        points: Item = {
            "Item": {"id": text(name), "points_to": text(session.id), "ttl": ttl},
            "ConditionExpression": "attribute_not_exists(id)",
        }
        if pointer is not None:
            points["ConditionExpression"] = "points_to = :old"
            points["ExpressionAttributeValues"] = {":old": pointer["points_to"]}
        absent = "attribute_not_exists(id)"
        self._calls.together(
            {"Put": {"Item": item, "ConditionExpression": absent}},
            {"Put": points},
            {"ConditionCheck": {"Key": {"id": text(f"lock#{principal.agent}")}, "ConditionExpression": absent}},
            {
                "ConditionCheck": {
                    "Key": {"id": text(f"killed#{principal.token_id}#{target.name}")},
                    "ConditionExpression": absent,
                }
            },
        )
        return session

    def _settled(self, item: Item, now: float) -> str | None:
        """Why a session has ended, ending it if its time is up or nobody was there for long enough. None: it lives."""
        if "ended_at" in item:
            return string_of(item, "reason")
        ending = over(item, now)
        if ending is None:
            return None
        if not self._end(item, ending, REASONS[ending]):
            return string_of(self._known(string_of(item, "id")), "reason") or None
        return REASONS[ending]

    def _end(self, item: Item, ending: str, reason: str, by: str = "") -> bool:
        """The only place that ends a session: its waiting approvals go with it. False: it had ended."""
        condition = _LIVE
        values = {
            ":now": number(self.clock.now()),
            ":ending": text(ending),
            ":reason": text(reason),
            ":by": text(by),
        }
        if ending == IDLE:  # somebody may have connected meanwhile
            if "idle_since" in item:
                condition += " AND idle_since = :seen"
                values[":seen"] = item["idle_since"]
            else:
                condition += " AND alive_until = :seen"
                values[":seen"] = item["alive_until"]
        parts: list[Item] = [
            {
                "Update": {
                    "Key": {"id": item["id"]},
                    "UpdateExpression": "SET ended_at = :now, ending = :ending, reason = :reason, ended_by = :by",
                    "ConditionExpression": condition,
                    "ExpressionAttributeValues": values,
                }
            }
        ]
        if ending == KILLED:
            id = f"killed#{string_of(item, 'token_id')}#{string_of(item, 'target')}"
            parts.append({"Put": {"Item": {"id": text(id), "reason": text(reason), "ttl": item["ttl"]}}})
        for _ in range(ATTEMPTS):
            try:
                self._calls.together(*parts)
                break
            except Lost as lost:
                if any(lost.reasons) or not lost.reasons:
                    return False
        else:
            raise OurFault(f"session {string_of(item, 'id')} could not be ended: others changed it all the time")
        try:
            self._withdraw(standing_of(item).session, f"the session ended: {reason}")
        except Fault as fault:  # it has ended all the same, and no approval of it can be used any more
            log.error("what session %s waits for is left to expire: %s", string_of(item, "id"), fault)
        return True


def task_key(holder: str) -> str:
    """The id of a task's own item."""
    return f"task#{holder}"


def _pointer(principal: Principal, target: Target, break_glass: str | None) -> str:
    glass = hashlib.sha256(break_glass.encode()).hexdigest() if break_glass else ""
    return f"live#{principal.token_id}#{target.name}#{glass}"
