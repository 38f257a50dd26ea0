"""The statements that bring a capsule's rows back: one text, which does all of it or nothing.

It holds the conditions under which that is right. Rows that were set are locked and must still be the versions that
the change left: else the text fails, and says how many are. Rows that are gone come back by INSERT, which
fails where their key has been taken or what they refer to is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from blastwall.sql.catalogue import quoted
from blastwall.undo.capsule import VERSIONED, Capsule, Part

_KEPT, _SAME = "undo_kept", "undo_same"  # not with the prefix of the gateway's own: this text is judged, and counted
#: What would move a terminal's cursor or turn text around. A line end does not.
_UNSAFE: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def restoring(capsule: Capsule) -> str:
    """SQL, statements separated by ";". "" when there is nothing to bring back."""
    return ";\n".join(text for part in capsule.parts if part.rows for text in _part(part))


def literal(value: str | None, type_text: str) -> str:
    """A value in text form as SQL, under standard_conforming_strings, safe to print whatever it holds."""
    if value is None:
        return f"NULL::{type_text}"
    text = value.replace("'", "''")
    if _UNSAFE.search(text) is None:
        return f"'{text}'::{type_text}"
    spelt = _UNSAFE.sub(lambda found: f"\\{ord(found.group()):04X}", text.replace("\\", "\\\\"))
    return f"U&'{spelt}'::{type_text}"


def _part(part: Part) -> Iterator[str]:
    if part.deleted:
        names = ", ".join(quoted(name) for name, _ in part.columns)
        rows = ",\n  ".join(_row(part.columns, row) for row in part.rows)
        yield f"INSERT INTO {part.table} ({names}) OVERRIDING SYSTEM VALUE VALUES\n  {rows}"  # quoted
        return
    keys, changed = part.columns[: part.key], part.columns[part.key :]
    table, many = part.table, len(part.rows)
    rows = ",\n  ".join(
        _row((*part.columns, ("", "pg_catalog.text")), (*row, seen))
        for row, seen in zip(part.rows, part.seen, strict=True)
    )
    given = ", ".join(f"v{number}" for number in range(len(part.columns)))
    same = " AND ".join(f"t.{quoted(name)} = k.v{number}" for number, (name, _) in enumerate(keys))
    sets = ", ".join(f"{quoted(name)} = k.v{part.key + number}" for number, (name, _) in enumerate(changed))
    yield (  # what is locked is looked at again after it was waited for: then it counts no more, if it has changed
        f"WITH {_KEPT} ({given}, seen) AS (VALUES\n  {rows}),\n"  # noqa: S608  # quoted
        f"{_SAME} AS MATERIALIZED (SELECT k.seen FROM {table} AS t, {_KEPT} AS k\n"
        f"  WHERE {same} AND {VERSIONED.format('t')} = k.seen FOR UPDATE OF t)\n"
        f"UPDATE {table} AS t SET {sets} FROM {_KEPT} AS k\n"
        f"WHERE {same} AND CASE WHEN (SELECT count(*) FROM {_SAME}) = {many} THEN true ELSE CAST(\n"
        f"  'changed since, or never committed: only ' || (SELECT count(*) FROM {_SAME})::text || ' of {many} rows are "
        "as the change left them; nothing is undone' AS boolean) END"
    )


def _row(columns: Sequence[tuple[str, str]], row: Sequence[str | None]) -> str:
    return "(" + ", ".join(literal(value, kind) for (_, kind), value in zip(columns, row, strict=False)) + ")"
