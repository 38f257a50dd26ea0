"""Denials in a shell's words: lines for standard error, and an exit status."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from blastwall.model import Denial


@cache
def _statuses() -> dict[str, int]:
    return {
        name: int(status)
        for name, status in tomllib.loads((files(__package__) / "refusals.toml").read_text("utf-8")).items()
    }


def status(denial: Denial) -> int:
    """The exit status that tells this kind of denial from the others."""
    return _statuses()[denial.code.value]


def lines(denial: Denial, *, raw: bool = False) -> bytes:
    """What the client's terminal shows. ``raw``: the terminal is a PTY, which wants carriage returns."""
    rules = f" ({', '.join(denial.policies)})" if denial.policies else ""
    parts = [f"blastwall: refused{rules}: {denial.reason}"]
    if denial.ticket:
        parts.append(f"blastwall: ticket {denial.ticket}")
    if denial.hint:
        parts.append(f"blastwall: {denial.hint}")
    return said("\n".join(parts), raw=raw)


def said(text: str, *, raw: bool = False) -> bytes:
    """The gateway's own words for standard error; control characters of whoever is quoted in them do not pass."""
    clean = "".join(character if character == "\n" or character.isprintable() else "?" for character in text) + "\n"
    return (clean.replace("\n", "\r\n") if raw else clean).encode()
