"""An approved change of rows, held to the number of rows that was approved.

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
from typing import TYPE_CHECKING, Final

from blastwall.approvals.bounds import changes_rows, counted
from blastwall.errors import OurFault
from blastwall.model import Chunk, Denial, DenialCode, Direction, Guard, Permit, Statement
from blastwall.protocols.postgres import inner, messages
from blastwall.protocols.postgres.answers import FAILED, IDLE
from blastwall.protocols.postgres.held import Count, Held, Portion
from blastwall.protocols.postgres.inner import chunks
from blastwall.protocols.postgres.legs import Legs
from blastwall.protocols.postgres.names import Portal
from blastwall.protocols.postgres.refusal import refusal
from blastwall.undo.capture import Kept

if TYPE_CHECKING:
    from blastwall.protocols.postgres.classify import Finding

_HINT: Final = "Nothing was changed. Narrow it to the rows you mean, or have it approved for as many as it changes."
_UNTOLD: Final = (
    "the server does not say how many rows this changes, and it was approved for a number of them: write each change "
    "as a statement of its own, outside WITH"
)
_OPEN_BATCH: Final = "it came inside an open batch of the extended protocol and cannot be undone alone: Sync first"
_UNKEPT: Final = "what it changes could not be kept as it was before: tell whoever runs the gateway"
_HELD: Final = "its rows are more than the gateway holds back until it has counted them: return fewer columns or rows"

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
        changing = self._changing(statement.text)
        reason = "" if answers.at_rest else _OPEN_BATCH
        if not reason and guard.rows is not None and changing is None:
            reason = _UNTOLD
        if reason:
            self._note(permit, number, None, "not run")
            self._refuse_query(_refused(reason), number)
            legs.send()
            async for chunk in legs.results(True):
                yield chunk
            return
        own = answers.status == IDLE
        if own:
            await inner.command(legs, "BEGIN")
        try:
            kept = await self._keep(statement, permit, sync=True)
        except inner.Refused as refused:
            if own:
                await inner.command(legs, "ROLLBACK")
            yield Chunk(refused.told, number, error=refused.code)
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
            for chunk in held.release():
                yield chunk
            return
        if answers.status == FAILED:
            self._note(permit, number, None, "failed")
            if own:
                await inner.command(legs, "ROLLBACK")
            for chunk in held.release():
                yield chunk
            yield self._ready(number)
            return
        reason = self._verdict(held, count, permit, number)
        if not reason:
            reason = await self._kept(kept, count, permit, statement)
        if reason and own:
            await inner.command(legs, "ROLLBACK")
            yield Chunk(_refused(reason) + messages.ready_for_query(b"I"), number, error="refused")
            return
        if reason:
            self._refuse_query(_refused(reason), number)
            legs.send()
            async for chunk in legs.results(True):
                yield chunk
            return
        if own:
            try:
                await inner.command(legs, "COMMIT")
            except inner.Refused as refused:
                for chunk in held.without_completion():
                    yield chunk
                yield Chunk(refused.told, number, error=refused.code)
        for chunk in held.release():
            yield chunk
        yield self._ready(number)

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
        if guard.rows is not None and not counted(portal.facts):
            self._note(permit, number, None, "not run")
            reason = _UNTOLD
        else:
            count = Count(answers, (True,))
            try:
                kept = await self._keep(statement, permit, sync=False)
            except inner.Refused as refused:
                self._legs.down.skip_to_sync()
                yield Chunk(refused.told, number, error=refused.code)
                return
            stage(0)
            answers.newest.effects = count.watch(answers.newest.effects)
            held = Held()
            async for chunk in self._sent():
                for given in self._hold(held, chunk):
                    yield given
            if answers.skipping or answers.fatal:
                self._note(permit, number, None, "failed")
                for chunk in held.release():
                    yield chunk
                return
            reason = self._verdict(held, count, permit, number)
            if not reason:
                reason = await self._kept(kept, count, permit, statement)
            if not reason:
                portal.portion = Portion(held.release(), number)
                return
        self._fail(_refused(reason), number)
        async for chunk in self._sent():
            yield chunk

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

    async def _kept(self, kept: Kept | str | None, count: Count, permit: Permit, statement: Statement) -> str:
        """Keep it. Why the change must not stand; ""."""
        keeper = self._legs.keeper
        if kept is None or keeper is None:
            return ""
        name, why = "", kept if isinstance(kept, str) else ""
        if not isinstance(kept, str):
            verb = self._find(statement.text).facts.verb
            try:
                name, why = await keeper.after(kept, count.rows, permit.approval or "", verb)
            except inner.Refused:
                return _UNKEPT
            except OurFault:
                name, why = "", _UNKEPT
        fields = {"statement": statement.number, "approval": permit.approval or "", "capsule": name, "reason": why}
        self._legs.note("undo_capsule", fields)
        return why if why == _UNKEPT else ""

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

    def _verdict(self, held: Held, count: Count, permit: Permit, number: int) -> str:
        """Why it must be undone; "" when it may stand."""
        guard = permit.guard
        assert guard is not None
        rows = count.rows
        reason, outcome = _judge(guard, rows, held.too_much)
        self._note(permit, number, rows, outcome)
        return reason

    def _note(self, permit: Permit, number: int, rows: int | None, outcome: str) -> None:
        guard = permit.guard
        bound = guard.rows if guard is not None else None
        fields = {"statement": number, "approval": permit.approval or "", "outcome": outcome}
        self._legs.note("row_bound", fields | {"bound": bound, "rows": rows})

    def _ready(self, number: int) -> Chunk:
        return Chunk(messages.ready_for_query(bytes([self._legs.answers.status])), number)


def _judge(guard: Guard, rows: int | None, too_much: bool) -> tuple[str, str]:
    """Why it must be undone ("": it may stand), and the word for it on record."""
    if guard.rows is not None and rows is None:
        return _UNTOLD, "not counted"
    if guard.rows is not None and rows is not None and rows > guard.rows:
        return f"it changed {rows} rows, and was approved for at most {guard.rows}", "rolled back"
    if too_much:
        return _HELD, "too much to hold"
    return "", "within"


def _refused(reason: str) -> bytes:
    return refusal(Denial(DenialCode.BOUND, reason, _HINT))
