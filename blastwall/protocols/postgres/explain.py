"""Plans of statements over masked relations: an expression that names a masked column, or holds a mask, is not shown.

Statements whose plan would print one are refused by their text already; this is the net below. ``EXPLAIN`` writes lines
of the form ``Label: expression``, or one document in JSON, XML or YAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from blastwall.masking.plan import Plan

HIDDEN: Final = "(not shown: it holds a masked column)"
_LABEL: Final = re.compile(rb"(\s*(?:->  )?[A-Za-z][A-Za-z0-9 /-]{0,40}): ")


def telling(plan: Plan) -> re.Pattern[bytes]:
    """What must not stand in a plan: names of masked columns, and the beginnings of masks."""
    names = {mask.column.rpartition(".")[2] for masks in plan.relations.values() for mask in masks.values()}
    return _pattern(frozenset(names), plan.marks)


@lru_cache(maxsize=16)
def _pattern(names: frozenset[str], marks: frozenset[str]) -> re.Pattern[bytes]:
    words: Iterable[str] = (rf"(?<![\w]){re.escape(name)}(?![\w])" for name in sorted(names))
    parts = [*words, *(re.escape(mark) for mark in sorted(marks) if mark)]
    return re.compile("|".join(parts).encode() or rb"(?!)")


def conceal(value: bytes, pattern: re.Pattern[bytes]) -> bytes:
    """One line of a plan, or all of one, as it may be shown; the same object when nothing in it tells."""
    if pattern.search(value) is None:
        return value
    label = _LABEL.match(value)
    if label is not None and pattern.search(label[1]) is None:
        return label[1] + b": " + HIDDEN.encode()
    return f'"{HIDDEN}"'.encode()
