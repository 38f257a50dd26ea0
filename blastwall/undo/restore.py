"""The statements that bring a capsule's rows back: one text, which does all of it or nothing.

It holds the conditions under which that is right. Rows that were set are locked first and must still be the versions
that the change left (xmin): else the text fails, and says how many are. Rows that are gone come back by INSERT, which
fails where their key has been taken or what they refer to is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from blastwall.sql.catalogue import quoted
from blastwall.undo.capsule import Capsule, Part

_KEPT = "blastwall_kept"


def restoring(capsule: Capsule) -> str:
    """SQL, statements separated by ";". "" when there is nothing to bring back."""
    return ";\n".join(text for part in capsule.parts if part.rows for text in _part(part))


def literal(value: str | None, type_text: str) -> str:
    """A value in text form as SQL, under standard_conforming_strings."""
    if value is None:
        return f"NULL::{type_text}"
    return "'" + value.replace("'", "''") + f"'::{type_text}"


def _part(part: Part) -> Iterator[str]:
    if part.deleted:
        names = ", ".join(quoted(name) for name, _ in part.columns)
        rows = ",\n  ".join(_row(part.columns, row) for row in part.rows)
        yield f"INSERT INTO {part.table} ({names}) OVERRIDING SYSTEM VALUE VALUES\n  {rows}"  # quoted
        return
    keys, changed = part.columns[: part.key], part.columns[part.key :]
    table = part.table
    places = ",\n  ".join(_row(keys, row) for row in part.rows)
    yield (  # locked in a statement of its own: the next one sees what was committed until then
        f"SELECT FROM {table} AS t WHERE ({_listed('t', keys)}) IN (VALUES {places}) FOR UPDATE"  # quoted
    )
    rows = ",\n  ".join(
        _row((*part.columns, ("", "pg_catalog.text")), (*row, seen))
        for row, seen in zip(part.rows, part.seen, strict=True)
    )
    given = ", ".join(f"v{number}" for number in range(len(part.columns)))
    same = " AND ".join(f"t.{quoted(name)} = k.v{number}" for number, (name, _) in enumerate(keys))
    unchanged = f"SELECT count(*) FROM {table} AS t, {_KEPT} AS k WHERE {same} AND t.xmin::text = k.seen"  # noqa: S608
    sets = ", ".join(f"{quoted(name)} = k.v{part.key + number}" for number, (name, _) in enumerate(changed))
    yield (
        f"WITH {_KEPT} ({given}, seen) AS (VALUES\n  {rows})\n"
        f"UPDATE {table} AS t SET {sets} FROM {_KEPT} AS k\n"
        f"WHERE {same} AND CASE WHEN ({unchanged}) = {len(part.rows)} THEN true ELSE\n"
        f"  CAST('changed since, or never committed: only ' || ({unchanged})::text || ' of {len(part.rows)} rows are "
        f"as the change left them; nothing is undone' AS boolean) END"
    )


def _row(columns: Sequence[tuple[str, str]], row: Sequence[str | None]) -> str:
    return "(" + ", ".join(literal(value, kind) for (_, kind), value in zip(columns, row, strict=False)) + ")"


def _listed(alias: str, columns: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{alias}.{quoted(name)}" for name, _ in columns)
