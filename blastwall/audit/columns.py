"""The table ``audit_events`` in two dialects, from one list: ``columns.toml``. Pure.

Glue and Athena speak Hive's types (``struct<uid:string>``), DuckDB its own (``STRUCT(uid VARCHAR)``).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

TABLE: Final = "audit_events"

_FILE: Final[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("columns.toml").read_text(encoding="utf-8"))
PATHS: Final[Mapping[str, str]] = _FILE["columns"]
PREFIX: Final[str] = _FILE["place"]["prefix"]
PARTITIONS: Final[Mapping[str, str]] = _FILE["partitions"]
SERDE: Final[str] = _FILE["serde"]["library"]
SERDE_PARAMETERS: Final[Mapping[str, str]] = _FILE["serde"]["parameters"]

_Tree: TypeAlias = "dict[str, _Tree | str]"
_PLAIN: Final = {"string": "VARCHAR", "bigint": "BIGINT", "int": "INTEGER", "double": "DOUBLE", "boolean": "BOOLEAN"}
_HOLDING: Final = re.compile(r"(array|map)<([a-z,]+)>\Z")


def _tree() -> _Tree:
    root: _Tree = {}
    for path, type_ in PATHS.items():
        place = root
        *parents, last = path.split(".")
        for part in parents:
            below = place.setdefault(part, {})
            assert isinstance(below, dict), f"columns.toml: {path} stands below something that has a type"
            place = below
        place[last] = type_
    return root


def hive_columns() -> dict[str, str]:
    """The table's columns for Glue: name to Hive type, without the partitions."""
    return {name.removesuffix("[]"): _hive(name, type_) for name, type_ in _tree().items()}


def duckdb_columns() -> dict[str, str]:
    """The same for DuckDB, without the partitions."""
    return {name.removesuffix("[]"): _duckdb(name, type_) for name, type_ in _tree().items()}


def table_parameters(location: str) -> dict[str, str]:
    """Glue's table parameters for partition projection; ``location`` is ``s3://BUCKET/PREFIX``."""
    whole = location.rstrip("/")
    return {name: str(value).replace("LOCATION", whole) for name, value in _FILE["projection"].items()}


def written(seconds: int) -> str:
    """A whole second since the epoch in UTC, as RFC 3339 has it, without the zone: ``2026-11-22T09:30:00``."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def partition(milliseconds: int) -> dict[str, str]:
    """The partition of an event's time: ``{"dt": "2026-11-22", "hour": "09"}``."""
    when = written(milliseconds // 1000)
    return {"dt": when[:10], "hour": when[11:13]}


def _hive(name: str, type_: _Tree | str) -> str:
    if isinstance(type_, str):
        return type_
    inner = ",".join(f"{part.removesuffix('[]')}:{_hive(part, below)}" for part, below in type_.items())
    return f"array<struct<{inner}>>" if name.endswith("[]") else f"struct<{inner}>"


def _duckdb(name: str, type_: _Tree | str) -> str:
    if isinstance(type_, str):
        return _translated(type_)
    inner = ", ".join(f'"{part.removesuffix("[]")}" {_duckdb(part, below)}' for part, below in type_.items())
    return f"STRUCT({inner})[]" if name.endswith("[]") else f"STRUCT({inner})"


def _translated(type_: str) -> str:
    holding = _HOLDING.match(type_)
    if holding is None:
        return _PLAIN[type_]
    inner = ", ".join(_PLAIN[part] for part in holding[2].split(","))
    return f"{inner}[]" if holding[1] == "array" else f"MAP({inner})"
