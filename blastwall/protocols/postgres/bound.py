"""A change of rows that may change so many and no more: as people approved it, or as rules counted it before.

The client's answer is held back until the server has said how many rows were changed, while all of it can still be
undone. Within the bound it is committed and the client gets exactly what the server said; beyond it the client gets a
refusal, and nothing has happened.

What makes it undoable:

* a simple query outside a transaction runs between the gateway's own BEGIN and COMMIT, whose error is the statement's;
* everything else already runs in a transaction that ends later: the client's own, or the implicit one that lasts until
  Sync. There a message that cannot succeed makes the server undo it: back to the client's last savepoint, or wholly.

Should the gateway die, the client leave or somebody cancel meanwhile, the server rolls back by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from blastwall.approvals.bounds import changes_rows, counted
from blastwall.errors import Fault, OurFault, UpstreamFault
from blastwall.model import Chunk, Denial, DenialCode, Direction, Permit, Statement
from blastwall.protocols.postgres import inner, messages
from blastwall.protocols.postgres.answers import FAILED, IDLE
from blastwall.protocols.postgres.held import MOST_HELD, Count, Held, Portion
from blastwall.protocols.postgres.inner import chunks
from blastwall.protocols.postgres.legs import Legs
from blastwall.protocols.postgres.names import Portal
from blastwall.protocols.postgres.refusal import refusal
from blastwall.undo.capture import Kept

if TYPE_CHECKING:
    from blastwall.protocols.postgres.classify import Finding

_NARROW: Final = "Nothing was changed. Narrow it to the rows you mean, or have it approved for as many as it changes."
_AGAIN: Final = "Nothing was changed. Send it again, and it is counted and judged anew."
_UNTOLD: Final = "the server does not say how many rows this changes, and it may change only so many"
_APART: Final = "Nothing was changed. Write each change as a statement of its own, outside WITH."
_OPEN_BATCH: Final = "it came inside an open batch of the extended protocol and could not be undone alone"
_SYNC: Final = "Nothing was changed. Send Sync before it."
_UNKEPT: Final = "what it changes could not be kept as it was before, and it was approved as one that can be taken back"
_TELL: Final = "Nothing was changed. Tell whoever runs the gateway."
_HELD: Final = "it returns more than the gateway holds back until it has counted the rows"
_LESS: Final = "Nothing was changed. Return fewer columns or rows, and fetch all of what you open."
#: How often the gateway ends a transaction of its own before it gives the connection up: each try that fails takes
#: a cancel request that came just then.
_TRIES: Final = 10

#: Puts a statement's refusal in the place of its answer: an ErrorResponse and the statement's number.
Refuse = Callable[[bytes, int], None]


class Bounds:
    """Runs a connection's guarded statements. ``refuse_query`` and ``fail`` answer with errors."""

    def __init__(self, legs: Legs, find: Callable[[str], Finding], refuse_query: Refuse, fail: Refuse) -> None:
        self._legs = legs
        self._find = find
        self._refuse_query = refuse_query
        self._fail = fail

    async def query(self, statement: Statement, permit: Permit, stage: Callable[[], object]) -> AsyncIterator[Chunk]:
        """A simple query. ``stage`` puts it into the next send. Raises as ``Legs.results`` does."""
        legs, number = self._legs, statement.number
        answers = legs.answers
        guard = permit.guard
        assert guard is not None, "only a guarded statement takes this road"
        if answers.status == FAILED:  # the server refuses it by itself
            stage()
            legs.send()
            async for chunk in legs.results(True):
                yield chunk
            return
        if answers.only_prepared:  # asyncpg ends what it prepares with Flush
            try:
                await inner.end_batch(legs)
            except inner.Refused as fault:
                self._note(permit, number, None, "not run")
                yield Chunk(fault.told, number, error=fault.code)
                yield self._ready(number)
                return
        changing = self._changing(statement.text)
        refused = None if answers.at_rest else _Refused(_OPEN_BATCH, _SYNC)
        if refused is None and guard.rows is not None and changing is None:
            refused = _Refused(_UNTOLD, _APART)
        if refused is not None:
            self._note(permit, number, None, "not run")
            self._refuse_query(refused.told, number)
            legs.send()
            async for chunk in legs.results(True):
                yield chunk
            return
        own = answers.status == IDLE
        try:
            if own:
                await inner.command(legs, "BEGIN")
            kept = await self._keep(statement, permit, sync=True)
        except inner.Refused as fault:
            self._note(permit, number, None, "not run")
            if own:
                await self._roll_back()
            yield Chunk(fault.told, number, error=fault.code)
            yield self._ready(number)
            return
        stage()
        count = Count(answers, changing or ())
        answers.newest.effects = count.watch(answers.newest.effects)
        legs.send()
        held = Held()
        answers.muted = True
        try:
            async for chunk in legs.results(True):
                for given in self._hold(held, chunk):
                    yield given
        finally:
            answers.muted = False
        async for chunk in self._conclude_query(held, count, permit, statement, own, kept):
            yield chunk

    async def _conclude_query(
        self, held: Held, count: Count, permit: Permit, statement: Statement, own: bool, kept: Kept | str | None
    ) -> AsyncIterator[Chunk]:
        number = statement.number
        legs = self._legs
        answers = legs.answers
        if answers.fatal:
            self._note(permit, number, None, "failed")
            for chunk in held.release():
                yield chunk
            return
        if answers.status == FAILED:
            self._note(permit, number, None, "failed")
            if own:
                await self._roll_back()
            for chunk in held.release():
                yield chunk
            yield self._ready(number)
            return
        refused = _judge(permit, count.rows, held.too_much) or await self._kept(kept, count, permit, statement)
        if refused is not None:
            self._note(permit, number, count.rows, refused.outcome)
            if own:
                await self._roll_back()
                yield Chunk(refused.told, number, error="refused")
                yield self._ready(number)
                return
            self._refuse_query(refused.told, number)
            legs.send()
            async for chunk in legs.results(True):
                yield chunk
            return
        if own:
            try:
                await inner.command(legs, "COMMIT")
            except inner.Refused as fault:
                self._note(permit, number, count.rows, "failed")
                await self._roll_back()
                for chunk in held.without_completion():
                    yield chunk
                yield Chunk(fault.told, number, error=fault.code)
                yield self._ready(number)
                return
            except Fault:
                self._note(permit, number, count.rows, "not known")
                raise
        self._note(permit, number, count.rows, "within")
        for chunk in held.release():
            yield chunk
        yield self._ready(number)

    async def _roll_back(self) -> None:
        """End the gateway's own transaction: the client must not be left in one that it never began.

        A cancel request that comes late is meant for the statement and hits BEGIN, COMMIT or ROLLBACK. Raises
        UpstreamFault when there is no end to it; then the connection ends, and the transaction with it.
        """
        for _ in range(_TRIES):
            if self._legs.answers.status == IDLE:
                return
            try:
                await inner.command(self._legs, "ROLLBACK")
            except inner.Refused:
                continue
        if self._legs.answers.status != IDLE:
            raise UpstreamFault("the database does not end the gateway's own transaction", code="08006")

    async def execute(self, portal: Portal, most: int, stage: Callable[[int], None]) -> AsyncIterator[Chunk]:
        """An Execute of at most ``most`` rows (0: all). ``stage`` puts one into the next send. Raises as
        ``Legs.results`` does.
        """
        legs = self._legs
        answers = legs.answers
        async for chunk in self._sent():  # what came before it
            yield chunk
        if answers.skipping or answers.fatal:
            return  # the server skips it
        if answers.status == FAILED or (portal.portion is not None and portal.portion.done):
            stage(most)
            async for chunk in self._sent():
                yield chunk
            return
        if portal.portion is None:
            async for chunk in self._run(portal, stage):
                yield chunk
        if portal.portion is not None:
            for chunk in portal.portion.take(most):
                yield chunk

    async def _run(self, portal: Portal, stage: Callable[[int], None]) -> AsyncIterator[Chunk]:
        """Run a portal to its end, and keep its answer in it when it is within its bound."""
        answers, permit, number = self._legs.answers, portal.permit, portal.number
        guard, statement = permit.guard, portal.asked
        assert guard is not None and statement is not None
        refused: _Refused | None
        if guard.rows is not None and not counted(portal.facts):
            self._note(permit, number, None, "not run")
            refused = _Refused(_UNTOLD, _APART)
        else:
            count = Count(answers, (True,))
            try:
                kept = await self._keep(statement, permit, sync=False)
            except inner.Refused as fault:
                self._note(permit, number, None, "not run")
                self._legs.down.skip_to_sync()
                yield Chunk(fault.told, number, error=fault.code)
                return
            stage(0)
            answers.newest.effects = count.watch(answers.newest.effects)
            held = Held(MOST_HELD - self._open())
            async for chunk in self._sent():
                for given in self._hold(held, chunk):
                    yield given
            if answers.skipping or answers.fatal:
                self._note(permit, number, None, "failed")
                for chunk in held.release():
                    yield chunk
                return
            refused = _judge(permit, count.rows, held.too_much) or await self._kept(kept, count, permit, statement)
            self._note(permit, number, count.rows, "within" if refused is None else refused.outcome)
            if refused is None:
                portal.portion = Portion(held.release(), number)
                return
        if answers.skipping:  # it has failed by what the gateway asked after it
            self._legs.down.skip_to_sync()
            yield Chunk(refused.told, number, error="refused")
            return
        self._fail(refused.told, number)
        async for chunk in self._sent():
            yield chunk

    def _open(self) -> int:
        """Bytes that open portals hold of their answers."""
        names = self._legs.answers.names
        held = sum(portal.portion.size for portal in names.portals.values() if portal.portion is not None)
        unnamed = names.unnamed.portion if names.unnamed is not None else None
        return held if unnamed is None else held + unnamed.size

    async def _sent(self) -> AsyncIterator[Chunk]:
        """Send what is staged, and let the server answer all of it."""
        legs = self._legs
        if legs.staged or not legs.answers.quiescent:
            legs.stage(messages.FLUSH)
            legs.send()
        async for chunk in chunks(legs):
            yield chunk

    async def _keep(self, statement: Statement, permit: Permit, *, sync: bool) -> Kept | str | None:
        """What the statement is about to touch, why that is not kept, or None when it is not to be. Raises Refused."""
        guard, keeper = permit.guard, self._legs.keeper
        if guard is None or not guard.keep or keeper is None:
            return None
        return await keeper.before(statement, guard.keep, sync=sync)

    async def _kept(
        self, kept: Kept | str | None, count: Count, permit: Permit, statement: Statement
    ) -> _Refused | None:
        """Keep it. Why the change must not stand; None: it may."""
        keeper = self._legs.keeper
        if kept is None or keeper is None:
            return None
        name, why = "", kept if isinstance(kept, str) else ""
        refused: _Refused | None = None
        if not isinstance(kept, str):
            verb = self._find(statement.text).facts.verb
            try:
                name, why = await keeper.after(kept, count.rows, permit.approval or "", verb)
            except (inner.Refused, OurFault):
                refused, why = _Refused(_UNKEPT, _TELL, "not kept"), _UNKEPT
        fields = {"statement": statement.number, "approval": permit.approval or "", "capsule": name, "reason": why}
        self._legs.note("undo_capsule", fields)
        return refused

    def _hold(self, held: Held, chunk: Chunk) -> Sequence[Chunk]:
        """Keep the chunk; what must not wait: the client's own COPY data, and the word that the server wants them."""
        if chunk.direction is Direction.TO_TARGET:
            return (chunk,)
        held.add(chunk)
        return held.release() if self._legs.answers.copying_in else ()

    def _changing(self, text: str) -> tuple[bool, ...] | None:
        """Of each of its statements, whether it changes rows; None: somewhere rows would be changed without a count,
        or the transaction be ended.
        """
        parts = self._find(text).statements
        if not parts or any(part.kind == "transaction" for part in parts):
            return None
        if not all(part.reads_only or counted(part.facts) or "locks_rows" in part.facts.flags for part in parts):
            return None
        return tuple(changes_rows(part.facts) for part in parts)

    def _note(self, permit: Permit, number: int, rows: int | None, outcome: str) -> None:
        guard = permit.guard
        bound = guard.rows if guard is not None else None
        fields = {"statement": number, "approval": permit.approval or "", "outcome": outcome}
        self._legs.note("row_bound", fields | {"bound": bound, "rows": rows})

    def _ready(self, number: int) -> Chunk:
        return Chunk(messages.ready_for_query(bytes([self._legs.answers.status])), number)


@dataclass(frozen=True, slots=True)
class _Refused:
    """Why a statement must not stand, what the agent may do, and the word for it on record."""

    reason: str
    hint: str
    outcome: str = "not run"
    policies: tuple[str, ...] = ()

    @property
    def told(self) -> bytes:
        return refusal(Denial(DenialCode.BOUND, self.reason, self.hint, self.policies))


def _judge(permit: Permit, rows: int | None, too_much: bool) -> _Refused | None:
    """Why what has run must be undone; None: it may stand."""
    guard = permit.guard
    assert guard is not None
    if guard.rows is not None and rows is None:
        return _Refused(_UNTOLD, _APART, "not counted")
    if guard.rows is not None and rows is not None and rows > guard.rows:
        told = f"it changed {rows} row{'' if rows == 1 else 's'}, and "
        if permit.approval is not None:
            return _Refused(f"{told}was approved for at most {guard.rows}", _NARROW, "rolled back")
        counted_for = f"{told}rules let it run unasked for at most {guard.rows}, as many as were counted and a few more"
        return _Refused(counted_for, _AGAIN, "rolled back", permit.policies)
    if too_much:
        return _Refused(_HELD, _LESS, "too much to hold")
    return None
