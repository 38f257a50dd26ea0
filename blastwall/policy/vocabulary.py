"""The closed word lists of policies, risk tables and cases: a word outside them is a problem, not a silent miss."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any

from blastwall.model import DenialCode, Effect, StatementKind


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads(files("blastwall.policy").joinpath(name).read_text("utf-8"))


def _flags() -> frozenset[str]:
    """The words of every ``flags.toml`` below ``blastwall``: a family of statements brings its own beside its rules."""
    found = set(_table("flags.toml"))
    for folder in files("blastwall").iterdir():
        table = folder.joinpath("flags.toml")
        if folder.is_dir() and table.is_file():
            found.update(tomllib.loads(table.read_text("utf-8")))
    return frozenset(found)


FLAGS: frozenset[str] = _flags()
EFFECTS: frozenset[str] = frozenset(effect.value for effect in Effect)
KINDS: frozenset[str] = frozenset(kind.value for kind in StatementKind)
BUDGETS: frozenset[str] = frozenset({"rows", "bytes", "statements"})
CODES: frozenset[str] = frozenset({DenialCode.POLICY.value, DenialCode.UNKNOWN.value, DenialCode.BUDGET.value})
HINTS: dict[str, str] = _table("hints.toml")
