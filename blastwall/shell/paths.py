"""Paths as a shell line names them: made plain, and held against the table of places where secrets lie. Pure.

What a path really is only the target knows (symbolic links): whoever has asked it passes the answers in.
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

HOME = "~"


def plain(path: str, resolved: Mapping[str, str] | None = None) -> str:
    """The path without ``.``, ``..`` and doubled slashes; one that is not absolute starts at ``~``, the home directory.

    ``resolved`` holds what the target said of paths as they were written, absolute or from ``~`` on. A path that climbs
    out of the home directory comes back with the ``..`` in front, and is nowhere in particular: see :func:`escapes`.
    """
    if resolved is not None and path in resolved:
        return posixpath.normpath(resolved[path])
    if path.startswith("/"):
        return posixpath.normpath("/" + path.lstrip("/"))
    whole = posixpath.normpath(path)
    return HOME if whole == "." else whole if whole.startswith("..") else f"{HOME}/{whole}"


def itself(path: str, resolved: Mapping[str, str] | None = None) -> str:
    """Where the last name of the path stands, a link not followed: what removing and renaming touch. Plain.

    ``resolved`` says it where it holds the path's :func:`directory`.
    """
    name = posixpath.basename(path.rstrip("/"))
    if name in ("", ".", ".."):
        return plain(path, resolved)
    return f"{plain(directory(path), resolved).rstrip('/')}/{name}"


def directory(path: str) -> str:
    """The directory in which the path's last name stands, as the path writes it."""
    return posixpath.dirname(path.rstrip("/")) or ("/" if path.startswith("/") else ".")


def escapes(path: str) -> bool:
    """Whether a plain path leaves the home directory for a place that cannot be told."""
    return path == ".." or path.startswith("../")


def secret(path: str) -> bool:
    """Whether secrets lie at that plain path, as far as its spelling tells."""
    if path in _table()["harmless"]:
        return False
    return any(pattern.fullmatch(path) for pattern in _patterns())


def runs_later(path: str) -> bool:
    """Whether what is written to that plain path is run later, by a login, a schedule or a program's name."""
    return any(pattern.fullmatch(path) for pattern in _startup())


def above_secrets(path: str) -> bool:
    """Whether descending from that plain path comes to where secrets usually lie."""
    if path == HOME or any(pattern.fullmatch(path) for pattern in _homes()):
        return True
    return any(pattern.fullmatch(path) for pattern in _above("trees", "secret", anchored=True))


def strips_secrets(path: str) -> bool:
    """Whether that plain path is part of what secrets below it are known by: moved elsewhere they would not be."""
    return above_secrets(path) or any(pattern.fullmatch(path) for pattern in _above("trees", "secret", anchored=False))


def above_startup(path: str) -> bool:
    """Whether a tree at that plain path may bring along what runs later."""
    return any(pattern.fullmatch(path) for pattern in _above("startup", anchored=False))


@cache
def names(kind: str) -> tuple[str, ...]:
    """Globs of the names under which secrets lie in any directory, sorted; ``kind`` is "secret" (files) or "trees"."""
    anywhere = (place for place in _table()[kind] if place.startswith("**/"))
    return tuple(sorted({posixpath.basename(place) for place in anywhere}))


def within(path: str, places: Sequence[str]) -> bool:
    """Whether the plain path is one of ``places`` (directories) or below one."""
    return any(path == place or path.startswith(place.rstrip("/") + "/") for place in places)


@cache
def _table() -> Mapping[str, list[str]]:
    return tomllib.loads(files("blastwall.shell").joinpath("paths.toml").read_text("utf-8"))


@cache
def _startup() -> tuple[re.Pattern[str], ...]:
    return tuple(_compiled(_expression(place) + "(?:/.*)?") for place in _table()["startup"])


@cache
def _homes() -> tuple[re.Pattern[str], ...]:
    return tuple(_compiled(_expression(home)) for home in _table()["homes"])


@cache
def _above(*kinds: str, anchored: bool) -> tuple[re.Pattern[str], ...]:
    """Directories above the places of these kinds, as far as a place's own spelling tells; ``anchored``: of those that
    have a path of their own, which begins with a slash."""
    found: dict[str, None] = {}
    for place in (place for kind in kinds for place in _table()[kind]):
        if place.startswith("/") or not anchored:
            names = place.split("/")
            for length in range(1, len(names)):
                above = "/".join(names[:length]) or "/"
                if not above.endswith("**"):
                    found[above] = None
                elif anchored and above != "**":
                    found[above.removesuffix("/**")] = found[f"{above}/*"] = None
    return tuple(_compiled(_expression(above)) for above in found)


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    table = _table()
    trees = (_expression(tree) + "(?:/.*)?" for tree in table["trees"])
    return tuple(_compiled(each) for each in (*trees, *map(_expression, table["secret"])))


def _compiled(expression: str) -> re.Pattern[str]:
    """Without regard to case: on some hosts .ENV is .env, and on the others nobody means anything else by it."""
    return re.compile(expression, re.IGNORECASE)


def _expression(pattern: str) -> str:
    """A glob as an expression."""
    meanings = {"**/": "(?:.*/)?", "/**/": "/(?:.*/)?", "*": "[^/]*"}
    pieces = re.split(r"(^\*\*/|/\*\*/|\*)", pattern)
    return "".join(meanings.get(piece, re.escape(piece)) for piece in pieces)
