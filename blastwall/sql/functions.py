"""What PostgreSQL's own functions do: a static table over the majors 13 to 18.

``functions.jsonl`` holds one line for each name in pg_proc's pg_catalog: its category (that of its worst overload),
the majors that ship it, and whether attribute notation can call it (``(expression).name``): ``"attribute": "value"``
for one argument of any type, ``"row"`` when that argument may also be a whole row. ``functions.toml`` says what each
category may do.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files

from blastwall.model import Effect

OLDEST, NEWEST = 13, 18  # the majors the table covers; a newer server is read as NEWEST, an older one as OLDEST


@dataclass(frozen=True, slots=True)
class Category:
    """What a function of this kind may do: the least effect, a flag ("" for plain reads) and half a sentence."""

    name: str
    effect: Effect
    says: str
    flag: str


@dataclass(frozen=True, slots=True)
class Builtin:
    """One of PostgreSQL's own function names. ``attribute`` is "", "value" or "row": see the module.

    ``returns`` is the family of what all overloads return ("" when they differ, see families.py); ``bare`` tells that
    it can be called without arguments.
    """

    name: str
    category: Category
    first: int
    last: int
    attribute: str = ""
    returns: str = ""
    bare: bool = False

    def exists_in(self, major: int) -> bool:
        """Whether a server of that major ships it. On one that does not, the name is free for anybody's function."""
        return self.first <= min(max(major, OLDEST), NEWEST) <= self.last


@dataclass(frozen=True, slots=True)
class FunctionTable:
    """Names are case-sensitive, as the parser leaves them."""

    builtins: Mapping[str, Builtin]
    information_schema: frozenset[str]
    extension: Category
    _extension_names: tuple[str, ...]
    _extension_schemas: tuple[str, ...]

    def find(self, name: str, major: int) -> Builtin | None:
        """PostgreSQL's own function of that name in that major, or None."""
        found = self.builtins.get(name)
        return found if found is not None and found.exists_in(major) else None

    def callable_on_value(self, name: str) -> bool:
        """Whether ``(expression).name`` can be a call of one of PostgreSQL's functions, in any major."""
        found = self.builtins.get(name)
        return found is not None and found.attribute != ""

    def callable_on_row(self, name: str) -> bool:
        """Whether ``alias.name`` can be a call of one of PostgreSQL's functions with the whole row."""
        found = self.builtins.get(name)
        return found is not None and found.attribute == "row"

    def reaches_beyond(self, schema: str | None, name: str) -> bool:
        """Whether a name that is not PostgreSQL's own is that of a listed extension function that does more than
        compute.
        """
        if schema is not None and any(fnmatchcase(schema, pattern) for pattern in self._extension_schemas):
            return True
        return any(fnmatchcase(name, pattern) for pattern in self._extension_names)


@cache
def function_table() -> FunctionTable:
    """Load the tables once (about 10 ms)."""
    package = files("blastwall.sql")
    rules = tomllib.loads(package.joinpath("functions.toml").read_text("utf-8"))
    categories = {
        name: Category(
            name=name,
            effect=Effect(rule["effect"]),
            says=rule["says"],
            flag=f"function:{name}" if rule["effect"] != "read" or name in ("guc_read", "type_by_name") else "",
        )
        for name, rule in rules["category"].items()
    }
    lines = package.joinpath("functions.jsonl").read_text("utf-8").splitlines()
    builtins = {}
    for row in json.loads(f"[{','.join(lines)}]"):
        category = categories[row["category"]]
        builtins[row["name"]] = Builtin(
            row["name"],
            category,
            row["from"],
            row["to"],
            row.get("attribute", ""),
            row.get("returns", ""),
            row.get("bare", False),
        )
    extension = rules["extension"]
    return FunctionTable(
        builtins=builtins,
        information_schema=frozenset(rules["information_schema"]["names"]),
        extension=categories["extension"],
        _extension_names=tuple(extension["names"]),
        _extension_schemas=tuple(extension["schemas"]),
    )
