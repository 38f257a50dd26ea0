"""Reads a :class:`~blastwall.sql.catalogue.Catalogue` from PostgreSQL 13 to 18, as any role, without writing anything.

Each query returns one row with one text column, so the gateway runs them through its own simple-query engine. The
queries are in ``snapshot.sql``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from json.decoder import WHITESPACE  # type: ignore[attr-defined]  # typeshed leaves it out
from pathlib import Path
from typing import Any, Final

from blastwall.errors import UpstreamFault
from blastwall.sql.catalogue import Catalogue
from blastwall.sql.catalogue_file import FORMAT, build

LONG: Final = 64 * 1024  # characters of a section that are read at once
_DECODER: Final = json.JSONDecoder()


def _sections() -> dict[str, str]:
    text = Path(__file__).with_name("snapshot.sql").read_text(encoding="utf-8")
    parts = (part.partition("\n") for part in text.split("\n--- ")[1:])
    return {name.strip(): sql.strip() for name, _, sql in parts}


_QUERIES = _sections()

#: One row, one text column: changes whenever DDL touched anything the snapshot holds, also within one transaction, and
#: may change for less (VACUUM FULL of a catalogue). Statistics, VACUUM and other sessions' temporary tables leave it.
FRESHNESS: str = _QUERIES.pop("freshness")

#: Where a session is: its search path, its user, the server's version and its own temporary relations, as text each.
SESSION: str = (
    "SELECT pg_catalog.array_to_json(pg_catalog.current_schemas(false))::text, current_user::text, "
    "pg_catalog.current_setting('server_version_num'), "
    "coalesce((SELECT pg_catalog.json_agg(c.relname) FROM pg_catalog.pg_class AS c "
    "WHERE c.relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema())::text, '[]')"
)

#: (section name, SQL) pairs; run them all in one transaction (REPEATABLE READ, READ ONLY where there is a choice), or
#: compare FRESHNESS before and after.
SECTIONS: tuple[tuple[str, str], ...] = tuple(_QUERIES.items())

#: Sections that hold only what initdb made: the same for all databases and sessions of one server while it runs.
SYSTEM_SECTIONS: frozenset[str] = frozenset(name for name in _QUERIES if name.startswith("system_"))


def take(ask: Callable[[str], str]) -> Catalogue:
    """The catalogue of whatever ``ask`` runs a query on; it returns the one row's one column.

    Raises UpstreamFault when an answer is not as expected, and whatever ``ask`` raises.
    """
    return assemble({name: ask(sql) for name, sql in SECTIONS})


def assemble(sections: Mapping[str, str]) -> Catalogue:
    """The catalogue out of the sections' texts, by section name. Raises UpstreamFault when one is not as expected."""
    try:
        found = {name: _read(sections[name]) for name, _ in SECTIONS}
        document = {"format": FORMAT, **found.pop("server")}
        for name, rows in found.items():
            member = name.removeprefix("system_")
            document[member] = document.get(member, []) + rows
        return build(document)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise UpstreamFault(f"The target's catalogue is not what PostgreSQL 13 to 18 have: {error!r}") from error


def _read(text: str) -> Any:  # noqa: ANN401  JSON
    """As json.loads, but a long list row by row: in one go it keeps the interpreter to itself, for 20,000 tables for a
    second, and with it every session of the process. Raises ValueError.
    """
    if len(text) < LONG or text[0] != "[":
        return json.loads(text)
    rows: list[object] = []
    place = _skip(text, 1)
    while text[place] != "]" or rows:
        row, place = _DECODER.raw_decode(text, place)
        rows.append(row)
        place = _skip(text, place)
        if text[place] != ",":
            break
        place = _skip(text, place + 1)
    if text[place] != "]" or _skip(text, place + 1) != len(text):
        raise ValueError("a section ends in its midst")
    return rows


def _skip(text: str, place: int) -> int:
    """Where the next thing stands behind blanks."""
    found = WHITESPACE.match(text, place)
    return found.end() if found is not None else place


def listed(text: str) -> tuple[str, ...]:
    """The names of a JSON list. Raises UpstreamFault when it is none."""
    names = json.loads(text)
    if not isinstance(names, list):
        raise UpstreamFault("the database did not list what it was asked for")
    return tuple(str(name) for name in names)
