"""Content detectors: the last net under values of columns that no rule names; ``detectors.toml`` is what they know.

One pass of an automaton (RE2: linear in the input, whatever is in it) over a whole buffer finds where something may be;
only the values that hold such a place are looked at exactly. What is masked keeps its length, byte for byte: framing,
JSON, arrays and CSV around it stay valid, and nothing has to be laid out anew. Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, NamedTuple

import re2

from blastwall.masking.checks import CHECKS, TABLE, Check
from blastwall.masking.spelling import pattern

#: Values in hexadecimal (bytea as text) are looked into from this many bytes on.
HEX_GATE: Final = rb"\\x(?:[0-9a-f]{2}){6}"
MODES: Final = ("mask", "flag", "off")

_QUOTED: Final = re.compile(rb'"|\\.', re.DOTALL)  # in JSON a backslash stands in strings only
_TOKEN: Final = rb"[A-Za-z0-9._%+/=@(\x80-\xff\\-]*\z"


class Hit(NamedTuple):
    """A value that was found: where, of which kind, whether to mask it, and whether it stands in hexadecimal.

    ``since`` is where the words begin by which it was known: its own start for most.
    """

    start: int
    end: int
    kind: str
    masked: bool
    since: int
    encoded: bool = False


@dataclass(slots=True)
class Tally:
    """What was found so far, by kind: ``masked`` were replaced, ``flagged`` passed."""

    masked: Counter[str] = field(default_factory=Counter)
    flagged: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.masked.total() + self.flagged.total()


class Body(NamedTuple):
    """How a value goes on that is not at its end: ``more`` are bytes of it, ``end`` is what ends it before."""

    more: re.Pattern[bytes]
    end: re.Pattern[bytes]


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    masked: bool
    exact: re.Pattern[bytes]
    check: Check | None
    beside: frozenset[int]
    unless: re.Pattern[bytes] | None
    body: Body | None
    grouped: bool
    again: bool


class Detectors:
    """The kinds that one target looks for. Immutable, shared by its sessions; made by :func:`detectors`."""

    def __init__(self, modes: Mapping[str, str]) -> None:
        table = TABLE["kinds"]
        self.modes = {name: mode for name, mode in modes.items() if mode != "off"}
        self._kinds = tuple(_kind(name, table[name], mode == "mask") for name, mode in self.modes.items())
        gates = {name: pattern(table[name]["gate"]) for name in self.modes}
        masking = [gate for name, gate in gates.items() if self.modes[name] == "mask"]
        self._gate = _compiled(b"|".join([*gates.values(), HEX_GATE]))
        self._gate_masked = _compiled(b"|".join([*masking, HEX_GATE])) if masking else None
        self._which = re2.Set.SearchSet(_options())
        for gate in [*gates.values(), HEX_GATE]:
            self._which.Add(gate)
        self._which.Compile()
        self._hex = _compiled(rb"\\x((?:[0-9a-f]{2})+)")
        self._token = _compiled(_TOKEN)
        self._open = _compiled(_TOKEN.removesuffix(rb"\z"))

    @property
    def masks(self) -> bool:
        """Is any kind masked, not only flagged?"""
        return self._gate_masked is not None

    def suspects(self, data: bytes, flags: bool = True) -> list[int]:
        """Places in ``data`` at or around which a value may be, in order. Empty for nearly every buffer.

        ``data`` may be whole wire frames: a place (the middle of what the gate matched, which may reach a byte or two
        into its neighbours) says only that the value it lies in must be looked at. ``flags`` False leaves out kinds
        that are only flagged.
        """
        gate = self._gate if flags else self._gate_masked
        if gate is None:
            return []
        return [(found.start() + found.end()) // 2 for found in gate.finditer(data)]

    def scan(self, text: bytes, before: bytes = b"") -> list[Hit]:
        """The values in one text, in order; ``before`` is the byte that stood directly before it, if any.

        What is only flagged is left out where it overlaps what is masked.
        """
        which = self._which.Match(text)
        if not which:
            return []
        hits: list[Hit] = []
        for number in which:
            if number == len(self._kinds):
                hits += self._encoded(text)
            else:
                hits += _find(self._kinds[number], text, before)
        if len(hits) < 2:
            return hits
        hits.sort(key=lambda hit: (hit.start, -hit.end))
        return list(_without_flags_over_masks(hits))

    def mask(self, text: bytes, tally: Tally, document: bool = False) -> bytes:
        """One whole value with what must be masked overwritten; the same object when nothing is.

        ``document``: it is JSON, in which a number outside strings becomes a string of the same length.
        """
        hits = self.scan(text)
        return overwrite(text, hits, tally, document) if hits else text

    def open_end(self, text: bytes) -> int:
        """Where the word begins that touches the end of ``text`` (its length, when it ends between words)."""
        found = self._token.search(text)
        return int(found.start()) if found is not None else len(text)

    def all_open(self, text: bytes) -> bool:
        """Whether nothing in ``text`` ends a word."""
        return self._open.fullmatch(text) is not None

    def body(self, kind: str) -> Body | None:
        """How values of this kind go on, or None where that is not told."""
        return next((each.body for each in self._kinds if each.name == kind), None)

    def _encoded(self, text: bytes) -> Iterator[Hit]:
        """What stands in hexadecimal runs, as bytea is written in text."""
        for found in self._hex.finditer(text):
            start = found.start(1)
            for hit in self.scan(bytes.fromhex(found.group(1).decode("ascii"))):
                first, last = start + 2 * hit.start, start + 2 * hit.end
                yield Hit(first, last, hit.kind, hit.masked, start + 2 * hit.since, True)


def detectors(mode: str = "mask", kinds: Mapping[str, str] | None = None) -> Detectors | None:
    """The detectors of one target, None when nothing is looked for.

    ``mode`` mask: each kind as the table has it; flag: every kind is only noted; off: none. ``kinds`` sets single kinds
    to mask, flag or off. Raises ValueError for a mode or a kind that does not exist.
    """
    table = TABLE["kinds"]
    if mode not in MODES:
        raise ValueError(f"a detector's mode is {', '.join(MODES[:-1])} or {MODES[-1]}, not {mode!r}")
    modes = {name: kind["mode"] if mode == "mask" else mode for name, kind in table.items()}
    for name, wanted in (kinds or {}).items():
        if name not in table:
            raise ValueError(f"there is no detector {name!r}: use {', '.join(sorted(table))}")
        if wanted not in MODES:
            raise ValueError(f"a detector's mode is {', '.join(MODES[:-1])} or {MODES[-1]}, not {wanted!r} ({name})")
        modes[name] = wanted
    if all(chosen == "off" for chosen in modes.values()):
        return None
    return _made(tuple(sorted(modes.items(), key=lambda item: list(table).index(item[0]))))


def kinds() -> Mapping[str, str]:
    """Every kind's name and what it is, for people."""
    return {name: kind["title"] for name, kind in TABLE["kinds"].items()}


@cache
def _made(modes: tuple[tuple[str, str], ...]) -> Detectors:
    return Detectors(dict(modes))


def _options() -> re2.Options:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # bytes as they are
    options.max_mem = 64 << 20
    options.log_errors = False
    return options


def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    compiled: re.Pattern[bytes] = re2.compile(pattern, _options())  # the same methods
    return compiled


def _kind(name: str, row: Mapping[str, Any], masked: bool) -> _Kind:
    exact = _compiled(pattern(row["exact"]))
    beside = _compiled(row["beside"].encode("latin-1")) if row["beside"] else None
    return _Kind(
        name=name,
        masked=masked,
        exact=exact,
        check=CHECKS[row["check"]] if "check" in row else None,
        beside=frozenset(byte for byte in range(256) if beside is not None and beside.search(bytes([byte]))),
        unless=_compiled(pattern(row["unless"])) if "unless" in row else None,
        body=Body(_compiled(pattern(row["body"])), _compiled(pattern(row["end"]))) if "body" in row else None,
        grouped=exact.groups > 0,
        again=row.get("again", False),
    )


def _find(kind: _Kind, text: bytes, before: bytes) -> Iterator[Hit]:
    position = 0
    for found in _matches(kind, text):
        if found.start() < position:
            continue
        start, end = found.span(1) if kind.grouped else found.span()
        if kind.unless is not None and kind.unless.fullmatch(text, start, end):
            continue
        for first, last in kind.check(text, start, end) if kind.check is not None else ((start, end),):
            position = last
            previous = text[first - 1] if first else (before[0] if before else 0)
            following = text[last] if last < len(text) else 0
            if kind.grouped:  # the pattern says what stands before it
                previous = 0
            if previous not in kind.beside and following not in kind.beside:
                yield Hit(first, last, kind.name, kind.masked, found.start() if kind.grouped else first)


def _matches(kind: _Kind, text: bytes) -> Iterator[re.Match[bytes]]:
    """Of a kind that looks again, each next match begins behind the first byte of the one before."""
    if not kind.again:
        yield from kind.exact.finditer(text)
        return
    position = 0
    while (found := kind.exact.search(text, position)) is not None:
        yield found
        position = found.start() + 1


def _without_flags_over_masks(hits: Sequence[Hit]) -> Iterator[Hit]:
    """What is only noted is left out where it overlaps what is masked. ``hits`` are in order of their beginnings."""
    reached = 0  # the end of what was masked so far
    waiting: list[Hit] = []  # noted ones that reach beyond the beginning of the next
    for hit in hits:
        waiting, over = [each for each in waiting if each.end > hit.start], [e for e in waiting if e.end <= hit.start]
        yield from over
        if not hit.masked:
            if hit.start >= reached:
                waiting.append(hit)
            continue
        waiting = []
        reached = max(reached, hit.end)
        yield hit
    yield from waiting


def overwrite(text: bytes, hits: Sequence[Hit], tally: Tally, document: bool = False, reached: int = 0) -> bytes:
    """``text`` with what must be masked replaced, the same object when nothing is; see :meth:`Detectors.mask`.

    What begins before ``reached`` belongs to a value that was counted.
    """
    changed: bytearray | None = None
    quotes = _Quotes(text)
    for hit in hits:
        if not hit.masked:
            tally.flagged[hit.kind] += 1
            continue
        if changed is None:
            changed = bytearray(text)
        if hit.start >= reached:
            tally.masked[hit.kind] += 1
        reached = max(reached, hit.end)
        stars = b"*" * (hit.end - hit.start) if not hit.encoded else b"2a" * ((hit.end - hit.start) // 2)
        if document and text[hit.start : hit.end].isdigit() and not quotes.around(hit.start):
            stars = b'"' + stars[2:] + b'"'
        changed[hit.start : hit.end] = stars
    return text if changed is None else bytes(changed)


class _Quotes:
    """Which places of a JSON text lie in strings; asked in order, so that the text is read once."""

    def __init__(self, text: bytes) -> None:
        self._signs = _QUOTED.finditer(text)
        self._next = next(self._signs, None)
        self._inside = False

    def around(self, position: int) -> bool:
        while (found := self._next) is not None and found.start() < position:
            if found[0] == b'"':
                self._inside = not self._inside
            self._next = next(self._signs, None)
        return self._inside
