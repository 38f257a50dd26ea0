"""A few rows of every table of a live database, as text: what `blastwall masking scan` looks at. Nothing is written."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from blastwall.errors import UpstreamFault
from blastwall.model import Secret
from blastwall.protocols.postgres import snapshot
from blastwall.protocols.postgres.link import Link, open_link
from blastwall.protocols.postgres.live import ask, parse_address
from blastwall.sql.catalogue import FIRST_USER_OID, TEMP_SCHEMA, Catalogue, Relation, quoted
from blastwall.wire.wire import Signal

CONNECT_SECONDS = 60.0  # for connecting and reading the catalogue
TABLE_SECONDS = 5.0  # for one table
LONGEST = 512  # characters of a value
MOST_COLUMNS = 400  # of one query: rows stay below the server's limits
WIDER = 4  # a block sample is asked for so many times the rows wanted: blocks are not evenly full

_KINDS = frozenset("rpmf")

#: Told before each table: how many were looked at, how many there are, and the name of the next one.
Tell = Callable[[int, int, str], None]


@dataclass(slots=True)
class Samples:
    """What was seen. ``values`` by relation oid and column number, as text, None for NULL; ``skipped`` are relations
    that were not looked at, with the reason.
    """

    catalogue: Catalogue
    values: dict[int, dict[int, list[str | None]]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    tables: int = 0


def sample(url: str, password: Secret | None, rows: int, seconds: float, tell: Tell) -> Samples:
    """Look at up to ``rows`` rows of each table for ``seconds`` altogether; ``url`` as for ``live.read_catalogue``.

    Views are left out (they show what tables hold), and so are partitions and children (their parents show them).
    Raises ValueError for a URL that is not like that, UpstreamFault for a database that does not answer.
    """
    return asyncio.run(_sample(url, password, rows, seconds, tell))


async def _sample(url: str, password: Secret | None, rows: int, seconds: float, tell: Tell) -> Samples:
    route, parameters, credential = parse_address(url, password)
    signal = Signal(asyncio.get_running_loop())
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            link = await open_link(route, parameters, credential, signal)
    except TimeoutError:
        raise UpstreamFault(f"the database did not let us in within {CONNECT_SECONDS:g} seconds") from None
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await ask(link, signal, "SET default_transaction_read_only = on")
            await ask(link, signal, "SET search_path = pg_catalog")
            await ask(link, signal, f"SET statement_timeout = {int(TABLE_SECONDS * 1000)}")
            sections = {name: await ask(link, signal, sql) for name, sql in snapshot.SECTIONS}
            counts = dict(json.loads(await ask(link, signal, _COUNTS)))
        found = Samples(snapshot.assemble(sections))
        tables = _tables(found.catalogue)
        found.tables = len(tables)
        deadline = time.monotonic() + seconds
        for number, relation in enumerate(tables):
            name = f"{relation.schema}.{relation.name}"
            tell(number, len(tables), name)
            if time.monotonic() >= deadline:
                found.skipped[name] = "the time was up"
                continue
            try:
                async with asyncio.timeout(2 * TABLE_SECONDS):
                    found.values[relation.oid] = await _look(link, signal, relation, rows, counts.get(relation.oid, 0))
            except UpstreamFault as fault:
                found.skipped[name] = str(fault).removeprefix("the database does not show its catalogue: ")
        tell(len(tables), len(tables), "")
        return found
    except TimeoutError:
        raise UpstreamFault("the database stopped answering while it was looked at") from None
    finally:
        link.wire.abort()


def _tables(catalogue: Catalogue) -> list[Relation]:
    inherited = {child for _, child in catalogue.inherits}
    return [
        each
        for each in catalogue.relations
        if each.oid >= FIRST_USER_OID
        and each.kind in _KINDS
        and each.oid not in inherited
        and each.schema not in (TEMP_SCHEMA, "pg_catalog", "information_schema")
        and each.columns
    ]


async def _look(link: Link, signal: Signal, relation: Relation, rows: int, count: float) -> dict[int, list[str | None]]:
    seen: dict[int, list[str | None]] = {column.number: [] for column in relation.columns}
    for start in range(0, len(relation.columns), MOST_COLUMNS):
        columns = relation.columns[start : start + MOST_COLUMNS]
        numbers = [column.number for column in columns]
        names = [column.name for column in columns]
        for sampled in _ways(relation, rows, count):
            found = json.loads(await ask(link, signal, _query(relation, names, rows, sampled)))
            if found:
                for row in found:
                    for number, value in zip(numbers, row, strict=True):
                        seen[number].append(value)
                break
    return seen


def _ways(relation: Relation, rows: int, count: float) -> Sequence[str]:
    """A large table is looked at here and there, not only where it begins; an empty sample is tried again plainly."""
    if relation.kind in "rm" and count > WIDER * rows:
        return (f"TABLESAMPLE SYSTEM ({max(0.0001, min(100.0, 100 * WIDER * rows / count)):.4f})", "")
    return ("",)


def _query(relation: Relation, columns: Sequence[str], rows: int, sampled: str) -> str:
    values = ", ".join(f'pg_catalog."left"({quoted(name)}::pg_catalog.text, {LONGEST})' for name in columns)
    place = f"{quoted(relation.schema)}.{quoted(relation.name)}"
    inner = f"SELECT ARRAY[{values}] AS v FROM {place} {sampled} LIMIT {rows}"  # noqa: S608  # names are quoted
    return f"SELECT COALESCE(pg_catalog.json_agg(s.v), '[]')::pg_catalog.text FROM ({inner}) AS s"  # noqa: S608


_COUNTS = """SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_array(
    c.oid::pg_catalog.int8, c.reltuples::pg_catalog.float8)), '[]')::pg_catalog.text
FROM pg_catalog.pg_class c
WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,m}'::pg_catalog."char"[])"""
