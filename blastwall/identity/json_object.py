"""JSON as two readers must agree on it: one value per member, no numbers outside JSON, no bottomless nesting."""

from __future__ import annotations

import json
from typing import Any, NoReturn

MAX_DEPTH = 16


def read_object(text: bytes) -> dict[str, Any]:
    """Parse one JSON object (RFC 8259, UTF-8). Raises ValueError, in words that never quote the text.

    Stricter than the standard library: a member named twice at any level (readers differ on which one wins, RFC 8259
    section 4), NaN and Infinity, lone surrogates, a byte order mark and nesting deeper than 16 are refused.
    """
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_members, parse_constant=_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except json.JSONDecodeError as fault:
        raise ValueError(f"not JSON at character {fault.pos}") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  the text is bad, whatever its type
    _bound(value)
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("names a member twice")
    return members


def _constant(name: str) -> NoReturn:
    raise ValueError(f"holds {name.lstrip('-')}, which is not JSON")


def _bound(root: dict[str, Any]) -> None:
    todo: list[tuple[Any, int]] = [(root, 1)]
    while todo:
        value, depth = todo.pop()
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
        if isinstance(value, dict):
            todo.extend((item, depth + 1) for item in value.values())
            todo.extend((name, depth) for name in value)
        elif isinstance(value, list):
            todo.extend((item, depth + 1) for item in value)
        elif isinstance(value, str) and not _encodes(value):
            raise ValueError("holds half a character")


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
