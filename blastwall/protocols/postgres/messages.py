"""Builders of protocol messages, both directions (PostgreSQL protocol 3.0/3.2, section 53.7): complete frames as bytes.

Names and texts are bytes without NUL; a NUL inside raises ValueError, as does a number that does not fit its field:
nothing is cut or wrapped. What a server sends is read in ``replies``, what a client sends in ``requests``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final

from librt.strings import BytesWriter, write_i32_be
from mypy_extensions import i32

from blastwall.protocols.postgres.frames import LONGEST

AUTHENTICATION_OK: Final = b"R\0\0\0\x08\0\0\0\0"
AUTHENTICATION_CLEARTEXT: Final = b"R\0\0\0\x08\0\0\0\x03"
PARSE_COMPLETE: Final = b"1\0\0\0\x04"
BIND_COMPLETE: Final = b"2\0\0\0\x04"
CLOSE_COMPLETE: Final = b"3\0\0\0\x04"
NO_DATA: Final = b"n\0\0\0\x04"
EMPTY_QUERY_RESPONSE: Final = b"I\0\0\0\x04"
PORTAL_SUSPENDED: Final = b"s\0\0\0\x04"
SYNC: Final = b"S\0\0\0\x04"
FLUSH: Final = b"H\0\0\0\x04"
TERMINATE: Final = b"X\0\0\0\x04"
COPY_DONE: Final = b"c\0\0\0\x04"  # both directions
SSL_ACCEPTED: Final = b"S"
SSL_REFUSED: Final = b"N"

_BIND: Final = ord("B")
_PARSE: Final = ord("P")
_QUERY: Final = ord("Q")
PROTOCOL_MAJOR: Final = 3
CANCEL_CODE: Final = 80877102
SSL_CODE: Final = 80877103
GSSENC_CODE: Final = 80877104
SSL_REQUEST: Final = struct.pack(">II", 8, SSL_CODE)

_uint16: Final = struct.Struct(">H").pack


def frame(kind: bytes, body: bytes) -> bytes:
    """One frame. Raises ValueError when the body is longer than the protocol's signed 32-bit length can say."""
    size = len(body) + 4
    if size > LONGEST:
        raise ValueError(f"a message body of {len(body)} bytes does not fit its length field")
    writer = BytesWriter()
    writer.write(kind)
    write_i32_be(writer, i32(size))
    writer.write(body)
    return writer.getvalue()


def cstring(text: bytes) -> bytes:
    """``text`` with its NUL. Raises ValueError when it holds one already."""
    if 0 in text:
        raise ValueError("a NUL byte cannot be part of a protocol string")
    return text + b"\0"


#: What nearly every client sends behind its Bind.
_DESCRIBE_UNNAMED: Final = frame(b"D", b"P\0")
_EXECUTE_UNNAMED: Final = frame(b"E", b"\0" + bytes(4))
#: The end of a batch that runs the unnamed portal, to all of its rows; and with its columns described first.
END: Final = _EXECUTE_UNNAMED + SYNC
END_DESCRIBED: Final = _DESCRIBE_UNNAMED + END


def _uint32(number: int) -> bytes:
    if not 0 <= number <= 0xFFFFFFFF:
        raise ValueError(f"{number} does not fit 32 bits")
    return number.to_bytes(4, "big")


def _count(number: int) -> bytes:
    if number > 0xFFFF:
        raise ValueError(f"{number} items do not fit a 16-bit count")
    return _uint16(number)


def _packed(form: str, *values: int) -> bytes:
    """struct.pack, with ValueError for a number that does not fit."""
    try:
        return struct.pack(form, *values)
    except struct.error as fault:
        raise ValueError(f"a number does not fit its field: {fault}") from fault


def _numbers(code: str, values: Sequence[int]) -> bytes:
    """A 16-bit count and its numbers."""
    if not values:
        return b"\0\0"
    return _packed(f">H{len(values)}{code}", len(values), *values)


def _values(values: Sequence[bytes | None]) -> bytes:
    """A 16-bit count and length-prefixed values; None is NULL, length -1."""
    parts = [_count(len(values))]
    for value in values:
        if value is None:
            parts.append(b"\xff\xff\xff\xff")
        elif len(value) > LONGEST:
            raise ValueError(f"a value of {len(value)} bytes does not fit its length field")
        else:
            parts += (_uint32(len(value)), value)
    return b"".join(parts)


# ---------------------------------------------------------------- to the agent


def parameter_status(name: str, value: str) -> bytes:
    return frame(b"S", cstring(name.encode()) + cstring(value.encode()))


def backend_key_data(pid: int, secret: bytes) -> bytes:
    """The cancel key. ``secret`` has 4 bytes in protocol 3.0 and up to 256 in 3.2."""
    if not 4 <= len(secret) <= 256:
        raise ValueError(f"a cancel secret has 4 to 256 bytes, not {len(secret)}")
    return frame(b"K", _uint32(pid) + secret)


def ready_for_query(status: bytes) -> bytes:
    """``status`` is ``b"I"`` (idle), ``b"T"`` (in a transaction) or ``b"E"`` (in a failed one)."""
    if status not in (b"I", b"T", b"E"):
        raise ValueError(f"no transaction status: {status!r}")
    return b"Z\0\0\0\x05" + status


def error_response(
    severity: str,
    sqlstate: str,
    message: str,
    *,
    detail: str | None = None,
    hint: str | None = None,
    position: int | None = None,
    fields: Mapping[str, str] | None = None,
) -> bytes:
    """An ErrorResponse. ``severity`` is ERROR, FATAL or PANIC; ``position`` counts characters from 1; ``fields`` are
    further field letters and texts (section 53.8). NULs in texts become U+FFFD: an error must always be sayable.
    """
    return _report(b"E", severity, sqlstate, message, detail, hint, position, fields)


def notice_response(
    severity: str,
    sqlstate: str,
    message: str,
    *,
    detail: str | None = None,
    hint: str | None = None,
    position: int | None = None,
    fields: Mapping[str, str] | None = None,
) -> bytes:
    """A NoticeResponse. ``severity`` is WARNING, NOTICE, DEBUG, INFO or LOG; the rest as in :func:`error_response`."""
    return _report(b"N", severity, sqlstate, message, detail, hint, position, fields)


def _report(
    kind: bytes,
    severity: str,
    sqlstate: str,
    message: str,
    detail: str | None,
    hint: str | None,
    position: int | None,
    fields: Mapping[str, str] | None,
) -> bytes:
    told = {"S": severity, "V": severity, "C": sqlstate, "M": message}
    if detail:
        told["D"] = detail
    if hint:
        told["H"] = hint
    if position is not None:
        told["P"] = str(position)
    told.update(fields or {})
    parts = [letter.encode("ascii") + _sayable(text) for letter, text in told.items()]
    return frame(kind, b"".join(parts) + b"\0")


def _sayable(text: str) -> bytes:
    return text.replace("\0", "\ufffd").encode("utf-8", "replace") + b"\0"


def negotiate_protocol_version(minor: int, unknown: Sequence[str]) -> bytes:
    """The newest version spoken here is 3.``minor``; ``unknown`` are the ``_pq_.`` options not understood.

    The field holds major and minor, as servers send and libpq reads it.
    """
    names = b"".join(cstring(name.encode()) for name in unknown)
    return frame(b"v", _packed(">HHI", PROTOCOL_MAJOR, minor, len(unknown)) + names)


def command_complete(tag: str) -> bytes:
    return frame(b"C", cstring(tag.encode()))


def row_description(fields: Sequence[tuple[str, int, int, int, int, int, int]]) -> bytes:
    """Columns as in ``replies.Field``: name, table, column, type_id, size, modifier, format."""
    parts = [_count(len(fields))]
    for name, *numbers in fields:
        parts += (cstring(name.encode()), _packed(">IhIhih", *numbers))
    return frame(b"T", b"".join(parts))


def data_row(values: Sequence[bytes | None]) -> bytes:
    return frame(b"D", _values(values))


def parameter_description(type_ids: Sequence[int]) -> bytes:
    return frame(b"t", _numbers("I", type_ids))


def copy_response(kind: bytes, overall: int, formats: Sequence[int]) -> bytes:
    """``kind`` is ``b"G"`` (copy in) or ``b"H"`` (copy out); formats are 0 (text) or 1 (binary)."""
    return frame(kind, _packed(">B", overall) + _numbers("H", formats))


# ---------------------------------------------------------------- to the server


def startup(parameters: Mapping[str, str], minor: int = 0) -> bytes:
    """The startup packet: no type byte, names and values in the mapping's order."""
    parts = [_packed(">HH", PROTOCOL_MAJOR, minor)]
    for name, value in parameters.items():
        if not name:
            raise ValueError("a startup parameter needs a name: an empty one would end the list")
        parts += (cstring(name.encode()), cstring(value.encode()))
    body = b"".join(parts) + b"\0"
    return _uint32(len(body) + 4) + body


def cancel_request(pid: int, secret: bytes) -> bytes:
    """A cancel request, sent alone on its own connection."""
    return _uint32(12 + len(secret)) + _uint32(CANCEL_CODE) + _uint32(pid) + secret


def password(text: bytes) -> bytes:
    return frame(b"p", cstring(text))


def sasl_initial(mechanism: str, first: bytes) -> bytes:
    return frame(b"p", cstring(mechanism.encode()) + _uint32(len(first)) + first)


def sasl_response(message: bytes) -> bytes:
    return frame(b"p", message)


def query(text: bytes) -> bytes:
    if 0 in text:
        raise ValueError("a NUL byte cannot be part of a protocol string")
    size = len(text) + 5
    if size > LONGEST:
        raise ValueError(f"a message body of {size - 4} bytes does not fit its length field")
    writer = BytesWriter()
    writer.append(_QUERY)
    write_i32_be(writer, i32(size))
    writer.write(text)
    writer.append(0)
    return writer.getvalue()


def parse(name: bytes, text: bytes, type_ids: Sequence[int] = ()) -> bytes:
    if 0 in name or 0 in text:
        raise ValueError("a NUL byte cannot be part of a protocol string")
    numbers = _numbers("I", type_ids)
    size = len(name) + len(text) + len(numbers) + 6
    if size > LONGEST:
        raise ValueError(f"a message body of {size - 4} bytes does not fit its length field")
    writer = BytesWriter()
    writer.append(_PARSE)
    write_i32_be(writer, i32(size))
    writer.write(name)
    writer.append(0)
    writer.write(text)
    writer.append(0)
    writer.write(numbers)
    return writer.getvalue()


def bind(
    portal: bytes,
    statement: bytes,
    formats: Sequence[int] = (),
    parameters: Sequence[bytes | None] = (),
    result_formats: Sequence[int] = (),
) -> bytes:
    return rebind(portal, statement, _numbers("H", formats) + _values(parameters) + _numbers("H", result_formats))


def rebind(portal: bytes, statement: bytes, raw: bytes) -> bytes:
    """A Bind under other names; ``raw`` is ``requests.Bind.raw``, which was read exactly."""
    if 0 in portal or 0 in statement:
        raise ValueError("a NUL byte cannot be part of a protocol string")
    return renamed(portal + b"\0" + statement + b"\0", raw, b"")


def renamed(names: bytes, raw: bytes, behind: bytes) -> bytes:
    """As :func:`rebind`, with both names as they stand in a message, and whole messages that follow."""
    size = len(names) + len(raw) + 4
    if size > LONGEST:
        raise ValueError(f"a message body of {size - 4} bytes does not fit its length field")
    writer = BytesWriter()
    writer.append(_BIND)
    write_i32_be(writer, i32(size))
    writer.write(names)
    writer.write(raw)
    writer.write(behind)
    return writer.getvalue()


def describe(kind: bytes, name: bytes) -> bytes:
    """``kind`` is ``b"S"`` (statement) or ``b"P"`` (portal)."""
    if not name and kind == b"P":
        return _DESCRIBE_UNNAMED
    return frame(b"D", _subject(kind) + cstring(name))


def close(kind: bytes, name: bytes) -> bytes:
    """``kind`` is ``b"S"`` (statement) or ``b"P"`` (portal)."""
    return frame(b"C", _subject(kind) + cstring(name))


def _subject(kind: bytes) -> bytes:
    if kind not in (b"S", b"P"):
        raise ValueError(f"neither a statement nor a portal: {kind!r}")
    return kind


def execute(portal: bytes, max_rows: int = 0) -> bytes:
    """Run a portal; ``max_rows`` 0 means all."""
    if not portal and not max_rows:
        return _EXECUTE_UNNAMED
    if not 0 <= max_rows <= LONGEST:
        raise ValueError(f"{max_rows} is no row count")
    return frame(b"E", cstring(portal) + _uint32(max_rows))


def copy_data(piece: bytes) -> bytes:
    return frame(b"d", piece)


def copy_fail(message: bytes) -> bytes:
    return frame(b"f", cstring(message))
