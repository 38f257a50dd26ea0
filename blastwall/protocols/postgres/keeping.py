"""Keeping the rows an approved change touches as they were, in the change's own transaction.

The questions are asked on the session's connection, just before the statement and just after it, under settings of the
gateway's own that are put back before anything else runs. What is found goes sealed to ``ports.Capsules``, and nowhere
else: neither the recording nor the agent sees a value.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from blastwall.errors import OurFault
from blastwall.model import Statement
from blastwall.ports import Capsules
from blastwall.protocols.postgres import inner
from blastwall.protocols.postgres.classify import Finding
from blastwall.protocols.postgres.legs import Legs
from blastwall.sql.blast import Answer, Question, Situation
from blastwall.sql.grammar import Unparsed
from blastwall.sql.parser import parse
from blastwall.sql.surroundings import Surroundings
from blastwall.undo.capsule import Capsule, NoCapsule
from blastwall.undo.capture import SETTINGS, Kept, capture, look_again

#: Storing a capsule may take this long: the change's locks are held meanwhile.
STORE_SECONDS: Final = 20.0

T = TypeVar("T")
_QUOTED: Final = ", ".join(f"pg_catalog.current_setting('{name}')" for name in SETTINGS)
_MOVED: Final = "Other transactions changed rows that it touches while they were kept."
_TOO_LARGE: Final = f"The rows that it touches are more than {inner.MOST_BYTES // 2**20} MiB."


class Reader(Protocol):
    """What is known of the session's texts."""

    def find(self, text: str) -> Finding: ...

    def place(self) -> tuple[Surroundings, str, tuple[str, ...]]: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where the rows are, as the capsule says it."""

    target: str
    database: str


class Keeper:
    """Keeps what one connection's approved changes touch. ``now`` in seconds since the epoch."""

    def __init__(self, legs: Legs, reader: Reader, capsules: Capsules, place: Place, now: Callable[[], float]) -> None:
        self._legs = legs
        self._reader = reader
        self._capsules = capsules
        self._place = place
        self._now = now
        self._sync = False

    async def before(self, statement: Statement, most: int, *, sync: bool) -> Kept | str:
        """Read and lock what the statement is about to touch, at most ``most`` rows; or why it is not kept.

        ``sync``: each question may end with Sync; else it is inside an open batch. Raises ``inner.Refused``: the
        transaction has failed.
        """
        finding = self._reader.find(statement.text)
        try:
            tree = finding.tree_of(statement.text) if finding.masked is None else parse(finding.masked)
        except Unparsed as fault:
            return fault.reason
        if tree is None:
            return "It is not understood."
        surroundings, _, _ = self._reader.place()
        self._sync = sync
        try:
            return await self._drive(capture(Situation(tree, surroundings, statement.parameters), most))
        except NoCapsule as reason:
            return str(reason)
        except inner.TooMuch:
            return _TOO_LARGE

    async def after(self, kept: Kept, rows: int | None, approval: str, verb: str) -> tuple[str, str]:
        """Keep it now that the statement has changed ``rows`` rows: the capsule's name, or "" and why there is none.

        Raises ``inner.Refused``, and OurFault when the capsule cannot be stored: then the change must not stand.
        """
        if rows != kept.rows:
            return "", _MOVED
        try:
            parts = await self._drive(look_again(kept.parts))
        except NoCapsule as reason:
            return "", str(reason)
        if not parts:
            return "", "It touched no row."
        name = f"{approval}-{secrets.token_hex(4)}"
        capsule = Capsule(name, approval, self._place.target, self._place.database, verb, self._now(), parts)
        try:
            content = await asyncio.to_thread(capsule.pack)
        except NoCapsule as reason:
            return "", str(reason)
        try:
            async with asyncio.timeout(STORE_SECONDS):
                await self._capsules.keep(name, content)
        except TimeoutError:
            raise OurFault(f"the undo capsule {name} was not stored within {STORE_SECONDS:g} s") from None
        return name, ""

    async def _drive(self, questions: Generator[Question, Answer, T]) -> T:
        """Ask each question under the settings it wants; the session's own hold again afterwards."""
        (saved,) = await inner.ask(self._legs, f"SELECT {_QUOTED}", sync=self._sync)
        theirs = {name: (value or b"").decode() for name, value in zip(SETTINGS, saved, strict=True)}
        own = False
        size = 0
        answer: Answer | None = None
        try:
            while True:
                question = next(questions) if answer is None else questions.send(answer)
                if question.own != own:
                    await self._settle(dict(SETTINGS) if question.own else theirs)
                    own = question.own
                given = question.parameters
                answer = await inner.ask(
                    self._legs,
                    question.text,
                    types=[each.type_id for each in given],
                    values=[each.value for each in given],
                    formats=[int(each.binary) for each in given],
                    sync=self._sync,
                )
                size += sum(len(value) for row in answer for value in row if value is not None)
                if size > inner.MOST_BYTES:
                    raise inner.TooMuch("the rows of all tables together are too large")
        except StopIteration as end:
            if own:
                await self._settle(theirs)
            result: T = end.value
            return result
        except (NoCapsule, inner.TooMuch):
            if own:
                await self._settle(theirs)
            raise

    async def _settle(self, settings: dict[str, str]) -> None:
        calls = ", ".join(
            f"pg_catalog.set_config('{name}', {_literal(value)}, true)" for name, value in settings.items()
        )
        await inner.ask(self._legs, f"SELECT {calls}", sync=self._sync)


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
