"""What a strategy puts in a value's place, as SQL of the column's exact type. Pure; the SQL is in ``strategies.toml``.

NULL stays NULL: that a value is absent is not the value, and counting what is there is what agents are asked for most.
Where absence itself tells something (a diagnosis), ``nulls: hide`` makes a constant of both.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

from blastwall.masking.plan import AT_SINK, Strategy
from blastwall.sql.catalogue import SYSTEM_SCHEMA, Catalogue, Column, Type, qualified

MARK = "***"
OTHER, TEXTS = "other", "texts"
UNITS = ("year", "quarter", "month", "day")  # what dates and times are truncated to

# Written back as "char", which means character(1).
_CALLED = {"pg_catalog.bpchar": "pg_catalog.bpchar", "pg_catalog.char": 'pg_catalog."char"'}
_LENGTH = re.compile(r"character(?: varying)?\((\d+)\)")


@dataclass(frozen=True, slots=True)
class Options:
    """How a strategy is meant. ``mark`` is the constant of redact, and of what partial hides. ``keep`` (last or
    mail_domain) and ``show`` (characters) belong to partial, ``unit`` and ``bucket`` to truncate; ``hide_nulls`` to
    redact.
    """

    mark: str = MARK
    keep: str = "last"
    show: int = 4
    unit: str = "year"
    bucket: Decimal = Decimal(10)
    hide_nulls: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """A column's type as clients see it, domains looked through. ``text`` is what to cast to; ``length`` the most
    characters, 0 for any number.
    """

    oid: int
    family: str
    text: str
    modified: bool
    length: int


class Unfit(ValueError):
    """The strategy has nothing to show for that type; the message says which would do."""


def shape_of(column: Column, catalogue: Catalogue) -> Shape:
    """A domain's checks would fail on a mask, and clients are told its base type anyway: so that is what is cast to."""
    type_ = catalogue.type_by_oid(column.type_oid)
    text, modified = column.type_text, bool(column.modified)
    seen: set[int] = set()
    while type_ is not None and type_.kind == "d" and type_.oid not in seen:
        seen.add(type_.oid)
        base = catalogue.type_by_oid(type_.base_oid)
        if base is None:
            break
        text, modified = type_.base_modified or qualified(base.schema, base.name), bool(type_.base_modified)
        type_ = base
    found = _LENGTH.fullmatch(text)
    oid = column.type_oid if type_ is None else type_.oid
    return Shape(oid, _family(type_, catalogue), text, modified, int(found[1]) if found else 0)


def source_of(strategy: Strategy, options: Options, column: Column, catalogue: Catalogue) -> str:
    """The SQL, with ``{}`` for the column. For hash and fake it is what redact would show.

    Raises Unfit when the strategy does not fit the type.
    """
    shape = shape_of(column, catalogue)
    if strategy in AT_SINK:
        if shape.family not in table()["sink"][strategy.value]:
            raise Unfit(_advice(strategy, shape, table()["sink"][strategy.value]))
        strategy = Strategy.REDACT
    template = _template(strategy, options, shape)
    if template == "NULL":
        return _cast("NULL", shape, column)
    filled = Template(template).substitute(_words(options, shape))
    constant = "{}" not in filled
    if constant:
        filled = cast_to(shape.text, filled)
        if options.hide_nulls:
            return _collated(filled, column)
    return _cast(f"CASE WHEN {{}} IS NULL THEN NULL ELSE {filled} END", shape, column)


def stand_in(column: Column, catalogue: Catalogue, *, absence: bool = False) -> str:
    """What stands for a value where no rule's own strategy fits: redact's constant, or NULL. Fits every type.

    ``absence``: also for a value that is not there.
    """
    return source_of(Strategy.REDACT, Options(hide_nulls=absence), column, catalogue)


@cache
def table() -> Mapping[str, Any]:
    """strategies.toml, loaded once."""
    return tomllib.loads(files("blastwall.masking").joinpath("strategies.toml").read_text("utf-8"))


@cache
def _families() -> Mapping[str, str]:
    return {name: family for family, names in table()["families"].items() for name in names}


def _family(type_: Type | None, catalogue: Catalogue) -> str:
    if type_ is None or type_.kind != "b":
        return OTHER
    if type_.element_oid:
        element = catalogue.type_by_oid(type_.element_oid)
        return TEXTS if element is not None and _family(element, catalogue) == "text" else OTHER
    if type_.schema != SYSTEM_SCHEMA and type_.name != "citext":
        return OTHER
    return _families().get(type_.name, OTHER)


def _template(strategy: Strategy, options: Options, shape: Shape) -> str:
    listed: Mapping[str, Any] = table()[strategy.value]
    if strategy is Strategy.PARTIAL:
        listed = listed[options.keep]
    elif strategy is Strategy.TRUNCATE:
        listed = listed["bucket"] | listed["time"]
    found = listed.get(shape.family, listed.get("*"))
    if found is None:
        raise Unfit(_advice(strategy, shape, sorted(listed)))
    if strategy is Strategy.TRUNCATE:
        _check_truncation(options, shape)
    return str(found)


def _check_truncation(options: Options, shape: Shape) -> None:
    if shape.family == "integer" and options.bucket != options.bucket.to_integral_value():
        raise Unfit(f"the bucket {options.bucket} does not fit {shape.text}: whole numbers need a whole bucket")
    if shape.family == "date" and options.unit == "day":
        raise Unfit(f"truncating {shape.text} to the day hides nothing; choose month, quarter or year")


def _advice(strategy: Strategy, shape: Shape, families: list[str]) -> str:
    names = table()["families"]
    fitting = ", ".join(name for family in families for name in names.get(family, [family]))
    return f"{strategy} does not fit the type {shape.text}, only {fitting}; redact and null fit every type"


def _words(options: Options, shape: Shape) -> dict[str, str]:
    mark = _literal(options.mark)
    text = "{}" if shape.text == "pg_catalog.text" else "{}::pg_catalog.text"
    return {
        "mark": f"{mark}::pg_catalog.text",
        "json_mark": _literal(f'"{options.mark}"'),
        "text": text,
        "show": str(options.show),
        "twice": str(2 * options.show),
        "unit": options.unit,
        "bucket": f"'{options.bucket:f}'",
    }


def cast_to(type_text: str, expression: str) -> str:
    """A cast that is still the same after the parser wrote it back, which it is not for two types spelled alike."""
    function = _CALLED.get(type_text)
    if function is None:
        return f"CAST({expression} AS {type_text})"
    return f"{function}(CAST({expression} AS pg_catalog.text))"


def _cast(expression: str, shape: Shape, column: Column) -> str:
    return _collated(cast_to(shape.text, expression), column)


def _collated(expression: str, column: Column) -> str:
    """A constant has the default collation, and the column may have another."""
    return f"{expression} COLLATE {column.collation}" if column.collation else expression


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
