"""What a server says, read strictly: each function takes one whole frame (header included) and raises UpstreamFault on anything
the protocol forbids: lengths that do not fit, bytes left over, missing NULs, bad counts."""

from __future__ import annotations

from typing import NamedTuple


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
    pid: int
    channel: str
    payload: str


def error_fields(frame: bytes) -> dict[str, str]: raise NotImplementedError  # E and N: field letter -> text
def row_description(frame: bytes) -> tuple[Field, ...]: raise NotImplementedError
def data_row(frame: bytes) -> tuple[bytes | None, ...]: raise NotImplementedError
def parameter_status(frame: bytes) -> tuple[str, str]: raise NotImplementedError
def command_tag(frame: bytes) -> str: raise NotImplementedError
def ready_status(frame: bytes) -> bytes: raise NotImplementedError
def backend_key_data(frame: bytes) -> tuple[int, bytes]: raise NotImplementedError
def parameter_description(frame: bytes) -> tuple[int, ...]: raise NotImplementedError
def notification(frame: bytes) -> Notification: raise NotImplementedError
def copy_response(frame: bytes) -> tuple[int, tuple[int, ...]]: raise NotImplementedError  # G H W: overall format, column formats
def negotiation(frame: bytes) -> tuple[int, tuple[str, ...]]: raise NotImplementedError  # minor, unknown options
