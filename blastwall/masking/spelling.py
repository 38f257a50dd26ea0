"""The patterns of ``detectors.toml``, written out: what ``<name>`` stands for in them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final

from blastwall.masking.checks import TABLE

#: Of an IBAN's characters behind the check digits so many must be there for a place to be looked at.
IBAN_START: Final = 11
_SIGNS: Final[Mapping[str, str]] = {"n": "[0-9]", "a": "[A-Z]", "c": "[A-Z0-9]"}
_NAME: Final = re.compile(r"<([a-z_]+)>")


def pattern(written: str) -> bytes:
    """A pattern of the table as RE2 takes it, over bytes. Raises KeyError for a name that stands for nothing."""
    return _NAME.sub(lambda found: _fragments()[found[1]], written).encode("latin-1")


@cache
def _fragments() -> Mapping[str, str]:
    spelled: Mapping[str, str] = TABLE["spelled"]
    gap = spelled["gap"]
    return {**spelled, "iban": _iban(gap, None), "iban_start": _iban(gap, IBAN_START)}


def _iban(gap: str, most: int | None) -> str:
    """Each country's form, blanks anywhere, in capitals or not: digits are added up only for what has it."""
    countries: dict[str, list[str]] = {}
    for country, structure in TABLE["iban"]["structures"].items():
        countries.setdefault(_form(structure, gap, most), []).append(country)
    return "(?i:" + "|".join(f"(?:{'|'.join(some)})[0-9]{{2}}{form}" for form, some in countries.items()) + ")"


def _form(structure: str, gap: str, most: int | None) -> str:
    left = most if most is not None else len(structure) * 99
    form = ""
    for part in structure.split():
        count = min(int(part[:-1]), left)
        left -= count
        if count:
            form += f"(?:{gap}?{_SIGNS[part[-1]]}){{{count}}}"
    return form
