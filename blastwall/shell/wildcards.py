"""Wildcards against names that the host has told: ``*``, ``?`` and ``[a-z]``, as a POSIX shell reads them. Pure.

A pattern is never sent: what it fits is, word by word, so that what a command is given is what was judged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

import re2

from blastwall.shell.grammar import Unreadable

LONGEST: Final = 255  # bytes of one name, and so of what it may fit

#: The names in a directory, as the pattern writes the directory: None where the host has not been asked yet.
Names = Callable[[str], tuple[str, ...] | None]

_PIECES = re.compile(r"\\(.)|(\*+)|(\?)|\[(!?)([^\]]+)\]|(.)", re.DOTALL)


def fitting(pattern: str, names: Names) -> tuple[str, ...] | None:
    """Every path that the pattern fits, sorted; None when the host must be asked for names first.

    Raises Unreadable for a pattern that names directories alone, and for a name that no line can hold.
    """
    *above, last = pattern.split("/")
    if any(len(piece) > LONGEST * 2 for piece in (*above, last)):
        raise Unreadable("A pattern is longer than any name; write a shorter one.")
    if not last:
        raise Unreadable("A pattern that ends with a slash is not read; use find -type d.")
    found = [""]
    searched = False
    for number, piece in enumerate((*above, last)):
        slash = "/" if number else ""
        if not searched and not _magic(piece):
            found = [f"{path}{slash}{_unescaped(piece)}" for path in found]
            continue
        searched = True
        following: list[str] = []
        asked = [(path, names(path or ("/" if slash else "."))) for path in found]
        if any(there is None for _, there in asked):
            return None
        for path, there in asked:
            following += (f"{path}{slash}{name}" for name in _fitting(piece, there or ()))
        found = following
    for path in found:
        if not (path.isascii() and path.isprintable()):
            raise Unreadable("The pattern fits a name that is not printable ASCII; name files one by one.")
    return tuple(sorted(found))


def _fitting(piece: str, names: tuple[str, ...]) -> Iterator[str]:
    form = re2.compile(_expression(piece))  # linear: whoever makes the names writes the pattern, too
    hidden = piece.startswith((".", "\\."))
    yield from (name for name in names if (hidden or not name.startswith(".")) and form.fullmatch(name))


def _expression(piece: str) -> str:
    written = []
    for escaped, any_, one, negated, members, plain in _PIECES.findall(piece):
        if any_ or one:
            written.append("[^/]*" if any_ else "[^/]")
        elif members:
            form = f"[{'^' if negated else ''}{members}]"
            try:
                re.compile(form)
            except re.error:
                raise Unreadable(f"[{negated}{members}] is no range of characters.") from None
            written.append(form)
        else:
            written.append(re.escape(escaped or plain))
    return "".join(written)


def _magic(piece: str) -> bool:
    return any(any_ or one or members for _, any_, one, _, members, _ in _PIECES.findall(piece))


def _unescaped(piece: str) -> str:
    return re.sub(r"\\(.)", r"\1", piece)
