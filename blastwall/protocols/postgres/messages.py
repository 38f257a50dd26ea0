"""Builders of protocol messages, both directions (PostgreSQL protocol 3.0/3.2, section 53.7): complete frames as bytes.

Names and texts are bytes without NUL; a NUL inside raises ValueError, as does a length that does not fit its field: nothing is
cut or wrapped. What a server sends is read in ``replies``, what a client sends in ``requests``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# to the agent: AUTHENTICATION_OK, AUTHENTICATION_CLEARTEXT, PARSE_COMPLETE, BIND_COMPLETE, CLOSE_COMPLETE, NO_DATA,
# EMPTY_QUERY_RESPONSE, PORTAL_SUSPENDED, COPY_DONE (both ways); to the server: SYNC, FLUSH, TERMINATE, SSL_REQUEST: constants
AUTHENTICATION_OK = b"R\0\0\0\x08\0\0\0\0"
AUTHENTICATION_CLEARTEXT = b"R\0\0\0\x08\0\0\0\x03"
PARSE_COMPLETE = b"1\0\0\0\x04"
BIND_COMPLETE = b"2\0\0\0\x04"
CLOSE_COMPLETE = b"3\0\0\0\x04"
NO_DATA = b"n\0\0\0\x04"
EMPTY_QUERY_RESPONSE = b"I\0\0\0\x04"
PORTAL_SUSPENDED = b"s\0\0\0\x04"
SYNC = b"S\0\0\0\x04"
FLUSH = b"H\0\0\0\x04"
TERMINATE = b"X\0\0\0\x04"
COPY_DONE = b"c\0\0\0\x04"
SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"
SSL_ACCEPTED = b"S"
SSL_REFUSED = b"N"


def parameter_status(name: str, value: str) -> bytes: raise NotImplementedError
def backend_key_data(pid: int, secret: bytes) -> bytes: raise NotImplementedError
def ready_for_query(status: bytes) -> bytes: raise NotImplementedError  # b"I" | b"T" | b"E"
def error_response(severity: str, sqlstate: str, message: str, *, detail: str | None = None, hint: str | None = None, position: int | None = None, fields: Mapping[str, str] | None = None) -> bytes: raise NotImplementedError
def notice_response(severity: str, sqlstate: str, message: str, *, detail: str | None = None, hint: str | None = None, position: int | None = None, fields: Mapping[str, str] | None = None) -> bytes: raise NotImplementedError
def negotiate_protocol_version(minor: int, unknown: Sequence[str]) -> bytes: raise NotImplementedError
def command_complete(tag: str) -> bytes: raise NotImplementedError
def row_description(fields: Sequence[tuple[str, int, int, int, int, int, int]]) -> bytes: raise NotImplementedError  # replies.Field
def data_row(values: Sequence[bytes | None]) -> bytes: raise NotImplementedError
def parameter_description(type_ids: Sequence[int]) -> bytes: raise NotImplementedError
def parse(name: bytes, text: bytes, type_ids: Sequence[int] = ()) -> bytes: raise NotImplementedError
def bind(portal: bytes, statement: bytes, formats: Sequence[int], parameters: Sequence[bytes | None], result_formats: Sequence[int]) -> bytes: raise NotImplementedError
def rebind(portal: bytes, statement: bytes, raw: bytes) -> bytes: raise NotImplementedError  # raw: requests.Bind.raw
def describe(kind: bytes, name: bytes) -> bytes: raise NotImplementedError
def execute(portal: bytes, max_rows: int = 0) -> bytes: raise NotImplementedError
def close(kind: bytes, name: bytes) -> bytes: raise NotImplementedError
def query(text: bytes) -> bytes: raise NotImplementedError
def copy_data(data: bytes) -> bytes: raise NotImplementedError
def copy_fail(message: bytes) -> bytes: raise NotImplementedError
def password(text: bytes) -> bytes: raise NotImplementedError
def sasl_initial(mechanism: str, first: bytes) -> bytes: raise NotImplementedError
def sasl_response(message: bytes) -> bytes: raise NotImplementedError
def startup(parameters: Mapping[str, str], minor: int = 0) -> bytes: raise NotImplementedError
def cancel_request(pid: int, secret: bytes) -> bytes: raise NotImplementedError
