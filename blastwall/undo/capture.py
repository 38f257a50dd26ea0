"""Finding and locking the rows that an UPDATE or DELETE is about to touch, with those that foreign keys carry it to.

A generator of questions to the database, as in ``blastwall.sql.blast``; whoever drives it asks them in the statement's
own transaction, just before it. Rows are locked as they are read, so that the statement finds them as they are here.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from blastwall.sql.blast import scans
from blastwall.sql.blast.asking import (
    Answer,
    Failed,
    Question,
    Situation,
    Unforeseen,
    agents,
    check_statement,
    check_steady,
    row,
)
from blastwall.sql.blast.plans import reaches
from blastwall.sql.blast.terrain import Key, Table, Terrain, around, read
from blastwall.sql.catalogue import Column, Relation, quoted
from blastwall.sql.tree import Message, unwrap
from blastwall.undo.capsule import VERSIONED, NoCapsule, Part, Row
from blastwall.undo.restore import literal

_THEIRS: Final = 16384  # numbers from here on are not the server's own (FirstNormalObjectId)
#: What is asked of a table before its rows are read. An error of missing rights would end the transaction; the server
#: makes generated columns anew and sets those that are "always" identities by itself; how money reads is the locale's
#: affair, wherever in a type it stands; and what is unique is checked row by row.
_NATURE: Final = """
WITH RECURSIVE inside(oid) AS (
  SELECT atttypid FROM pg_attribute WHERE attrelid = {oid} AND attnum > 0 AND NOT attisdropped
  UNION SELECT o.oid FROM inside i JOIN pg_type t ON t.oid = i.oid CROSS JOIN LATERAL (
    SELECT t.typbasetype UNION SELECT t.typelem
    UNION SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    UNION SELECT r.rngsubtype FROM pg_range r WHERE t.oid IN (r.rngtypid, (to_jsonb(r) ->> 'rngmultitypid')::oid)
  ) AS o(oid) WHERE o.oid <> 0
)
SELECT json_build_object(
  'lockable', has_table_privilege({oid}, 'SELECT') AND has_table_privilege({oid}, 'UPDATE'),
  'money', EXISTS (SELECT FROM inside WHERE oid = 'money'::regtype),
  'generated', (SELECT COALESCE(json_agg(attname), '[]') FROM pg_attribute
    WHERE attrelid = {oid} AND attgenerated <> ''),
  'always', (SELECT COALESCE(json_agg(attname), '[]') FROM pg_attribute WHERE attrelid = {oid} AND attidentity = 'a'),
  'unique', (SELECT COALESCE(json_agg(DISTINCT a.attname), '[]') FROM pg_index i
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum > 0
    WHERE (i.indisunique OR i.indisexclusion) AND i.indimmediate AND i.indisvalid AND (a.attnum = ANY (i.indkey::int2[])
        OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
          AND d.refobjid = i.indrelid AND d.refobjsubid = a.attnum))
      AND i.indrelid IN (SELECT {oid} UNION SELECT relid FROM pg_partition_tree({oid})))
)::text"""
#: Settings under which questions of the gateway's own are asked here, so that values read the same everywhere.
SETTINGS: Final[Mapping[str, str]] = {
    "search_path": "pg_catalog, pg_temp",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "extra_float_digits": "3",
    "bytea_output": "hex",
}
_START: Final = "blastwall_start"
_SECONDS: Final = 5.0
_GOES_ON: Final = frozenset("cnd")


@dataclass(frozen=True, slots=True)
class Kept:
    """What was found before the change: the parts of a capsule, and how many rows the statement itself names."""

    parts: tuple[Part, ...]
    rows: int


Capture = Generator[Question, Answer, Kept]
Again = Generator[Question, Answer, tuple[Part, ...]]


@dataclass(slots=True)
class _Found:
    """Rows of one table, by their primary key, and their versions; ``columns`` of those that are set."""

    table: Table
    relation: Relation
    rows: dict[Row, Row] = field(default_factory=dict)
    versions: dict[Row, str] = field(default_factory=dict)
    columns: dict[str, None] = field(default_factory=dict)


def capture(situation: Situation, most: int) -> Capture:
    """The parts of a capsule for a single UPDATE or DELETE, at most ``most`` rows in all. Raises NoCapsule."""
    try:
        return (yield from _capture(situation, most))
    except Unforeseen as reason:
        raise NoCapsule(str(reason)) from None


def _capture(situation: Situation, most: int) -> Capture:
    statements = situation.tree.statements
    statement = unwrap(statements[0].stmt) if len(statements) == 1 else None
    kind = type(statement).__name__
    if statement is None or kind not in ("DeleteStmt", "UpdateStmt"):
        raise NoCapsule("Only a single UPDATE or DELETE is kept.")
    check_statement(statement, situation)
    target = situation.relation(statement.relation)
    if target.kind not in ("r", "p"):
        raise NoCapsule("It changes rows through a view, or of another server.")
    terrain = read(row((yield Question(around((target.oid,)), own=True))))
    walk = _Walk(situation, terrain, most)
    table = walk.admit(target.oid)
    if len([one for one in terrain.named if not one.partitioned or one.oid == target.oid]) > 1:
        raise NoCapsule("Other tables inherit from this one.")
    deletes = kind == "DeleteStmt"
    sets = () if deletes else tuple(scans.assigned(statement.target_list))
    _check_sets(sets, target, terrain, table, situation)
    scan = scans.deletion(statement) if deletes else scans.update(statement, (), False)
    check_steady(scan.select, situation)
    yield from walk.look(table, sets)
    start = yield from walk.start(scan.select, statement, situation, table)
    if deletes:
        own = len(start.rows)
        yield from walk.follow(start)
        return Kept(walk.parts(), own)
    walk.check_unique(start, sets)
    start.columns.update(dict.fromkeys(sets))
    return Kept(walk.parts(updated=start), len(start.rows))


def _check_sets(sets: Sequence[str], target: Relation, terrain: Terrain, table: Table, situation: Situation) -> None:
    numbers = {column.name: column.number for column in target.columns}
    if any(numbers.get(name) in target.primary_key for name in sets):
        raise NoCapsule("It changes the primary key, by which its rows would be found again.")
    for key in terrain.onto(table.root):
        if key.enforced and key.on_update in _GOES_ON and reaches(key, frozenset(sets), situation):
            raise NoCapsule("It changes columns that other rows follow.")


class _Walk:
    """From the rows that are deleted to those that go or change with them."""

    def __init__(self, situation: Situation, terrain: Terrain, most: int) -> None:
        self._situation = situation
        self._catalogue = situation.catalogue
        self._terrain = terrain
        self._most = most
        self._gone: dict[int, _Found] = {}
        self._set: dict[int, _Found] = {}
        self._stored: dict[int, Relation] = {}
        self._unique: dict[int, frozenset[str]] = {}

    def admit(self, oid: int) -> Table:
        """A table whose rows can be kept and brought back. Raises NoCapsule for others."""
        table = self._terrain.tables.get(oid)
        relation = self._catalogue.relation_by_oid(oid)
        if table is None or relation is None:
            raise NoCapsule("A table that it touches is not known.")
        title = table.title
        if table.kind not in ("r", "p") or table.rules or table.temporary:
            raise NoCapsule(f"{title} is no ordinary table, or has rules.")
        if table.secured:
            raise NoCapsule(f"Row security may hide rows of {title}.")
        if any(trigger.root == table.root for trigger in self._terrain.triggers):
            raise NoCapsule(f"Triggers of {title} run code: setting its rows back would not undo that.")
        if not relation.primary_key:
            raise NoCapsule(f"{title} has no primary key, by which its rows would be found again.")
        if table.partitioned and table.oid != table.root:
            raise NoCapsule(f"{title} is a partition that is spoken of by its own name.")
        if any(column.type_oid >= _THEIRS and self._is_base(column) for column in _keys(relation)):
            raise NoCapsule(f"The primary key of {title} is of a type whose values cannot be told apart safely.")
        return table

    def _is_base(self, column: Column) -> bool:
        """Of a type that an extension made: the gateway's questions know no operators of such."""
        known = self._catalogue.type_by_oid(column.type_oid)
        return known is None or known.kind == "b"

    def look(self, table: Table, sets: Iterable[str]) -> Generator[Question, Answer, None]:
        """Find out which columns the table keeps. Raises NoCapsule unless the session's role may read and lock its rows
        and the columns that are set can be set back.
        """
        nature = json.loads(row((yield Question(_NATURE.format(oid=table.oid), own=True))))
        relation = self._catalogue.relation_by_oid(table.oid)
        if relation is None:
            raise NoCapsule("A table that it touches is not known.")
        if not nature["lockable"]:
            raise NoCapsule(f"The session's role may not read and lock rows of {table.title}.")
        if nature["money"]:
            raise NoCapsule(f"{table.title} holds money, which reads otherwise in another locale.")
        generated = frozenset(nature["generated"])
        if any(column.name in generated for column in _keys(relation)):
            raise NoCapsule(f"The primary key of {table.title} is computed by the server.")
        if not generated.union(nature["always"]).isdisjoint(sets):
            raise NoCapsule("It sets a column that takes no value but the server's own.")
        columns = tuple(column for column in relation.columns if column.name not in generated)
        self._stored[table.oid] = replace(relation, columns=columns)
        names = {column.number: column.name for column in relation.columns}
        unique = set(nature["unique"])
        for column in relation.columns:
            if column.name in unique:
                unique.update(names.values() if 0 in column.computed_from else (names[n] for n in column.computed_from))
        self._unique[table.oid] = frozenset(unique)

    def start(
        self, select: Message, statement: Message, situation: Situation, table: Table
    ) -> Generator[Question, Answer, _Found]:
        """The rows that the statement itself names."""
        relation = self._relation(table)
        text = (  # under the session's own settings, which decide on what its condition means
            f"WITH {_START} AS MATERIALIZED (SELECT r.o, r.c FROM (SELECT 1) AS r) "  # noqa: S608  # quoted
            f"SELECT k.tableoid::pg_catalog.text, k.ctid::pg_catalog.text FROM {table.source} AS k "
            f"WHERE EXISTS (SELECT FROM {_START} AS s "
            "WHERE s.o OPERATOR(pg_catalog.=) k.tableoid AND s.c OPERATOR(pg_catalog.=) k.ctid) "
            f"LIMIT {self._most + 1} FOR UPDATE OF k"
        )
        answer = yield agents(scans.graft(text, {_START: select}), statement, situation, _SECONDS)
        if isinstance(answer, Failed):
            raise NoCapsule(answer.reason)
        found = _Found(table, relation)
        if len(answer) > self._most:
            raise NoCapsule(f"It touches more rows than are kept ({self._most}).")
        if answer:
            places = [((oid or b"").decode(), (place or b"").decode()) for oid, place in answer]
            listed = ", ".join(f"({int(oid)}::oid, '{place}'::tid)" for oid, place in places)
            text = f"SELECT {_texts(relation)} FROM {table.source} AS k WHERE (k.tableoid, k.ctid) IN (VALUES {listed})"  # noqa: S608
            self._take(found, (yield Question(text, own=True)))
            if len(found.rows) != len(answer):
                raise NoCapsule("Its rows moved while they were read.")
        return found

    def check_unique(self, start: _Found, sets: Iterable[str]) -> None:
        """Of several rows whose unique values changed places (n = n + 1), none can be set back before another."""
        if len(start.rows) > 1 and not self._unique[start.table.oid].isdisjoint(sets):
            raise NoCapsule("It sets a unique column of several rows, which may have changed places.")

    def follow(self, start: _Found) -> Generator[Question, Answer, None]:
        """Everything that is deleted or changed with those rows."""
        self._gone[start.table.oid] = start
        waiting: list[tuple[Table, Relation, list[Row]]] = [(start.table, start.relation, list(start.rows.values()))]
        while waiting:
            table, relation, rows = waiting.pop(0)
            for key in self._terrain.onto(table.root):
                if not key.enforced or key.on_delete not in _GOES_ON or not rows:
                    continue
                if key.parent != table.oid:
                    raise NoCapsule("A foreign key refers to a single partition.")
                child = self.admit(key.child)
                yield from self.look(child, () if key.on_delete == "c" else key.cleared or key.columns)
                fresh = yield from self._children(key, child, relation, rows)
                if key.on_delete == "c":
                    waiting.append((child, self._relation(child), fresh))

    def _children(
        self, key: Key, child: Table, parent: Relation, rows: Sequence[Row]
    ) -> Generator[Question, Answer, list[Row]]:
        """Rows of the child that follow; those that are deleted and were not known to be."""
        relation = self._relation(child)
        deleted = key.on_delete == "c"
        found = (self._gone if deleted else self._set).setdefault(child.oid, _Found(child, relation))
        if not deleted:
            columns = key.cleared or key.columns
            self._check_cleared(child, columns)
            found.columns.update(dict.fromkeys(columns))
        places = {column.name: place for place, column in enumerate(parent.columns)}
        types = {column.name: column.type_text for column in parent.columns}
        if any(name not in places for name in key.referenced):
            raise NoCapsule("A foreign key refers to a computed column.")
        values = [tuple(one[places[name]] for name in key.referenced) for one in rows]
        named = sorted({value for value in values if None not in value}, key=str)
        if not named:
            return []
        listed = ", ".join(
            "(" + ", ".join(literal(text, types[name]) for text, name in zip(value, key.referenced, strict=True)) + ")"
            for value in named
        )
        given = ", ".join(f"v{number}" for number in range(len(key.referenced)))
        same = " AND ".join(
            f"p.v{number} OPERATOR({quoted(schema)}.{name}) k.{quoted(column)}"
            for number, (column, (schema, name)) in enumerate(zip(key.columns, key.operators, strict=True))
        )
        text = (
            f"SELECT {_texts(relation)} FROM {child.source} AS k "  # noqa: S608  # quoted
            f"WHERE EXISTS (SELECT FROM (VALUES {listed}) AS p ({given}) WHERE {same}) "
            f"LIMIT {self._most + 1} FOR UPDATE OF k"
        )
        return self._take(found, (yield Question(text, own=True)))

    def _check_cleared(self, child: Table, columns: Iterable[str]) -> None:
        names = frozenset(columns)
        for key in self._terrain.onto(child.root):
            if key.enforced and key.on_update in _GOES_ON and reaches(key, names, self._situation):
                raise NoCapsule("It clears columns that other rows follow.")
        relation = self._relation(child)
        if any(column.name in names and column.number in relation.primary_key for column in relation.columns):
            raise NoCapsule("It clears a column of a primary key.")

    def _take(self, found: _Found, answer: Answer) -> list[Row]:
        """Note the rows of an answer; returns those that are new. Raises NoCapsule when they are too many."""
        if isinstance(answer, Failed):
            raise NoCapsule(answer.reason)
        fresh: list[Row] = []
        places = _key_places(found.relation)
        for *values, version in answer:
            given = tuple(None if value is None else value.decode("utf-8") for value in values)
            key = tuple(given[place] for place in places)
            if key not in found.rows:
                found.rows[key] = given
                found.versions[key] = (version or b"").decode("ascii")
                fresh.append(given)
        known = {id(one): len(one.rows) for one in (*self._gone.values(), *self._set.values(), found)}
        if sum(known.values()) > self._most:
            raise NoCapsule(f"It touches more rows than are kept ({self._most}).")
        return fresh

    def parts(self, updated: _Found | None = None) -> tuple[Part, ...]:
        """In the order in which they are restored: what others refer to comes first, what was set comes last."""
        parts = [_part(self._gone[oid], deleted=True) for oid in self._ordered()]
        for oid, found in [*self._set.items(), *([(updated.table.oid, updated)] if updated is not None else [])]:
            gone = self._gone[oid].rows if oid in self._gone else {}
            kept = _Found(found.table, found.relation, {k: v for k, v in found.rows.items() if k not in gone})
            kept.columns = found.columns
            kept.versions = found.versions
            parts.append(_part(kept, deleted=False))
        return tuple(part for part in parts if part.rows)

    def _ordered(self) -> list[int]:
        """Tables whose rows are gone, parents first; raises NoCapsule when there is no such order."""
        left = dict.fromkeys(self._gone)
        ordered: list[int] = []
        while left:
            free = [
                oid
                for oid in left
                if not any(key.child == oid and key.parent != oid and key.parent in left for key in self._terrain.keys)
            ]
            if not free:
                raise NoCapsule("Foreign keys lead in a circle.")
            for oid in free:
                del left[oid]
            ordered += free
        return ordered

    def _relation(self, table: Table) -> Relation:
        """With the columns that are kept. Only after :meth:`look`."""
        return self._stored[table.oid]


def look_again(parts: Sequence[Part]) -> Again:
    """After the change: the same parts with the versions in which it left the rows that it set.

    Raises NoCapsule when those are not the rows that it changed: another transaction may have committed between the
    gateway's look and the statement's own, and their number be the same.
    """
    told: list[Part] = []
    for part in parts:
        keys = part.columns[: part.key]
        rows = ", ".join(
            "(" + ", ".join([str(number), *(literal(v, t) for (_, t), v in zip(keys, one, strict=False))]) + ")"
            for number, one in enumerate(part.rows)
        )
        given = ", ".join(["n", *(f"v{number}" for number in range(part.key))])
        same = " AND ".join(f"t.{quoted(name)} = k.v{number}" for number, (name, _) in enumerate(keys))
        text = (
            f"SELECT k.n::text, {VERSIONED.format('t')} FROM {part.table} AS t, (VALUES {rows}) AS k ({given}) "  # noqa: S608
            f"WHERE {same}"
        )
        answer = yield Question(text, own=True)
        if isinstance(answer, Failed):
            raise NoCapsule(answer.reason)
        seen = {int(number or b""): (version or b"").decode("ascii") for number, version in answer}
        changed = [number for number, before in enumerate(part.seen) if seen.get(number) != before]
        if len(changed) != len(part.rows) or len(seen) != (0 if part.deleted else len(part.rows)):
            raise NoCapsule("It changed other rows than those that were kept: another transaction came between.")
        told.append(part if part.deleted else replace(part, seen=tuple(seen[number] for number in range(len(seen)))))
    return tuple(told)


def _part(found: _Found, *, deleted: bool) -> Part:
    """Rows that are gone, whole; or columns that were set. The primary key first."""
    stored = found.relation.columns
    places = _key_places(found.relation)
    rest = [n for n, column in enumerate(stored) if n not in places and (deleted or column.name in found.columns)]
    chosen = [*places, *rest]
    columns = tuple((stored[place].name, stored[place].type_text) for place in chosen)
    kept = found.rows if deleted or rest else {}
    rows = tuple(tuple(one[place] for place in chosen) for one in kept.values())
    return Part(_name(found.table), deleted, len(places), columns, rows, tuple(found.versions[key] for key in kept))


def _keys(relation: Relation) -> list[Column]:
    return [column for column in relation.columns if column.number in relation.primary_key]


def _key_places(relation: Relation) -> list[int]:
    return [place for place, column in enumerate(relation.columns) if column.number in relation.primary_key]


def _texts(relation: Relation) -> str:
    """Every stored column of ``k`` as text, and then the row's version.

    As the type's own output function writes it: a cast to text drops the blanks at the end of a bpchar, and may be
    anybody's.
    """
    names = [f"k.{quoted(column.name)}" for column in relation.columns]
    texts = [f"CASE WHEN {name} IS DISTINCT FROM NULL THEN pg_catalog.concat({name}) END" for name in names]
    return ", ".join([*texts, VERSIONED.format("k")])


def _name(table: Table) -> str:
    return f"{quoted(table.schema)}.{quoted(table.name)}"
