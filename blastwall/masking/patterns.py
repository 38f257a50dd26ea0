"""Names with ``*`` and ``?`` in them, as masking rules write them: ``public.customers.*``, ``*.*."Odd.name"``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

_PART = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')
_WORD = re.compile(r"[^\s,;()\[\]{}]+")


@dataclass(frozen=True, slots=True)
class Names:
    """A pattern of a qualified name; ``written`` is how it stands in the file.

    ``*`` is any number of characters, ``?`` one; within one part only, and in double quotes they are themselves. Names
    are compared as the database stores them: lower case unless they were made with quotes.
    """

    written: str
    parts: tuple[str, ...]
    exact: bool
    _parts: tuple[re.Pattern[str] | str, ...] = field(repr=False, compare=False)

    def matches(self, *names: str) -> bool:
        """Whether the names fit the parts, from the first on; fewer names than parts: whether they may."""
        for name, part in zip(names, self._parts, strict=False):
            if name != part and (type(part) is str or part.fullmatch(name) is None):  # type: ignore[union-attr]  # a pattern, then
                return False
        return True


def names(text: str, count: int) -> Names:
    """A pattern of ``count`` parts with dots between them. Raises ValueError saying how to write one."""
    parts: list[str] = []
    patterns: list[re.Pattern[str] | str] = []
    exact = True
    position = 0
    while (found := _PART.match(text, position)) is not None:
        quoted, plain = found.groups()
        if quoted is not None:
            name = quoted.replace('""', '"')
            patterns.append(name)
        else:
            name = plain.strip()
            wild = bool(set(name) & set("*?"))
            exact = exact and not wild
            patterns.append(_globbed(name) if wild else name)
        parts.append(name)
        position = found.end()
        if position == len(text):
            break
        if text[position] != ".":
            break
        position += 1
    if position != len(text) or len(parts) != count:
        form = ".".join(("schema", "table", "column")[:count])
        raise ValueError(f"{text!r} is not a name of {count} parts; write {form}, with * for any of them")
    return Names(text, tuple(parts), exact, tuple(patterns))


@dataclass(frozen=True, slots=True)
class Remark:
    """A pattern of what people said of a column: the whole comment, or one word of it, fits; case does not matter."""

    written: str
    _matches: re.Pattern[str] = field(repr=False, compare=False)

    def matches(self, comment: str, labels: Sequence[str] = ()) -> bool:
        """``labels`` are security labels, as "provider:label"."""
        said = [comment.strip(), *_WORD.findall(comment)] if comment else []
        for label in labels:
            said += [label, label.partition(":")[2], *_WORD.findall(label.partition(":")[2])]
        return any(self._matches.fullmatch(each) for each in said)


def remark(text: str) -> Remark:
    """A pattern with ``*`` and ``?``."""
    return Remark(text, _globbed(text, re.IGNORECASE))


def _globbed(text: str, flags: int = 0) -> re.Pattern[str]:
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(each) or re.escape(each) for each in text), re.DOTALL | flags)
