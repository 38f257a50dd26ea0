"""Names of the gateway's own for what a text names: see :mod:`blastwall.protocols.postgres.names`."""

from __future__ import annotations

from collections.abc import Sequence

from blastwall.errors import ClientFault
from blastwall.protocols.postgres.names import Names
from blastwall.sql.rename import Names as Touched


def mint(names: Names, text: Sequence[Touched], minted: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Names for what the statements of a text define, into ``minted`` ("s" or "c" and the client's name); returns all
    of the session's (statements, cursors) with them. Raises ClientFault for a name that is there already.
    """
    prepared, cursors = (dict(mapping) for mapping in names.upstream_names())
    for touched in text:
        _judge(names, touched)
        statement, cursor = touched.defines_statement, touched.defines_cursor
        if statement is not None:
            minted["s" + statement] = prepared[statement] = names.mint(statement)
        if cursor is not None:
            minted["c" + cursor] = cursors[cursor] = names.mint(cursor)
    return prepared, cursors


def _judge(names: Names, touched: Touched) -> None:
    name = touched.defines_statement
    if name is not None and name in names.prepared:
        raise ClientFault(f'prepared statement "{name}" already exists: deallocate it first')
    name = touched.defines_cursor
    if name is not None and name in names.portals:
        raise ClientFault(f'cursor "{name}" already exists: close it first')
