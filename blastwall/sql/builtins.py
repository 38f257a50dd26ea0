"""PostgreSQL's own operators, types, methods and system relations: the lists of builtins.toml and relations.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

SYSTEM_PREFIX = "pg_"  # names and schemas that begin so are reserved by the server


@dataclass(frozen=True, slots=True)
class Builtins:
    """Names only; whether a database adds to them is asked of its catalogue."""

    operators: frozenset[str]
    types: frozenset[str]
    information_schema_types: frozenset[str]
    operator_classes: frozenset[str]
    index_methods: frozenset[str]
    table_methods: frozenset[str]
    sampling_methods: frozenset[str]


@dataclass(frozen=True, slots=True)
class SystemRelations:
    """``sensitive`` and ``extension`` say why a relation needs an administrator."""

    pg_catalog: frozenset[str]
    information_schema: frozenset[str]
    sensitive: Mapping[str, str]
    extension: Mapping[str, str]
    function_like_columns: frozenset[str]

    def known(self, schema: str, name: str) -> bool:
        """Whether that system schema has a relation of that name on one of the lists."""
        listed = self.pg_catalog if schema == "pg_catalog" else self.information_schema
        return name in listed or name in self.sensitive


@cache
def builtins() -> Builtins:
    """The table, loaded once."""
    table = tomllib.loads(files("blastwall.sql").joinpath("builtins.toml").read_text("utf-8"))
    return Builtins(**{name: frozenset(names) for name, names in table.items()})


@cache
def system_relations() -> SystemRelations:
    """The table, loaded once."""
    table = tomllib.loads(files("blastwall.sql").joinpath("relations.toml").read_text("utf-8"))
    return SystemRelations(
        pg_catalog=frozenset(table["pg_catalog_read"]),
        information_schema=frozenset(table["information_schema_read"]),
        sensitive=table["sensitive"],
        extension=table["extension"],
        function_like_columns=frozenset(table["columns_named_like_functions"]),
    )
