"""Reads a :class:`~blastwall.sql.catalogue.Catalogue` from PostgreSQL 13 to 18, as any role, without writing anything.

Each query returns one row with one text column, so the gateway runs them through its own simple-query engine.
"""

from __future__ import annotations

from collections.abc import Mapping

from blastwall.sql.catalogue import Catalogue

#: (section name, SQL) pairs; run them all in one transaction (REPEATABLE READ, READ ONLY where there is a choice).
SECTIONS: tuple[tuple[str, str], ...] = ()

#: One row, one text column: changes whenever DDL touched anything the snapshot holds.
FRESHNESS: str = ""


def assemble(sections: Mapping[str, str]) -> Catalogue:
    """The catalogue out of the sections' JSON texts. Raises UpstreamFault when the server answered something else."""
    raise NotImplementedError
