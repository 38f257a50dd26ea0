"""A finding as a session remembers it: with the answers to what is asked of it at every statement."""

from __future__ import annotations

import asyncio
from typing import Final, TypeVar

from blastwall.model import Value
from blastwall.protocols.postgres.classify import Finding, passing, undoing
from blastwall.sql.amplification import BY_PARAMETER
from blastwall.sql.rename import Names as Touched
from blastwall.sql.rename import names as touched_names

K = TypeVar("K", str, bytes)

#: Findings a connection remembers, of exact texts and of skeletons each.
REMEMBERED: Final = 512
#: What no worker could read now is asked again after so long (seconds).
MOMENT: Final = 1.0
#: Kinds of statements whose text holds session names that the gateway replaces.
NAMING: Final = frozenset(
    {"prepare", "execute", "declare", "fetch", "close", "deallocate", "discard", "explain", "define"}
)
#: Flags of facts that depend on the run: its parameters, and what the target allows to be set.
BY_THE_RUN: Final = frozenset({"setting", BY_PARAMETER, "writes_masked"})


class Remembered(Value):
    """``naming``: it is of a kind that may name or end what the session named; ``named``: it does name such a thing,
    and goes upstream written anew with the gateway's name; ``changing``: it may change the catalogue, or undo what did;
    ``session_names``: what it means depends on such names. All False for what does not parse. ``plain``: its facts are
    those of each run, whatever its parameters are and whatever the target allows to be set. ``pieces`` are those of its
    text (see ``skeleton.pieces``) where the finding is that of every text with the same; none elsewhere. ``touched``
    says of each of its statements what it names; empty where ``naming`` is False.
    """

    __slots__ = ("changing", "finding", "named", "naming", "pieces", "plain", "session_names", "touched")
    __match_args__ = ("finding", "naming", "changing", "session_names")

    def __init__(self, finding: Finding) -> None:
        parsed = finding.tree is not None
        self.finding = finding
        self.naming = parsed and may_name(finding)
        tree = finding.tree if self.naming else None
        self.touched: tuple[Touched, ...] = () if tree is None else touched_names(tree)
        self.named = any(names_one(touched) for touched in self.touched)
        self.changing = parsed and (finding.changes_catalogue or undoing(finding))
        self.session_names = parsed and finding.session_names
        self.plain = finding.facts.flags.isdisjoint(BY_THE_RUN)
        self.pieces: list[bytes] | None = None

    @property
    def shared(self) -> bool:
        """Does the finding hold for the same text with other integers? Not for one that is written anew: what goes
        upstream is made from the finding's own tree.
        """
        return self.finding.literal_independent and not self.session_names and not self.named


def may_name(finding: Finding) -> bool:
    """Could the text speak of a prepared statement or a cursor? UPDATE and DELETE do by WHERE CURRENT OF."""
    return any(part.kind in NAMING or part.facts.verb in ("update", "delete") for part in finding.statements)


def names_one(touched: Touched) -> bool:
    """Does a statement name a prepared statement or a cursor of the session?"""
    return bool(touched.uses_statements or touched.uses_cursors) or any(
        name is not None
        for name in (
            touched.defines_statement,
            touched.closes_statement,
            touched.defines_cursor,
            touched.closes_cursor,
        )
    )


def bounded(memory: dict[K, Remembered]) -> dict[K, Remembered]:
    """The memory with room for one more. It forgets everything rather than grow: what recurs is back at once."""
    if len(memory) >= REMEMBERED:
        memory.clear()
    return memory


def keep(memory: dict[str, Remembered], text: str, read: Remembered) -> None:
    """Remember it under its text: only while its message is handled, where another time it may well be understood."""
    bounded(memory)[text] = read
    if passing(read.finding):
        asyncio.get_running_loop().call_later(MOMENT, memory.pop, text, None)
