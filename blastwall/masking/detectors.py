"""Content detectors: the last net under values of columns that no rule names; ``detectors.toml`` is what they know.

One pass of an automaton (RE2: linear in the input, whatever is in it) over a whole buffer finds where something may be;
only the values that hold such a place are looked at exactly. What is masked keeps its length, byte for byte: framing,
JSON, arrays and CSV around it stay valid, and nothing has to be laid out anew. Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, NamedTuple

import re2

from blastwall.masking.checks import CHECKS, TABLE, Check

#: What a stream holds back at most while it waits for the end of a value (bytes).
MOST_HELD: Final = 64 * 1024
#: Values that hold blanks, or begin with a phrase, are shorter than this (bytes).
PHRASE: Final = 192
#: Values in hexadecimal (bytea as text) are looked into from this many bytes on.
HEX_GATE: Final = rb"\\x(?:[0-9a-f]{2}){6}"
MODES: Final = ("mask", "flag", "off")

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


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    masked: bool
    exact: re.Pattern[bytes]
    check: Check | None
    beside: frozenset[int]
    unless: re.Pattern[bytes] | None
    body: re.Pattern[bytes] | None
    grouped: bool
    again: bool


class Detectors:
    """The kinds that one target looks for. Immutable, shared by its sessions; made by :func:`detectors`."""

    def __init__(self, modes: Mapping[str, str]) -> None:
        table = TABLE["kinds"]
        self.modes = {name: mode for name, mode in modes.items() if mode != "off"}
        self._kinds = tuple(_kind(name, table[name], mode == "mask") for name, mode in self.modes.items())
        gates = {name: table[name]["gate"].encode("latin-1") for name in self.modes}
        masking = [gate for name, gate in gates.items() if self.modes[name] == "mask"]
        self._gate = _compiled(b"|".join([*gates.values(), HEX_GATE]))
        self._gate_masked = _compiled(b"|".join([*masking, HEX_GATE])) if masking else None
        self._which = re2.Set.SearchSet(_options())
        for gate in [*gates.values(), HEX_GATE]:
            self._which.Add(gate)
        self._which.Compile()
        self._hex = _compiled(rb"\\x((?:[0-9a-f]{2})+)")
        self._token = _compiled(_TOKEN)

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
        masked = [hit for hit in hits if hit.masked]
        if not masked or len(masked) == len(hits):
            return hits
        return [h for h in hits if h.masked or not any(m.start < h.end and h.start < m.end for m in masked)]

    def mask(self, text: bytes, tally: Tally, document: bool = False) -> bytes:
        """One whole value with what must be masked overwritten; the same object when nothing is.

        ``document``: it is JSON, in which a number outside strings becomes a string of the same length.
        """
        hits = self.scan(text)
        return _overwrite(text, hits, tally, document) if hits else text

    def stream(self, tally: Tally, accept: Callable[[bytes, Hit], bool] | None = None) -> Stream:
        """Look through a value, or any other bytes, that come in pieces.

        ``accept`` has the last word on each hit, by the bytes it stands in: for streams that may be no text at all.
        """
        return Stream(self, tally, accept)

    def open_end(self, text: bytes) -> int:
        """Where the word begins that touches the end of ``text`` (its length, when it ends between words)."""
        found = self._token.search(text)
        return int(found.start()) if found is not None else len(text)

    def body(self, kind: str) -> re.Pattern[bytes] | None:
        """How values of this kind go on (a pattern), or None."""
        return next((each.body for each in self._kinds if each.name == kind), None)

    def _encoded(self, text: bytes) -> Iterator[Hit]:
        """What stands in hexadecimal runs, as bytea is written in text."""
        for found in self._hex.finditer(text):
            start = found.start(1)
            for hit in self.scan(bytes.fromhex(found.group(1).decode("ascii"))):
                first, last = start + 2 * hit.start, start + 2 * hit.end
                yield Hit(first, last, hit.kind, hit.masked, start + 2 * hit.since, True)


class Stream:
    """Detectors over bytes that come in pieces: ``feed`` returns what may pass, of the same length in sum.

    At most :data:`MOST_HELD` bytes are held back, and no more than the last :data:`PHRASE` bytes with the
    words that these begin and end in. A single value longer than that is not recognised, private keys excepted.
    """

    def __init__(self, detectors: Detectors, tally: Tally, accept: Callable[[bytes, Hit], bool] | None = None) -> None:
        self._detectors = detectors
        self._accept = accept
        self._tally = tally
        self._held = b""
        self._before = b""
        self._open: re.Pattern[bytes] | None = None  # the body of a value so long that its beginning has left already

    def feed(self, data: bytes) -> bytes:
        """Take a piece; return what may leave now."""
        text = self._held + data
        passed = b""
        if self._open is not None:
            found = self._open.match(text)
            end = found.end() if found is not None else 0
            passed, text = b"*" * end, text[end:]
            if not text:
                return passed
            self._open = None
        hits = self._scan(text)
        cut = self._cut(text, hits)
        out = _overwrite(text[:cut], [hit for hit in hits if hit.end <= cut], self._tally, False)
        if cut:
            self._before = text[cut - 1 : cut]
        self._held = text[cut:]
        return passed + out

    def finish(self) -> bytes:
        """The end: return what was held back."""
        text, self._held = self._held, b""
        out = _overwrite(text, self._scan(text), self._tally, False) if text else b""
        self._before = b""
        self._open = None
        return out

    def _scan(self, text: bytes) -> list[Hit]:
        hits = self._detectors.scan(text, self._before)
        accept = self._accept
        return hits if accept is None else [hit for hit in hits if accept(text, hit)]

    def _cut(self, text: bytes, hits: list[Hit]) -> int:
        """How much may leave: what can neither be in a value nor become part of one, whatever comes next."""
        end = len(text)
        cut = max(end - PHRASE, 0)
        for word in (self._detectors.open_end(text), self._detectors.open_end(text[:cut])):
            if word < cut and end - word <= MOST_HELD:
                cut = word
        for hit in reversed(hits):
            if hit.since < cut < hit.end:
                if end - hit.since <= MOST_HELD:
                    cut = hit.since
                elif end - hit.end <= 8 and (body := self._detectors.body(hit.kind)) is not None:
                    self._open = body
                    return hit.end
        return cut


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
    exact = _compiled(row["exact"].encode("latin-1"))
    beside = _compiled(row["beside"].encode("latin-1")) if row["beside"] else None
    return _Kind(
        name=name,
        masked=masked,
        exact=exact,
        check=CHECKS[row["check"]] if "check" in row else None,
        beside=frozenset(byte for byte in range(256) if beside is not None and beside.search(bytes([byte]))),
        unless=_compiled(row["unless"].encode("latin-1")) if "unless" in row else None,
        body=_compiled(row["body"].encode("latin-1")) if "body" in row else None,
        grouped=exact.groups > 0,
        again=row.get("again", False),
    )


def _find(kind: _Kind, text: bytes, before: bytes) -> Iterator[Hit]:
    for found in _again(kind, text) if kind.again else kind.exact.finditer(text):
        start, end = found.span(1) if kind.grouped else found.span()
        if kind.unless is not None and kind.unless.fullmatch(text, start, end):
            continue
        for first, last in kind.check(text, start, end) if kind.check is not None else ((start, end),):
            previous = text[first - 1] if first else (before[0] if before else 0)
            following = text[last] if last < len(text) else 0
            if kind.grouped:  # the pattern says what stands before it
                previous = 0
            if previous not in kind.beside and following not in kind.beside:
                yield Hit(first, last, kind.name, kind.masked, found.start() if kind.grouped else first)


def _again(kind: _Kind, text: bytes) -> Iterator[re.Match[bytes]]:
    """Matches; the next begins behind the value that the check found in one, or behind its first byte if there is none.

    A match may be longer than its value: the next one stands in it, after a blank.
    """
    position = 0
    while (found := kind.exact.search(text, position)) is not None:
        yield found
        values = kind.check(text, found.start(), found.end()) if kind.check is not None else ()
        position = max((last for _, last in values), default=found.start() + 1)


def _overwrite(text: bytes, hits: list[Hit], tally: Tally, document: bool) -> bytes:
    changed: bytearray | None = None
    reached = 0
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
        if document and text[hit.start : hit.end].isdigit() and not _quoted(text, hit.start):
            stars = b'"' + stars[2:] + b'"'
        changed[hit.start : hit.end] = stars
    return text if changed is None else bytes(changed)


def _quoted(text: bytes, position: int) -> bool:
    """Does ``position`` of a JSON text lie in a string?"""
    inside = False
    at = 0
    while at < position:
        byte = text[at]
        if inside and byte == 0x5C:
            at += 1
        elif byte == 0x22:
            inside = not inside
        at += 1
    return inside
