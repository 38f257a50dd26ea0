"""What a server says, read strictly.

Each function takes one whole frame (header included; the engine has judged its length) and raises UpstreamFault on
anything the protocol forbids: lengths that do not fit, bytes left over, missing NULs, bad counts.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from blastwall.errors import UpstreamFault
from blastwall.protocols.postgres.frames import DATA_ROW, HEADER_SIZE, LONGEST, STREAMED, read_length, scan_run

VIOLATION: Final = "08P01"
_COMPLETE: Final = 67  # C
_READY: Final = b"Z\0\0\0\x05"

_field_tail: Final = struct.Struct(">IhIhih")
_int32: Final = struct.Struct(">i").unpack_from
_uint32: Final = struct.Struct(">I").unpack_from
_uint16: Final = struct.Struct(">H").unpack_from


class Field(NamedTuple):
    """One column of a RowDescription; ``table`` 0 and ``column`` 0 when it is no plain table column."""

    name: str
    table: int
    column: int
    type_id: int
    size: int
    modifier: int
    format: int


class Notification(NamedTuple):
    """What another session said with NOTIFY."""

    pid: int
    channel: str
    payload: str


def malformed(what: str) -> UpstreamFault:
    """The fault for a server message that does not read."""
    return UpstreamFault(f"the target sent a malformed message: {what}", code=VIOLATION)


class _Reader:
    """Walks one frame's body; every step checks that the bytes are there, ``finish`` that none are left."""

    __slots__ = ("_frame", "_position", "_what")

    def __init__(self, frame: bytes, what: str, kinds: bytes) -> None:
        if len(frame) < HEADER_SIZE or frame[0] not in kinds or _uint32(frame, 1)[0] != len(frame) - 1:
            raise malformed(f"{what} expected")
        self._frame = frame
        self._position = HEADER_SIZE
        self._what = what

    def raw(self, count: int) -> bytes:
        start = self._position
        end = start + count
        if count < 0 or end > len(self._frame):
            raise malformed(f"{self._what} ends early")
        self._position = end
        return self._frame[start:end]

    def uint32(self) -> int:
        return int.from_bytes(self.raw(4), "big")

    def uint16(self) -> int:
        return int.from_bytes(self.raw(2), "big")

    def numbers(self, code: str, width: int) -> tuple[int, ...]:
        """A 16-bit count and that many numbers of ``width`` bytes."""
        count = self.uint16()
        return struct.unpack(f">{count}{code}", self.raw(count * width))

    def cstring(self) -> bytes:
        end = self._frame.find(b"\0", self._position)
        if end < 0:
            raise malformed(f"{self._what} has a string without end")
        text = self._frame[self._position : end]
        self._position = end + 1
        return text

    def text(self) -> str:
        try:
            return self.cstring().decode()
        except UnicodeDecodeError as fault:
            raise malformed(
                f"{self._what} is not UTF-8: set the database's encoding or client_encoding to UTF8"
            ) from fault

    def rest(self) -> bytes:
        return self.raw(len(self._frame) - self._position)

    def finish(self) -> None:
        if self._position != len(self._frame):
            raise malformed(f"{self._what} has {len(self._frame) - self._position} bytes too many")


def error_fields(frame: bytes) -> dict[str, str]:
    """ErrorResponse or NoticeResponse: field letter -> text (section 53.8). Bytes that are not UTF-8 become U+FFFD:
    until start-up ends a server speaks in its own encoding.
    """
    reader = _Reader(frame, "an error or notice", b"EN")
    fields: dict[str, str] = {}
    while letter := reader.raw(1)[0]:
        name = chr(letter)
        if name in fields or not name.isascii():
            raise malformed("an error or notice repeats a field or has one without a letter")
        fields[name] = reader.cstring().decode("utf-8", "replace")
    reader.finish()
    return fields


def row_description(frame: bytes) -> tuple[Field, ...]:
    reader = _Reader(frame, "RowDescription", b"T")
    count = reader.uint16()
    fields = tuple(Field(reader.text(), *_field_tail.unpack(reader.raw(_field_tail.size))) for _ in range(count))
    reader.finish()
    return fields


def data_row(frame: bytes) -> tuple[bytes | None, ...]:
    """DataRow: one value a column, None for NULL."""
    _Reader(frame, "DataRow", b"D")
    return _values(frame)


def data_rows(run: bytes) -> list[tuple[bytes | None, ...]]:
    """The rows of a run: whole DataRow frames, one behind the other."""
    rows = []
    position = 0
    while position < len(run):
        end, count = scan_run(run, position, DATA_ROW, STREAMED[DATA_ROW], LONGEST)
        if not count or end != len(run):
            raise malformed("a run of rows holds something else")
        for _ in range(count):
            after = position + 1 + _uint32(run, position + 1)[0]
            rows.append(_values(run[position:after]))
            position = after
    return rows


def _values(frame: bytes) -> tuple[bytes | None, ...]:
    values: list[bytes | None] = []
    try:
        (count,) = _uint16(frame, HEADER_SIZE)
        position = HEADER_SIZE + 2
        for _ in range(count):
            (size,) = _int32(frame, position)
            position += 4
            if size < 0:
                if size != -1:
                    raise malformed("DataRow has a negative length")
                values.append(None)
            else:
                values.append(frame[position : position + size])
                position += size
    except struct.error as fault:
        raise malformed("DataRow ends early") from fault
    if position != len(frame):
        raise malformed("DataRow's values do not fill it exactly")
    return tuple(values)


def parameter_status(frame: bytes) -> tuple[str, str]:
    """ParameterStatus: name and value."""
    reader = _Reader(frame, "ParameterStatus", b"S")
    status = reader.text(), reader.text()
    reader.finish()
    return status


def command_tag(frame: bytes) -> str:
    """CommandComplete: the tag, "DELETE 3"."""
    end = len(frame) - 1
    if end < HEADER_SIZE or frame[0] != _COMPLETE or read_length(frame, 1)[0] != end:
        raise malformed("CommandComplete expected")
    stop = frame.find(0, HEADER_SIZE)
    if stop != end:
        raise malformed(
            "CommandComplete has " + ("a string without end" if stop < 0 else f"{end - stop} bytes too many")
        )
    try:
        return frame[HEADER_SIZE:end].decode()
    except UnicodeDecodeError as fault:
        raise malformed(
            "CommandComplete is not UTF-8: set the database's encoding or client_encoding to UTF8"
        ) from fault


def ready_status(frame: bytes) -> bytes:
    """ReadyForQuery: ``b"I"``, ``b"T"`` or ``b"E"``."""
    if len(frame) != HEADER_SIZE + 1 or frame[:HEADER_SIZE] != _READY:
        raise malformed("ReadyForQuery expected")
    status = frame[HEADER_SIZE:]
    if status not in (b"I", b"T", b"E"):
        raise malformed("ReadyForQuery has no known transaction status")
    return status


def backend_key_data(frame: bytes) -> tuple[int, bytes]:
    """BackendKeyData: process number and cancel secret (4 to 256 bytes)."""
    reader = _Reader(frame, "BackendKeyData", b"K")
    pid, secret = reader.uint32(), reader.rest()
    if not 4 <= len(secret) <= 256:
        raise malformed(f"BackendKeyData has a secret of {len(secret)} bytes")
    return pid, secret


def parameter_description(frame: bytes) -> tuple[int, ...]:
    """ParameterDescription: the type OID of each parameter."""
    reader = _Reader(frame, "ParameterDescription", b"t")
    type_ids = reader.numbers("I", 4)
    reader.finish()
    return type_ids


def notification(frame: bytes) -> Notification:
    reader = _Reader(frame, "NotificationResponse", b"A")
    heard = Notification(reader.uint32(), reader.text(), reader.text())
    reader.finish()
    return heard


def copy_response(frame: bytes) -> tuple[int, tuple[int, ...]]:
    """CopyInResponse or CopyOutResponse: overall format (0 text, 1 binary) and the format of each column."""
    reader = _Reader(frame, "a copy response", b"GH")
    overall = reader.raw(1)[0]
    formats = reader.numbers("H", 2)
    reader.finish()
    if overall > 1 or any(format > 1 for format in formats):
        raise malformed("a copy response has an unknown format")
    return overall, formats


def negotiation(frame: bytes) -> tuple[int, tuple[str, ...]]:
    """NegotiateProtocolVersion: the minor version the server will speak and the options it does not know.

    Servers put the whole version (major and minor) in the field that is documented as the minor one; both are read.
    """
    reader = _Reader(frame, "NegotiateProtocolVersion", b"v")
    version, count = reader.uint32(), reader.uint32()
    if version >> 16 not in (0, 3):
        raise malformed(f"NegotiateProtocolVersion names major version {version >> 16}")
    if count > len(frame):
        raise malformed("NegotiateProtocolVersion counts more options than it holds")
    unknown = tuple(reader.text() for _ in range(count))
    reader.finish()
    return version & 0xFFFF, unknown
