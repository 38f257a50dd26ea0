"""Secrets out of what is recorded: passwords in statements, tokens by shape, known secrets by value.

``redact.toml`` says what is looked for; ``literals.py`` finds where it stands. The first look is cheap and remembered
per text, because every statement passes it.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import re2
from librt.strings import read_i64_be
from mypy_extensions import i64

from blastwall.model import Parameter, Secret
from blastwall.recording.bodies import decode_text, encode_text
from blastwall.recording.literals import Unreadable, constants, find

_TABLE: Final[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("redact.toml").read_text(encoding="utf-8"))
_TRIGGERS: Final[tuple[str, ...]] = tuple(_TABLE["triggers"]["words"])
_UNPARSED: Final[tuple[str, ...]] = tuple(_TABLE["unparsed"]["words"])


def _linear(pattern: str) -> re.Pattern[bytes]:
    """A pattern that takes time linear in what it looks at."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # bytes as they are
    options.max_mem = 64 << 20
    options.log_errors = False
    compiled: re.Pattern[bytes] = re2.compile(pattern.encode(), options)  # the same methods
    return compiled


_WRITTEN: Final[str] = "|".join(f"(?:{shape})" for shape in _TABLE["shapes"].values())
_SHAPES: Final = _linear(_WRITTEN)
#: For values up to SHORT bytes, of which there may be some in every statement: they cost a fifth so.
_SHAPES_SHORT: Final = re.compile(_WRITTEN.replace(r"\z", r"\Z").encode())
SHORT: Final = 512

STARS: Final = b"***"
_VEIL: Final = b"'***'"  # a literal, so that the text still reads as one statement
MIN_KNOWN: Final = 6  # bytes: a shorter "secret" would be found everywhere, and hiding it would hide the rest
MIN_SHAPE: Final = 15  # bytes of the shortest token that has a shape
MIN_VALUE: Final = 4  # bytes of a removed literal below which answers are not searched for it
REMEMBERED_TEXTS: Final = 512
FORGOTTEN_LENGTH: Final = 256  # characters; shorter texts are looked at again each time, which costs less than that
REMEMBERED_LENGTH: Final = 1024  # longer ones, too


#: Words as statements are mostly made of, to choose by. Whatever stands here, the same is found; it is found faster.
_EVERYDAY: Final = """
select distinct from where and or not in is null between like exists order by group having limit offset union all as
insert into values update set delete returning join left inner outer on using case when then else end begin commit
rollback start transaction isolation level prepare execute declare cursor fetch count sum avg min max coalesce lower
upper current_timestamp now extract interval date integer text numeric boolean id name names user users customer
customers account accounts order_items product products price prices amount balance status type code country address
phone created_at updated_at description comment content company department employee record score region category public
"""


def _telling(word: str) -> int:
    """Where in the table of pairs one of the word's stands: the one that everyday SQL has least often."""
    pairs = [word[at : at + 2] for at in range(len(word) - 1)]
    pair = min(pairs, key=lambda each: (_EVERYDAY.count(each), sum(map(_EVERYDAY.count, each))))
    return ord(pair[0]) * 128 + ord(pair[1])


def _pairs() -> bytes:
    """1 for each pair of lower-case ASCII characters that the text of a trigger cannot do without."""
    table = bytearray(128 * 128)
    for word in _TRIGGERS:
        for at in [_telling(word)] if len(word) > 1 else range(ord(word), 128 * 128, 128):
            table[at] = 1
    return bytes(table)


_PAIRS: Final = _pairs()
#: Is a digit never part of such a pair, but where the character behind it is one that tells by itself? Then no number
#: makes a pair that would not stand there without it.
_NUMBERS_SAY_NOTHING: Final = not any(
    _PAIRS[other * 128 + digit] or (_PAIRS[digit * 128 + other] and not all(_PAIRS[other::128]))
    for digit in range(48, 58)
    for other in range(128)
)


def _alike(data: bytes, plain: bytes) -> bool:
    """Is it ``plain`` with one stretch of it replaced by digits, or ``plain`` itself?"""
    end: i64 = len(data)
    behind: i64 = len(plain)
    least: i64 = end if end < behind else behind
    start: i64 = 0
    while start + 8 <= least and read_i64_be(data, start) == read_i64_be(plain, start):
        start += 8
    while start < least and data[start] == plain[start]:
        start += 1
    if start == end and start == behind:
        return True
    while end - 8 >= start and behind - 8 >= start and read_i64_be(data, end - 8) == read_i64_be(plain, behind - 8):
        end -= 8
        behind -= 8
    while end > start and behind > start and data[end - 1] == plain[behind - 1]:
        end -= 1
        behind -= 1
    if start == end:  # what stood apart in the other touches here
        return False
    while start < end:
        code: i64 = data[start]
        if code < 48 or code > 57:
            return False
        start += 1
    return True


def _hinted(data: bytes) -> bool:
    """Could one of the triggers stand in the text? It takes one look at each character, and not one for each word."""
    pairs = _PAIRS
    length: i64 = len(data)
    position: i64 = 0
    row: i64 = 0
    while position < length:
        code: i64 = data[position]
        if code >= 128:  # some become ASCII letters in lower case
            return True
        if 65 <= code <= 90:
            code += 32
        if pairs[row + code] != 0:
            return True
        row = code * 128
        position += 1
    return False


def _triggered(text: str) -> bool:
    lowered = text.lower()
    for word in _TRIGGERS:  # noqa: SIM110 - any() costs three times as much
        if word in lowered:
            return True
    return False


@dataclass(frozen=True, slots=True)
class Redacted:
    """A statement without its secrets. ``values`` were taken out, so that answers to it can be cleared of them."""

    text: str
    parameters: tuple[Parameter, ...]
    changed: bool = False
    values: tuple[bytes, ...] = ()


class Redactor:
    """Finds secrets in one connection's statements. ``known`` secrets are found by value wherever they stand.

    No bound value of fewer than ``shortest`` bytes is looked into.
    """

    def __init__(self, known: Iterable[Secret] = ()) -> None:
        self._known: tuple[bytes, ...] = ()
        self._known_text: tuple[str, ...] = ()
        self._seen: dict[str, bool] = {}
        # The last text without a hint, in UTF-8. That depends on nothing but the table, so nothing makes it wrong.
        self._plain = b""
        self.add(known)

    def add(self, known: Iterable[Secret]) -> None:
        """Know more secrets from now on. Those under six bytes are left out: they would be found everywhere."""
        values = {encode_text(secret.reveal()) for secret in known}
        values |= set(self._known)
        # The longest first: a secret that contains another is removed whole.
        self._known = tuple(sorted((value for value in values if len(value) >= MIN_KNOWN), key=len, reverse=True))
        self.shortest = min(MIN_SHAPE, len(self._known[-1]) if self._known else MIN_SHAPE)
        self._known_text = tuple(decode_text(value) for value in self._known)
        self._seen.clear()

    def suspects(self, text: str, parameters: tuple[Parameter, ...]) -> bool:
        """The cheap first look: False when the statement cannot hold anything that is looked for."""
        return self.suspects_written(text, encode_text(text), parameters)

    def suspects_written(self, text: str, data: bytes, parameters: tuple[Parameter, ...]) -> bool:
        """As :meth:`suspects`, of a text that was encoded already (``data``)."""
        seen = self._seen.get(text) if len(text) > FORGOTTEN_LENGTH else None
        if seen is None:
            seen = self._look(text, data)
        if seen or not parameters:
            return seen
        for parameter in parameters:
            value = parameter.value
            if value is not None and len(value) >= self.shortest and self.suspects_value(value):
                return True
        return False

    def _look(self, text: str, data: bytes) -> bool:
        # Most differ from the last one in a number: the pairs of the new one stand in the other too, or hold digits.
        seen = False
        if not (_NUMBERS_SAY_NOTHING and _alike(data, self._plain)):
            if _hinted(data):
                seen = _triggered(text)
            elif len(data) <= REMEMBERED_LENGTH:
                self._plain = data
        if not seen:
            for known in self._known_text:
                if len(known) <= len(text) and known in text:
                    seen = True
                    break
        if FORGOTTEN_LENGTH < len(text) <= REMEMBERED_LENGTH:
            if len(self._seen) >= REMEMBERED_TEXTS:
                self._seen.clear()
            self._seen[text] = seen
        return seen

    def suspects_value(self, value: bytes) -> bool:
        """Does a bound value hold a secret?"""
        if len(value) > SHORT:
            if _SHAPES.search(value) is not None:
                return True
        elif len(value) >= MIN_SHAPE and _SHAPES_SHORT.search(value) is not None:
            return True
        for known in self._known:  # noqa: SIM110 - for every bound parameter: any() costs three times as much
            if known in value:
                return True
        return False

    def redact(self, text: str, parameters: tuple[Parameter, ...], *, parsed: bool) -> Redacted:
        """Replace secrets by ``***``.

        ``parsed`` tells whether the protocol understood the text. One that it did not, or that the lexer does not take,
        and that mentions what secrets stand beside, is replaced by its length and SHA-256.
        """
        raw = encode_text(text)
        hidden: frozenset[int] = frozenset()
        removed: tuple[bytes, ...] = ()
        try:
            if not parsed:
                raise Unreadable
            found = find(raw, self.suspects_value)
        except Unreadable:
            lowered = text.lower()
            if any(word in lowered for word in _UNPARSED):
                note = _unread(raw)
                cleared = tuple(
                    parameter._replace(value=None if parameter.value is None else STARS) for parameter in parameters
                )
                return Redacted(note, cleared, True, tuple(p.value for p in parameters if p.value))
        else:
            raw = _replace(raw, found.spans)
            hidden, removed = found.parameters, found.values
        raw = self._stars(raw)
        kept = tuple(
            self._parameter(parameter, number in hidden) for number, parameter in enumerate(parameters, start=1)
        )
        gone = tuple(old.value for old, new in zip(parameters, kept, strict=True) if old is not new and old.value)
        if kept == parameters and raw == encode_text(text):
            return Redacted(text, parameters)
        return Redacted(decode_text(raw), kept, True, removed + gone)

    def _parameter(self, parameter: Parameter, hidden: bool) -> Parameter:
        value = parameter.value
        if value is None or not (hidden or self.suspects_value(value)):
            return parameter
        return parameter._replace(value=STARS)

    def _stars(self, raw: bytes) -> bytes:
        for known in self._known:
            raw = raw.replace(known, STARS)
        return _SHAPES.sub(STARS, raw)

    def hidden(self, parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
        """All of them without their values: those of a statement that compares or writes masked columns."""
        return tuple(
            parameter if parameter.value is None else parameter._replace(value=STARS) for parameter in parameters
        )

    def veiled(self, text: str) -> str:
        """The text of a statement that writes masked columns, without its literals: any may be what is written."""
        raw = encode_text(text)
        try:
            return decode_text(_replace(raw, [(start, end, _VEIL) for start, end in constants(raw)]))
        except Unreadable:
            return _unread(raw)

    def plain(self, text: str) -> str:
        """A text that is no statement (the name of what is connected to) without known secrets and token shapes."""
        return decode_text(self._stars(encode_text(text)))

    def scrub(self, document: bytes, values: tuple[bytes, ...] = ()) -> bytes:
        """Replace known secrets, token shapes and ``values`` in JSON bytes, as JSON spells them."""
        for value in (*self._known, *(value for value in values if len(value) >= MIN_VALUE)):
            document = document.replace(json.dumps(decode_text(value))[1:-1].encode(), STARS)
        return _SHAPES.sub(STARS, document)

    def blank(self, data: bytes, values: tuple[bytes, ...]) -> bytes:
        """Overwrite ``values`` with as many asterisks, so that the framing of wire bytes stays whole."""
        for value in values:
            if len(value) >= MIN_VALUE:
                data = data.replace(value, b"*" * len(value))
        return data


def without(parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
    """The parameters with asterisks for the values that are withheld."""
    return tuple(
        parameter._replace(value=STARS, binary=False)
        if parameter.withheld and parameter.value is not None
        else parameter
        for parameter in parameters
    )


def _unread(raw: bytes) -> str:
    return f"*** a text of {len(raw)} bytes that could not be read, SHA-256 {sha256(raw).hexdigest()}"


def _replace(raw: bytes, spans: Iterable[tuple[int, int, bytes]]) -> bytes:
    pieces = []
    position = 0
    for start, end, put in sorted(spans):
        pieces += [raw[position:start], put]
        position = end
    return b"".join([*pieces, raw[position:]])
