"""A catalogue as text: one JSON document, one row a line, so that a diff shows which object changed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

from blastwall.errors import ConfigFault, Problem
from blastwall.sql.catalogue import Cast, Catalogue, Column, ForeignKey, Function, Operator, Relation, Type, qualified

FORMAT = 2

# The server's own relations and plain columns have short rows.
_SYSTEM_ROW = (int, str, str, str, str, str, list, list, list)
_KEYED_ROW = (*_SYSTEM_ROW, list, list, list, str)
_RELATION_ROW = (*_KEYED_ROW, list)
_PLAIN_COLUMN_ROW = (int, str, int, bool)
_COLUMN_ROW = (*_PLAIN_COLUMN_ROW, int, str, str, list, str, list)
_FOREIGN_KEY_ROW = (list, int, list)
_FUNCTION_ROW = (int, str, str, str, str, list, int, bool, int)
_OPERATOR_ROW = (int, str, str, int, int, int)
_PLAIN_TYPE_ROW = (int, str, str, str, int, int, int, str)
_TYPE_ROW = (*_PLAIN_TYPE_ROW, list, list)
_CAST_ROW = (int, int, int, int, str)

# format_type writes these with key words, which no search path changes; all others by name.
_KEYWORDS = frozenset(
    {"bit", "bpchar", "interval", "numeric", "time", "timestamp", "timestamptz", "timetz", "varbit", "varchar"}
)
_MODIFIER = re.compile(r"\([^()\"]*\)(?=(?:\[\])?$)")


def write(catalogue: Catalogue) -> str:
    """The document; equal catalogues give equal text."""
    head = {
        "format": FORMAT,
        "server_version": catalogue.server_version,
        "database": catalogue.database,
        "search_path": catalogue.search_path_default,
    }
    sections: dict[str, list[list[Any]]] = {
        "relations": [_relation_row(relation) for relation in catalogue.relations],
        "functions": [list(astuple(function)) for function in catalogue.all_functions],
        "operators": [list(astuple(operator)) for operator in catalogue.operators],
        "types": [_type_row(type_) for type_ in catalogue.types],
        "casts": [list(astuple(cast)) for cast in catalogue.casts],
        "inherits": [list(pair) for pair in catalogue.inherits],
        "partitions": [[oid, list(numbers)] for oid, numbers in catalogue.partitions],
    }
    members = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
    for name, rows in sections.items():
        lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
        members.append(f"{json.dumps(name)}: [\n{lines}\n]" if rows else f"{json.dumps(name)}: []")
    return "{\n" + ",\n".join(members) + "\n}\n"


def read(text: str, file: str) -> Catalogue:
    """The inverse of :func:`write`. Raises ConfigFault naming ``file`` and what is wrong."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        message = f"is not JSON ({error.msg}); take a new snapshot of the database"
        raise ConfigFault((Problem(file, error.lineno, message),)) from error
    try:
        return build(document)
    except ValueError as error:
        message = f"is not a catalogue snapshot of format {FORMAT} ({error}); take a new snapshot of the database"
        raise ConfigFault((Problem(file, 0, message),)) from error


def load(path: Path) -> Catalogue:
    """Read a snapshot file. Raises ConfigFault naming it and what is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigFault((Problem(str(path), 0, f"cannot be read: {error.strerror}"),)) from error
    except UnicodeDecodeError as error:
        message = "is not UTF-8 text; take a new snapshot of the database"
        raise ConfigFault((Problem(str(path), 0, message),)) from error
    return read(text, str(path))


def build(document: object) -> Catalogue:
    """The catalogue out of a decoded document. Raises ValueError saying what is wrong."""
    if not isinstance(document, dict):
        raise ValueError('it has no "format"')  # noqa: TRY004  a document that is wrong, not an argument
    if document.get("format") != FORMAT:
        raise ValueError(f'its "format" is {document.get("format")!r}')
    version, database, path = (document.get(name) for name in ("server_version", "database", "search_path"))
    if type(version) is not int or not isinstance(database, str):
        raise ValueError('"server_version" must be a number and "database" a name')
    if not isinstance(path, list) or not all(isinstance(schema, str) for schema in path):
        raise ValueError('"search_path" must be a list of names')
    types = {row[0]: _type(row) for row in _listed(document, "types")}
    types = {
        oid: replace(type_, base_modified=_with_modifier(type_.base_oid, type_.base_modified, types))
        if type_.base_modified
        else type_
        for oid, type_ in types.items()
    }
    return Catalogue(
        server_version=version,
        database=database,
        search_path_default=path,
        types=types.values(),
        relations=[_relation(row, types) for row in _listed(document, "relations")],
        functions=_rows(document, "functions", _FUNCTION_ROW, _function),
        operators=[Operator(*row) for row in _rows(document, "operators", _OPERATOR_ROW)],
        casts=[Cast(*row) for row in _rows(document, "casts", _CAST_ROW)],
        inherits=[(parent, child) for parent, child in _rows(document, "inherits", (int, int))],
        partitions=[
            (oid, _numbers(key)) for oid, key in _rows({"partitions": [], **document}, "partitions", (int, list))
        ],
    )


def _relation_row(relation: Relation) -> list[Any]:
    flags = "r" * relation.has_rules + "t" * relation.has_triggers + "s" * relation.row_security
    columns = [_column_row(column) for column in relation.columns]
    head = [relation.oid, relation.schema, relation.name, relation.kind, relation.persistence, flags]
    row = [*head, columns, relation.reads, relation.calls]
    keys = [relation.primary_key, relation.unique, [astuple(key) for key in relation.foreign_keys], relation.definition]
    if relation.promises:
        return [*row, *keys, list(relation.promises)]
    return [*row, *keys] if any(keys) else row


def _type_row(type_: Type) -> list[Any]:
    row = list(astuple(type_))
    return row if type_.labels or type_.promises else row[: len(_PLAIN_TYPE_ROW)]


def _type(row: object) -> Type:
    if isinstance(row, list) and len(row) == len(_PLAIN_TYPE_ROW):
        return Type(*_checked("types", row, _PLAIN_TYPE_ROW))
    *plain, labels, promises = _checked("types", row, _TYPE_ROW)
    return replace(Type(*plain), labels=_texts("types", labels), promises=_texts("types", promises))


def _column_row(column: Column) -> list[Any]:
    row = [column.number, column.name, column.type_oid, column.not_null]
    more = [
        column.type_modifier,
        column.modified,
        column.comment,
        column.labels,
        column.collation,
        column.computed_from,
    ]
    return [*row, *more] if column.type_modifier != -1 or any(more[1:]) else row


def _relation(row: object, types: Mapping[int, Type]) -> Relation:
    if not isinstance(row, list) or len(row) not in (len(_SYSTEM_ROW), len(_KEYED_ROW)):
        row = _checked("relations", row, _RELATION_ROW)
    oid, schema, name, kind, persistence, flags, columns, reads, calls, *keys = _checked(
        "relations", row, _RELATION_ROW[: len(row)]
    )
    primary_key, unique, foreign_keys, definition, *more = keys or ([], [], [], "")
    return Relation(
        oid=oid,
        schema=schema,
        name=name,
        kind=kind,
        persistence=persistence,
        columns=tuple(_column(column, types) for column in columns),
        has_rules="r" in flags,
        has_triggers="t" in flags,
        row_security="s" in flags,
        reads=tuple((read, number) for read, number in (_checked("read", pair, (int, int)) for pair in reads)),
        calls=tuple((space, called) for space, called in (_checked("call", pair, (str, str)) for pair in calls)),
        primary_key=_numbers(primary_key),
        unique=tuple(map(_numbers, unique)),
        foreign_keys=tuple(_foreign_key(key) for key in foreign_keys),
        definition=definition,
        promises=_texts("relations", more[0] if more else []),
    )


def _column(row: object, types: Mapping[int, Type]) -> Column:
    plain = isinstance(row, list) and len(row) == len(_PLAIN_COLUMN_ROW)
    number, name, type_oid, not_null, *more = _checked("column", row, _PLAIN_COLUMN_ROW if plain else _COLUMN_ROW)
    type_ = types.get(type_oid)
    place = (type_.schema, type_.name) if type_ is not None else ("", "")
    if not more:
        return Column(number, name, type_oid, *place, not_null)
    modifier, modified, comment, labels, collation, computed_from = more
    labels = _texts("column", labels)
    modified = _with_modifier(type_oid, modified, types) if modified else ""
    return Column(
        number,
        name,
        type_oid,
        *place,
        not_null,
        type_modifier=modifier,
        modified=modified,
        comment=comment,
        labels=labels,
        collation=collation,
        computed_from=_numbers(computed_from),
    )


def _with_modifier(oid: int, text: str, types: Mapping[int, Type]) -> str:
    """What format_type said, made independent of the search path that it was said under."""
    array = ""
    type_ = types.get(oid)
    if type_ is not None and type_.element_oid:
        type_, array = types.get(type_.element_oid), "[]"
    if type_ is None or (type_.schema == "pg_catalog" and type_.name in _KEYWORDS):
        return text
    found = _MODIFIER.search(text)
    return qualified(type_.schema, type_.name) + (found.group() if found else "") + array


def _foreign_key(row: object) -> ForeignKey:
    columns, relation, referenced = _checked("foreign key", row, _FOREIGN_KEY_ROW)
    return ForeignKey(_numbers(columns), relation, _numbers(referenced))


def _numbers(row: object) -> tuple[int, ...]:
    return tuple(_checked("numbers", row, None))


def _texts(section: str, row: list[Any]) -> tuple[str, ...]:
    return tuple(_checked(section, row, (str,) * len(row)))


def _function(row: list[Any]) -> Function:
    oid, schema, name, kind, volatility, arg_types, *rest = row
    return Function(oid, schema, name, kind, volatility, tuple(_checked("arg_types", arg_types, None)), *rest)


def _rows(
    document: Mapping[str, Any], section: str, shape: tuple[type, ...], make: Callable[[list[Any]], Any] = list
) -> list[Any]:
    return [make(_checked(section, row, shape)) for row in _listed(document, section)]


def _listed(document: Mapping[str, Any], section: str) -> list[Any]:
    rows = document.get(section)
    if isinstance(rows, list):
        return rows
    raise ValueError(f'"{section}" must be a list')


def _checked(section: str, row: object, shape: tuple[type, ...] | None) -> list[Any]:
    """``row`` if it is a list of exactly these types (None: of any number of oids)."""
    if isinstance(row, list) and tuple(map(type, row)) == (shape if shape is not None else (int,) * len(row)):
        return row
    raise ValueError(f'a row of "{section}" has another shape')
