"""Detectors over bytes that come in pieces: a value that two pieces hold a part of is found all the same. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from blastwall.masking.detectors import Body, Detectors, Hit, Tally, overwrite

#: What a stream holds back at most while it waits for the end of a value (bytes).
MOST_HELD: Final = 16 * 1024
#: Values that hold blanks, or begin with a phrase, are shorter than this (bytes). So is what ends a value's body.
PHRASE: Final = 192
#: A sign in a body may be escaped, by so many bytes at most.
ESCAPE: Final = 8


class Stream:
    """``feed`` returns what may pass, of the same length in sum.

    At most :data:`MOST_HELD` bytes are held back, and no more than the last :data:`PHRASE` bytes with the words that
    these begin and end in. A single value longer than that is not recognised, private keys excepted. ``accept`` has the
    last word on each hit, by the bytes it stands in: for streams that may be no text at all.
    """

    def __init__(self, detectors: Detectors, tally: Tally, accept: Callable[[bytes, Hit], bool] | None = None) -> None:
        self._detectors = detectors
        self._accept = accept
        self._tally = tally
        self._held = b""
        self._more: list[bytes] = []  # behind it, while all of both is one word that goes on
        self._size = 0  # of both; 0 unless they are one word
        self._before = b""
        self._body: Body | None = None  # of a value whose beginning has left already
        self._passed = b""  # the last of it that did
        self._gone = 0  # bytes at the beginning of what is held that have left: they were part of a value

    def feed(self, data: bytes) -> bytes:
        """Take a piece; return what may leave now."""
        if self._size and self._size + len(data) <= MOST_HELD and self._detectors.all_open(data):
            self._more.append(data)
            self._size += len(data)
            return b""
        return self._taken(data, False)

    def finish(self) -> bytes:
        """The end: return what was held back."""
        out = self._taken(b"", True)
        self._before = b""
        return out

    def _taken(self, data: bytes, last: bool) -> bytes:
        text = b"".join((self._held, *self._more, data))
        gone = self._gone
        self._held = b""
        self._more = []
        self._size = self._gone = 0
        passed = b""
        if self._body is not None:
            passed, text, gone = self._through(self._body, text, last)
        if len(text) == gone:
            return passed
        hits = [hit for hit in self._scan(text) if not gone or (hit.end > gone if hit.masked else hit.start >= gone)]
        cut = len(text) if last else self._cut(text, hits)
        out = overwrite(text[:cut], [hit for hit in hits if hit.end <= cut], self._tally, reached=gone)
        if cut:
            self._before = text[cut - 1 : cut]
        self._held = text[cut:]
        self._gone = max(gone - cut, 0)
        if self._body is None and self._detectors.all_open(self._held):
            self._size = len(self._held)
        return passed + out[gone:]

    def _scan(self, text: bytes) -> list[Hit]:
        hits = self._detectors.scan(text, self._before)
        accept = self._accept
        return hits if accept is None else [hit for hit in hits if accept(text, hit)]

    def _through(self, body: Body, text: bytes, last: bool) -> tuple[bytes, bytes, int]:
        """What is left of a value whose beginning has left, overwritten; and, if it is over, the text behind it with so
        many bytes before that have left: another value may begin in this one.
        """
        found = body.more.match(text)
        size = found.end() if found is not None else 0
        known = self._passed
        end = body.end.search(known + text[:size])
        if end is not None and end.end() > len(known):
            size = end.end() - len(known)
        elif not last and _goes_on(text, size):
            self._passed = (known + text[:size])[-PHRASE:]
            self._held = text[size:]
            return b"*" * size, b"", 0
        before = known + text[:size]
        self._body = None
        self._passed = b""
        self._before = before[-PHRASE - 1 : -PHRASE]
        lead = before[-PHRASE:]
        return b"*" * size, lead + text[size:], len(lead)

    def _cut(self, text: bytes, hits: list[Hit]) -> int:
        """How much may leave: what can neither be in a value nor become part of one, whatever comes next."""
        end = len(text)
        for hit in hits:
            body = self._detectors.body(hit.kind) if hit.masked and not hit.encoded else None
            if body is not None and _goes_on(text, hit.end) and not _ends(body, text[hit.start : hit.end]):
                self._body = body
                self._passed = text[max(hit.start, hit.end - PHRASE) : hit.end]
                return hit.end
        cut = max(end - PHRASE, 0)
        for word in (self._detectors.open_end(text), self._detectors.open_end(text[:cut])):
            if word < cut and end - word <= MOST_HELD:
                cut = word
        for hit in reversed(hits):
            if hit.since < cut < hit.end and end - hit.since <= MOST_HELD:
                cut = hit.since
        for hit in hits:  # too long to wait for: it leaves as it is known now, overwritten
            if hit.since < cut < hit.end:
                cut = hit.end
        return cut


def _ends(body: Body, value: bytes) -> bool:
    """Whether the value was ended by what ends its body."""
    last = value[-PHRASE:]
    return any(found.end() == len(last) for found in body.end.finditer(last))


def _goes_on(text: bytes, size: int) -> bool:
    """Whether what may come next could belong to the value that ``size`` bytes of ``text`` are of."""
    return len(text) - size <= ESCAPE and not text[size:].strip(b"\\")
