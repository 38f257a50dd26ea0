"""find(1), and what is run for each file that it finds: ``-exec``, or xargs(1) behind it. Pure.

What is found nobody knows before. So what is run must be a listed program that only reads, whichever file it is given;
and find is told to pass over links, which lead anywhere, and over the names under which secrets lie. Between find and
xargs names end with a zero byte, as otherwise a name with a space in it is two others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from blastwall.shell import paths

FOUND: Final = "{}"
_EVERYWHERE: Final = ("-maxdepth", "-mindepth", "-regextype")  # options for the whole, with a value; and without one:
_ALSO_EVERYWHERE: Final = ("-d", "-daystart", "-depth", "-mount", "-noleaf", "-nowarn", "-warn", "-xdev")
_PRINTS: Final = ("-print", "-print0", "-ls", "-printf")
_FOLLOWS: Final = ("-L", "-H", "-follow")
_FED: Final = re.compile(r"(?:(?:-0|-r|--null|--no-run-if-empty|-t|-[nP] ?[0-9]{1,5}|-I ?\{\}) )*")


class Unlisted(Exception):
    """Words that are not on the list; ``str()`` says which."""


@dataclass(slots=True)
class Search:
    """find's arguments: ``leading`` options, ``places`` to look at, ``whole`` options, and the expression; ``run`` are
    the programs run for files: where they stand in it, their words, and whether they get several files at once."""

    leading: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    whole: list[str] = field(default_factory=list)
    tests: list[str] = field(default_factory=list)
    run: list[tuple[int, list[str], bool]] = field(default_factory=list)

    def passing_over(self, behind: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The arguments, with what passes over links and secrets; ``behind`` stands behind the expression."""
        inside = ("(", *self.tests, ")") if self.tests else ()
        return (
            *self.leading,
            *(self.places or ["."]),
            *self.whole,
            "(",
            *_passed(),
            ")",
            "-prune",
            "-o",
            *inside,
            *behind,
        )

    def read(self) -> tuple[tuple[str, str], ...]:
        return tuple((place, "read") for place in self.places or ["."])


def search(schema: Mapping[str, Any], arguments: tuple[str, ...]) -> Search:
    """The arguments, each of them listed. Raises Unlisted."""
    found = Search()
    waiting = list(arguments)
    while waiting and waiting[0] in schema["leading"]:
        found.leading.append(waiting.pop(0))
    while waiting and not waiting[0].startswith("-") and waiting[0] not in ("!", "(", ")", ","):
        found.places.append(waiting.pop(0))
    deep = 0
    while waiting:
        word = waiting.pop(0)
        deep += {"(": 1, ")": -1}.get(word, 0)
        if deep < 0:
            raise Unlisted("a parenthesis is closed that was not opened")  # what stands behind would be no part of ours
        into = found.whole if word in _EVERYWHERE or word in _ALSO_EVERYWHERE else found.tests
        into.append(word)
        if word == "-exec":
            found.run.append(_executed(waiting, found.tests))
        elif word in schema["with_value"]:
            if not waiting:
                raise Unlisted(f"{word} needs a value")
            into.append(waiting.pop(0))
        elif word not in schema["alone"]:
            raise Unlisted(f"{word} is not on the list")
    if deep:
        raise Unlisted("a parenthesis is not closed")
    return found


def _executed(waiting: list[str], tests: list[str]) -> tuple[int, list[str], bool]:
    words: list[str] = []
    start = len(tests)
    while waiting:
        word = waiting.pop(0)
        tests.append(word)
        if word == ";" or (word == "+" and words[-1:] == [FOUND]):
            return start, words, word == "+"
        words.append(word)
    raise Unlisted("-exec ends with ; or {} +")


def bound(found: Search, reads: Callable[[str, tuple[str, ...], bool], tuple[str, ...]]) -> None:
    """Put what is sent in place of what -exec runs. ``reads`` says it, or raises: given a program's name, its
    arguments, and whether it may get many files."""
    if found.run and any(word in _FOLLOWS for word in (*found.leading, *found.tests)):
        raise Unlisted("-exec does not stand beside what follows links")
    for start, words, many in reversed(found.run):
        if not words:
            raise Unlisted("-exec names no program")
        found.tests[start : start + len(words)] = [words[0], *reads(words[0], tuple(words[1:]), many)]


def feeding(found: Search) -> tuple[str, ...]:
    """find's arguments when xargs reads its output. Raises Unlisted where it prints in other ways."""
    if found.run or any(word in _FOLLOWS for word in (*found.leading, *found.tests)):
        raise Unlisted("before xargs it only looks for files, and follows no links")
    if found.tests[-1:] in (["-print"], ["-print0"]):
        found.tests.pop()
    if any(word in _PRINTS for word in found.tests) or found.tests[-1:] in (["-o"], ["-or"], ["!"], ["-not"], ["-a"]):
        raise Unlisted("before xargs it prints names at its end, and nothing else")
    return found.passing_over(("-print0",))


def fed(arguments: tuple[str, ...], reads: Callable[[str, tuple[str, ...], bool], tuple[str, ...]]) -> tuple[str, ...]:
    """xargs' arguments as they are sent, behind find. Raises Unlisted."""
    for number, word in enumerate(arguments):
        own = "".join(f"{each} " for each in arguments[:number])
        if not word.startswith("-") and word != FOUND and _FED.fullmatch(own):
            placed = "-I" in own
            given = arguments[number + 1 :] if placed else (*arguments[number + 1 :], FOUND)
            sent = reads(word, given, not placed)
            if not placed:
                if sent[-1:] != (FOUND,):
                    raise Unlisted(f"{word} takes its files elsewhere than at the end")
                sent = sent[:-1]
            options = tuple(each for each in arguments[:number] if each not in ("-0", "--null"))
            return ("-0", *options, word, *sent)
    raise Unlisted("xargs with -n, -P, -r, -0, -I {} and a program that reads")


def _passed() -> Iterator[str]:
    yield from ("-type", "l")
    for name in (*paths.names("secret"), *paths.names("trees")):
        yield from ("-o", "-iname", name)
    for name in paths.names("trees"):
        yield from ("-o", "-ipath", f"*/{name}/*")
