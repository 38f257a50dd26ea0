"""A catalogue as text: one JSON document, one row a line, so that a diff shows which object changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

from blastwall.errors import ConfigFault, Problem
from blastwall.sql.catalogue import Cast, Catalogue, Column, Function, Operator, Relation, Type

FORMAT = 1

_RELATION_ROW = (int, str, str, str, str, str, list, list, list)
_COLUMN_ROW = (int, str, int, bool)
_FUNCTION_ROW = (int, str, str, str, str, list, int, bool, int)
_OPERATOR_ROW = (int, str, str, int, int, int)
_TYPE_ROW = (int, str, str, str, int, int, int)
_CAST_ROW = (int, int, int, int, str)


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
        "types": [list(astuple(type_)) for type_ in catalogue.types],
        "casts": [list(astuple(cast)) for cast in catalogue.casts],
        "inherits": [list(pair) for pair in catalogue.inherits],
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
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f'"format" must be {FORMAT}')
    version, database, path = (document.get(name) for name in ("server_version", "database", "search_path"))
    if type(version) is not int or not isinstance(database, str):
        raise ValueError('"server_version" must be a number and "database" a name')
    if not isinstance(path, list) or not all(isinstance(schema, str) for schema in path):
        raise ValueError('"search_path" must be a list of names')
    types = [Type(*row) for row in _rows(document, "types", _TYPE_ROW)]
    names = {type_.oid: (type_.schema, type_.name) for type_ in types}
    return Catalogue(
        server_version=version,
        database=database,
        search_path_default=path,
        types=types,
        relations=_rows(document, "relations", _RELATION_ROW, lambda row: _relation(row, names)),
        functions=_rows(document, "functions", _FUNCTION_ROW, _function),
        operators=[Operator(*row) for row in _rows(document, "operators", _OPERATOR_ROW)],
        casts=[Cast(*row) for row in _rows(document, "casts", _CAST_ROW)],
        inherits=[(parent, child) for parent, child in _rows(document, "inherits", (int, int))],
    )


def _relation_row(relation: Relation) -> list[Any]:
    flags = "r" * relation.has_rules + "t" * relation.has_triggers + "s" * relation.row_security
    columns = [[column.number, column.name, column.type_oid, column.not_null] for column in relation.columns]
    head = [relation.oid, relation.schema, relation.name, relation.kind, relation.persistence, flags]
    return [*head, columns, relation.reads, relation.calls]


def _relation(row: list[Any], types: Mapping[int, tuple[str, str]]) -> Relation:
    oid, schema, name, kind, persistence, flags, columns, reads, calls = row
    made = []
    for number, label, type_oid, not_null in (_checked("column", column, _COLUMN_ROW) for column in columns):
        made.append(Column(number, label, type_oid, *types.get(type_oid, ("", "")), not_null))
    return Relation(
        oid=oid,
        schema=schema,
        name=name,
        kind=kind,
        persistence=persistence,
        columns=tuple(made),
        has_rules="r" in flags,
        has_triggers="t" in flags,
        row_security="s" in flags,
        reads=tuple((read, number) for read, number in (_checked("read", pair, (int, int)) for pair in reads)),
        calls=tuple((space, called) for space, called in (_checked("call", pair, (str, str)) for pair in calls)),
    )


def _function(row: list[Any]) -> Function:
    oid, schema, name, kind, volatility, arg_types, *rest = row
    return Function(oid, schema, name, kind, volatility, tuple(_checked("arg_types", arg_types, None)), *rest)


def _rows(
    document: Mapping[str, Any], section: str, shape: tuple[type, ...], make: Callable[[list[Any]], Any] = list
) -> list[Any]:
    rows = document.get(section)
    if isinstance(rows, list):
        return [make(_checked(section, row, shape)) for row in rows]
    raise ValueError(f'"{section}" must be a list')


def _checked(section: str, row: object, shape: tuple[type, ...] | None) -> list[Any]:
    """``row`` if it is a list of exactly these types (None: of any number of oids)."""
    if isinstance(row, list) and tuple(map(type, row)) == (shape if shape is not None else (int,) * len(row)):
        return row
    raise ValueError(f'a row of "{section}" has another shape')
