"""What an agent's client may say, as events, and how each message body is read (PostgreSQL protocol 3.0/3.2, section
53.7).

Every inner length is checked against its frame and every body must be consumed exactly. Malformed bodies raise
:class:`MessageViolation` with the server's own wording. The readers take the buffer and the body's bounds in it: a
slice less.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from librt.strings import read_i32_be
from mypy_extensions import i64, mypyc_attr

from blastwall.errors import ProtocolViolation
from blastwall.model import Secret, Value
from blastwall.protocols.postgres.bodies import MessageViolation as MessageViolation
from blastwall.protocols.postgres.bodies import ends_early, name_end, numbers, string_end, too_long
from blastwall.protocols.postgres.frames import HEADER_SIZE

_int32: Final = struct.Struct(">i").unpack_from
_uint32: Final = struct.Struct(">I").unpack_from
_uint16: Final = struct.Struct(">H").unpack_from


@dataclass(slots=True)
class SSLRequest:
    """The client asks for TLS; it waits for one byte."""


@dataclass(slots=True)
class GSSENCRequest:
    """The client asks for GSSAPI encryption; it waits for one byte."""


@dataclass(slots=True)
class CancelRequest:
    """Cancel what the connection with this key runs. ``secret`` has 4 to 256 bytes. Nothing may follow."""

    pid: int
    secret: bytes


@dataclass(slots=True)
class Startup:
    """The startup packet. ``minor`` as asked (above 2 or with ``_pq_.`` names: answer NegotiateProtocolVersion).

    ``parameters`` always holds a non-empty ``user``; values are UTF-8, keys unique.
    """

    minor: int
    parameters: dict[str, str]


@dataclass(slots=True)
class Password:
    """The answer to AuthenticationCleartextPassword: never empty."""

    secret: Secret


@mypyc_attr(free_list_len=1)  # one after the other, each gone before the next
class Query(Value):
    """A simple query; ``text`` without its NUL and without any other NUL. UTF-8 is not yet checked.

    ``frame`` is the whole message where it came by itself, equal to ``messages.query(text)``; b"" elsewhere.
    """

    __slots__ = ("frame", "text")
    __match_args__ = ("text",)

    def __init__(self, text: bytes, frame: bytes = b"") -> None:
        self.text = text
        self.frame = frame


@mypyc_attr(free_list_len=1)  # one after the other, each gone before the next
class Parse(Value):
    """Name a text. ``type_ids`` are OIDs, 0 for unspecified; there may be fewer than parameters."""

    __slots__ = ("name", "text", "type_ids")
    __match_args__ = ("name", "text", "type_ids")

    def __init__(self, name: bytes, text: bytes, type_ids: tuple[int, ...]) -> None:
        self.name = name
        self.text = text
        self.type_ids = type_ids


@mypyc_attr(free_list_len=1)  # one after the other, each gone before the next
class Bind(Value):
    """Bind parameters to a statement. ``formats`` and ``result_formats`` hold 0 (text) and 1 (binary): none, one for
    all, or one each. ``raw`` is all that follows the two names, proven equal to its own re-serialisation
    (``messages.rebind``).
    """

    __slots__ = ("formats", "parameters", "portal", "raw", "result_formats", "statement")
    __match_args__ = ("portal", "statement", "formats", "parameters", "result_formats", "raw")

    def __init__(
        self,
        portal: bytes,
        statement: bytes,
        formats: tuple[int, ...],
        parameters: tuple[bytes | None, ...],
        result_formats: tuple[int, ...],
        raw: bytes,
    ) -> None:
        self.portal = portal
        self.statement = statement
        self.formats = formats
        self.parameters = parameters
        self.result_formats = result_formats
        self.raw = raw


class Describe(Value):
    """``kind`` is ``b"S"`` (statement) or ``b"P"`` (portal)."""

    __slots__ = ("kind", "name")
    __match_args__ = ("kind", "name")

    def __init__(self, kind: bytes, name: bytes) -> None:
        self.kind = kind
        self.name = name


class Execute(Value):
    """Run a portal; ``max_rows`` 0 means all (the server takes a negative number as 0, and so does this)."""

    __slots__ = ("max_rows", "portal")
    __match_args__ = ("portal", "max_rows")

    def __init__(self, portal: bytes, max_rows: int) -> None:
        self.portal = portal
        self.max_rows = max_rows


@dataclass(slots=True)
class Close:
    """``kind`` is ``b"S"`` (statement) or ``b"P"`` (portal)."""

    kind: bytes
    name: bytes


class Sync(Value):
    """The end of an extended batch."""

    __slots__ = ()


@dataclass(slots=True)
class Flush:
    """Send what you have."""


@dataclass(slots=True)
class CopyData:
    """A piece of COPY input, cut anywhere."""

    data: bytes


@dataclass(slots=True)
class CopyDone:
    """The end of COPY input."""


@dataclass(slots=True)
class CopyFail:
    """The client gives up its COPY input."""

    message: bytes


@dataclass(slots=True)
class FunctionCall:
    """The deprecated call without SQL. Nothing permits it; ``function_id`` is for the record."""

    function_id: int


@dataclass(slots=True)
class Terminate:
    """The client leaves: ``orderly`` with a Terminate message, otherwise by closing its connection (perhaps
    mid-frame).
    """

    orderly: bool


Event = (
    SSLRequest
    | GSSENCRequest
    | CancelRequest
    | Startup
    | Password
    | Query
    | Parse
    | Bind
    | Describe
    | Execute
    | Close
    | Sync
    | Flush
    | CopyData
    | CopyDone
    | CopyFail
    | FunctionCall
    | Terminate
)


def _read_query(buffer: bytes, start: int, end: int) -> Query:
    if start < end and buffer[end - 1] == 0:
        text = buffer[start : end - 1]
        if 0 not in text:  # a call of find costs ten times as much
            return Query(text, buffer if start == HEADER_SIZE and end == len(buffer) else b"")
    stop = buffer.find(0, start, end)
    if stop != end - 1 or stop < start:
        raise MessageViolation("invalid string in message" if stop < 0 else "invalid message format", kind=b"Q")
    return Query(buffer[start:stop])


def _read_parse(buffer: bytes, start: int, end: int) -> Parse:
    name = name_end(buffer, start, end, b"P")
    if end - 3 > name and not buffer[end - 3] | buffer[end - 2] | buffer[end - 1]:
        words = buffer[name + 1 : end - 3]
        if 0 not in words:  # no types: what nearly all clients send
            return Parse(b"" if name == start else buffer[start:name], words, ())
    text = string_end(buffer, name + 1, end, b"P")
    type_ids, after = numbers(buffer, text + 1, end, "I", 4, b"P")
    if after != end:
        raise too_long(b"P")
    return Parse(buffer[start:name], buffer[name + 1 : text], type_ids)


def _read_bind(buffer: bytes, start: int, end: int) -> Bind:
    portal = name_end(buffer, start, end, b"B")
    statement = name_end(buffer, portal + 1, end, b"B")
    last: i64 = end
    position: i64 = statement + 1
    formats: tuple[int, ...] = ()
    if position + 2 > last:
        raise ends_early(b"B")
    if buffer[position] | buffer[position + 1]:
        formats, after = numbers(buffer, int(position), end, "H", 2, b"B")
        position = after
    else:
        position += 2
    if position + 2 > last:
        raise ends_early(b"B")
    count: i64 = (i64(buffer[position]) << 8) | i64(buffer[position + 1])
    position += 2
    values: tuple[bytes | None, ...] = ()
    if count:
        found: list[bytes | None] = []
        number: i64 = 0
        while number < count:
            number += 1
            if position + 4 > last:
                raise ends_early(b"B")
            size: i64 = i64(read_i32_be(buffer, position))
            position += 4
            if size == -1:
                found.append(None)
                continue
            if size < 0 or position + size > last:
                raise ends_early(b"B")
            found.append(buffer[position : position + size])
            position += size
        values = tuple(found)
    result_formats: tuple[int, ...] = ()
    if position + 2 <= last and not buffer[position] | buffer[position + 1]:
        position += 2
    else:
        result_formats, after = numbers(buffer, int(position), end, "H", 2, b"B")
        position = after
    if position != last:
        raise too_long(b"B")
    if formats or result_formats:
        _judge_formats(formats, result_formats, len(values))
    return Bind(
        b"" if portal == start else buffer[start:portal],
        b"" if statement == portal + 1 else buffer[portal + 1 : statement],
        formats,
        values,
        result_formats,
        buffer[statement + 1 : end],
    )


def _judge_formats(formats: tuple[int, ...], result_formats: tuple[int, ...], count: int) -> None:
    if len(formats) > 1 and len(formats) != count:
        raise MessageViolation(f"bind message has {len(formats)} parameter formats but {count} parameters", kind=b"B")
    for code in formats + result_formats:
        if code > 1:
            raise MessageViolation(f"unsupported format code: {code}", kind=b"B", code="22023")


def _read_subject(buffer: bytes, start: int, end: int, kind: bytes, word: str) -> tuple[bytes, bytes]:
    """Read what Describe and Close share: S or P, and a name."""
    if start >= end:
        raise ends_early(kind)
    subject = buffer[start : start + 1]
    if subject not in (b"S", b"P"):
        raise MessageViolation(f"invalid {word} message subtype {subject[0]}", kind=kind)
    stop = name_end(buffer, start + 1, end, kind)
    if stop != end - 1:
        raise too_long(kind)
    return subject, buffer[start + 1 : stop]


def _read_describe(buffer: bytes, start: int, end: int) -> Describe:
    return Describe(*_read_subject(buffer, start, end, b"D", "DESCRIBE"))


def _read_close(buffer: bytes, start: int, end: int) -> Close:
    return Close(*_read_subject(buffer, start, end, b"C", "CLOSE"))


def _read_execute(buffer: bytes, start: int, end: int) -> Execute:
    stop = name_end(buffer, start, end, b"E")
    if stop + 5 != end:
        raise ends_early(b"E") if stop + 5 > end else too_long(b"E")
    max_rows = int(read_i32_be(buffer, stop + 1))
    return Execute(buffer[start:stop], max_rows if max_rows > 0 else 0)


def _read_sync(buffer: bytes, start: int, end: int) -> Sync:
    if start != end:
        raise too_long(b"S")
    return Sync()


def _read_flush(buffer: bytes, start: int, end: int) -> Flush:
    if start != end:
        raise too_long(b"H")
    return Flush()


def _read_copy_data(buffer: bytes, start: int, end: int) -> CopyData:
    return CopyData(buffer[start:end])


def _read_copy_done(buffer: bytes, start: int, end: int) -> CopyDone:
    if start != end:
        raise ProtocolViolation("invalid message format", code="08P01")
    return CopyDone()


def _read_copy_fail(buffer: bytes, start: int, end: int) -> CopyFail:
    if start == end or buffer.find(0, start, end) != end - 1:
        raise ProtocolViolation("invalid string in message", code="08P01")
    return CopyFail(buffer[start : end - 1])


def _read_function_call(buffer: bytes, start: int, end: int) -> FunctionCall:
    if end - start < 4:
        raise ProtocolViolation("insufficient data left in message", code="08P01")
    return FunctionCall(_uint32(buffer, start)[0])


def _read_terminate(buffer: bytes, start: int, end: int) -> Terminate:
    if start != end:
        raise ProtocolViolation("invalid message format", code="08P01")
    return Terminate(orderly=True)


#: Type byte -> reader of its body. What is not listed is no message of an authenticated client.
READERS: Final[dict[int, Callable[[bytes, int, int], Event]]] = {
    ord("Q"): _read_query,
    ord("P"): _read_parse,
    ord("B"): _read_bind,
    ord("D"): _read_describe,
    ord("E"): _read_execute,
    ord("C"): _read_close,
    ord("S"): _read_sync,
    ord("H"): _read_flush,
    ord("d"): _read_copy_data,
    ord("c"): _read_copy_done,
    ord("f"): _read_copy_fail,
    ord("F"): _read_function_call,
    ord("X"): _read_terminate,
}


def read(kind: int, buffer: bytes, start: int, end: int) -> Event:
    """Read the body of a message whose type is in :data:`READERS`: without a call through the table for frequent ones.

    Raises MessageViolation and ProtocolViolation.
    """
    if kind == _QUERY:
        return _read_query(buffer, start, end)
    if kind == _BIND:
        return _read_bind(buffer, start, end)
    if kind == _EXECUTE:
        return _read_execute(buffer, start, end)
    if kind == _SYNC:
        return _read_sync(buffer, start, end)
    if kind == _DESCRIBE:
        return _read_describe(buffer, start, end)
    if kind == _PARSE:
        return _read_parse(buffer, start, end)
    return READERS[kind](buffer, start, end)


_QUERY: Final = ord("Q")
_BIND: Final = ord("B")
_EXECUTE: Final = ord("E")
_SYNC: Final = ord("S")
_DESCRIBE: Final = ord("D")
_PARSE: Final = ord("P")

#: The types as one byte each: 1 where there is a reader.
KNOWN: Final = bytes(kind in READERS for kind in range(256))

#: Messages that may be as long as the engine's ``max_frame``; the rest end at the server's own small limit.
LARGE: Final = frozenset(b"QPBFd")
SMALL_LIMIT: Final = 10_000
