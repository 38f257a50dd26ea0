"""Which session settings an agent may change, to what, and which it may read: settings.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

Literal: TypeAlias = str | int | float | bool  # as the parser reads them

_TEXT_CHARACTERS = 256
_ON = frozenset({"on", "true", "yes", "1", "t"})
_BOOLEANS = _ON | {"off", "false", "no", "0", "f"}
_DURATION = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(us|ms|s|min|h|d)?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Settings:
    """The table: rules by name in lower case, and the names RESET and SHOW may use."""

    rules: Mapping[str, Mapping[str, Any]]
    reset: frozenset[str]
    show: frozenset[str]
    by_function: frozenset[str]


@cache
def settings() -> Settings:
    """The table, loaded once."""
    table = tomllib.loads(files("blastwall.sql").joinpath("settings.toml").read_text("utf-8"))
    return Settings(
        table["set"],
        frozenset(table["reset"]["names"]),
        frozenset(table["show"]["names"]),
        frozenset(table["set_config"]["names"]),
    )


def may_show(name: str) -> bool:
    """Whether SHOW or current_setting may tell that setting."""
    return name.lower() in settings().show


def may_set_by_function(name: str) -> bool:
    """Whether set_config may set that setting, to any value."""
    return name.lower() in settings().by_function


def may_reset(name: str) -> bool:
    """Whether RESET may name that setting."""
    return name.lower() in settings().reset


def flag_of(name: str, values: Sequence[Literal]) -> str:
    """The flag a permitted SET to those values sets besides "setting"; "" for most."""
    rule = settings().rules.get(name.lower(), {})
    if "off_flag" in rule and _spelled(values[0]).strip().lower() not in _ON:
        return str(rule["off_flag"])
    return str(rule.get("flag", ""))


def objection(name: str, values: Sequence[Literal], search_path: Sequence[str]) -> str:
    """Why SET must not give that setting those literal values, as the end of "Sets x"; "" when it may.

    ``values`` are str, int, float or bool, as the parser reads them; ``search_path`` is the one in force.
    """
    rule = settings().rules.get(name.lower())
    if rule is None:
        return ", which is not on the list of settings an agent may change"
    if not values:
        return " to nothing"
    kind = rule["value"]
    if kind == "unchanged":
        wanted = [_spelled(value) for value in values]  # a comma inside one string is part of a schema's name
        return "" if wanted == list(search_path) else " to something else than is in force"
    if kind == "words":
        words = [word for value in values for word in re.split(r"[\s,]+", _spelled(value).lower()) if word]
        return "" if words and all(word in rule["values"] for word in words) else " to a value that is not listed"
    if len(values) != 1:
        return " to a list"
    return _single(rule, kind, values[0])


def _single(rule: Mapping[str, Any], kind: str, value: Literal) -> str:
    text = _spelled(value)
    if kind == "text":
        clean = len(text) <= _TEXT_CHARACTERS and text.isprintable()
        return "" if clean else " to a value with control characters or more than 256 characters"
    if kind == "boolean":
        return "" if text.strip().lower() in _BOOLEANS else " to something that is not a boolean"
    if kind == "one_of":
        return "" if text.strip().lower() in rule["values"] else " to a value that is not listed"
    if kind == "integer":
        number = re.fullmatch(r"\s*(-?[0-9]{1,9})\s*", text, re.ASCII)
        return "" if number and rule["least"] <= int(number[1]) <= rule["most"] else " to a number out of bounds"
    if kind == "duration":
        return "" if _positive(text) else " to something else than a duration longer than zero"
    return " by a rule that does not exist"


def _positive(text: str) -> bool:
    """Whether a time limit stays a limit: the server rounds to milliseconds, so less than one would lift it."""
    found = _DURATION.fullmatch(text)
    if found is None:
        return False
    per_unit = {"us": 0.001, "ms": 1.0, "s": 1e3, "min": 6e4, "h": 3.6e6, "d": 8.64e7}
    return float(found[1]) * per_unit[found[2] or "ms"] >= 1


def _spelled(value: Literal) -> str:
    return "on" if value is True else "off" if value is False else str(value)
