"""SQL-level PREPARE, EXECUTE, DEALLOCATE, DECLARE, FETCH, MOVE, CLOSE: which names, and the same text with other names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from blastwall.sql.parser import Tree


@dataclass(frozen=True, slots=True)
class Names:
    """The session names one statement touches. ``all_*`` tells the forms that close every name at once."""

    defines_statement: str | None = None  # PREPARE name
    uses_statement: str | None = None  # EXECUTE name (also inside EXPLAIN and CREATE TABLE AS)
    closes_statement: str | None = None  # DEALLOCATE name
    closes_all_statements: bool = False  # DEALLOCATE ALL, DISCARD ALL
    defines_cursor: str | None = None  # DECLARE name CURSOR
    uses_cursor: str | None = None  # FETCH, MOVE, WHERE CURRENT OF
    closes_cursor: str | None = None  # CLOSE name
    closes_all_cursors: bool = False  # CLOSE ALL, DISCARD ALL
    discards_plans: bool = False  # DISCARD PLANS: names stay


def names(tree: Tree) -> tuple[Names, ...]:
    """What each statement of ``tree`` does with prepared-statement and cursor names, in order."""
    raise NotImplementedError


def rename(tree: Tree, statements: Mapping[str, str], cursors: Mapping[str, str]) -> str:
    """``tree`` as text, with the client's names replaced by the gateway's.

    A name missing from its mapping is :class:`Unparsed` ("does not exist"), never passed on. The text is accepted only if
    it parses back to the same tree apart from locations; otherwise raises Unparsed.
    """
    raise NotImplementedError
