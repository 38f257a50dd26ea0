"""Frames: one type byte, a length that counts itself, a body. The hot loop over rows, and the table of what a server
may send.

Plain typed Python without closures or generators, so that it can be compiled as it stands.
"""

from __future__ import annotations

import struct
from typing import Final

from librt.strings import read_i32_be
from mypy_extensions import i64

HEADER_SIZE: Final = 5
LONGEST: Final = 0x7FFFFFFF  # the length field is a signed 32-bit number to both sides

read_header: Final = struct.Struct(">BI").unpack_from
read_length: Final = struct.Struct(">I").unpack_from

DATA_ROW: Final = ord("D")
COPY_DATA: Final = ord("d")

#: Frames that carry a body of any size and may be passed on in pieces -> the least their length field may say.
STREAMED: Final = {DATA_ROW: 6, COPY_DATA: 4}

#: Every other frame a server may send after start-up -> (least, most) of its length field; most 0 means the engine's
#: limit. Not listed, so a fault: R, K and v (start-up only), V (its request is never sent), W (replication only).
CONTROL: Final = {
    ord("1"): (4, 4),  # ParseComplete
    ord("2"): (4, 4),  # BindComplete
    ord("3"): (4, 4),  # CloseComplete
    ord("A"): (10, 0),  # NotificationResponse
    ord("C"): (5, 0),  # CommandComplete
    ord("E"): (5, 0),  # ErrorResponse
    ord("G"): (7, 0),  # CopyInResponse
    ord("H"): (7, 0),  # CopyOutResponse
    ord("I"): (4, 4),  # EmptyQueryResponse
    ord("N"): (5, 0),  # NoticeResponse
    ord("S"): (6, 0),  # ParameterStatus
    ord("T"): (6, 0),  # RowDescription
    ord("Z"): (5, 5),  # ReadyForQuery
    ord("c"): (4, 4),  # CopyDone
    ord("n"): (4, 4),  # NoData
    ord("s"): (4, 4),  # PortalSuspended
    ord("t"): (6, 0),  # ParameterDescription
}

#: What a server may send until its first ReadyForQuery.
STARTUP: Final = {
    ord("R"): (8, 0),  # Authentication...
    ord("E"): (5, 0),
    ord("K"): (12, 264),  # BackendKeyData: 4 to 256 bytes of secret
    ord("N"): (5, 0),
    ord("S"): (6, 0),
    ord("Z"): (5, 5),
    ord("v"): (12, 0),  # NegotiateProtocolVersion
}


def scan_run(data: bytes, start: i64, kind: i64, least: i64, most: i64) -> tuple[i64, i64]:
    """Return (end, count) of the consecutive complete frames of ``kind`` from ``start``.

    Stops before the first frame that is incomplete, of another kind, or whose length field is outside ``least ..
    most``: the caller looks at that one itself.
    """
    position: i64 = start
    before: i64 = start
    count: i64 = 0
    end: i64 = len(data)
    while position + HEADER_SIZE <= end:
        size: i64 = i64(read_i32_be(data, position + 1))
        if data[position] != kind or size < least or size > most:
            break
        before = position
        position += size + 1
        count += 1
    if position > end:
        return before, count - 1
    return position, count
