"""The C library behind the parser, call by call: bytes in, bytes or a fault out.

Nothing outside ``parser.py`` and ``worker.py`` calls this: a hostile text can crash or stall the process that does, and
whoever calls has made sure that it may (``limits.toml``).
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeAlias, TypeVar

from google._upb import _message

from blastwall.errors import ClientFault

# By name: postgast's type stubs are not valid Python (a field called _from) and stop a type checker that reads them.
_errors = import_module("postgast.errors")
_native = import_module("postgast.native")
_messages = import_module("postgast.pg_query_pb2")

Message: TypeAlias = Any  # a protobuf message of libpg_query: ParseResult, RawStmt, Node ...

# protobuf refuses messages nested more than 100 deep, which a chain of 48 "||" already is. The stack overflow that this
# default guards against is prevented here by size limits and by deep().
_message.SetAllowOversizeProtos(True)

_MESSAGE_CHARACTERS = 200  # a syntax error quotes the rest of the text when a literal is not closed
_SHALLOW_BYTES = 65_536  # a level of nesting takes 7 bytes at least and 200 bytes of stack at most: 2 MiB
_STACK_BYTES = 67_108_864

_FLAT = frozenset(
    _messages.Token.Value(name)
    for name in (
        "ASCII_40",  # (
        "ASCII_41",  # )
        "ASCII_44",  # ,
        "ASCII_91",  # [
        "ASCII_93",  # ]
        "ICONST",
        "FCONST",
        "SCONST",
        "USCONST",
        "BCONST",
        "XCONST",
        "PARAM",
        "NULL_P",
        "TRUE_P",
        "FALSE_P",
        "DEFAULT",
        "SQL_COMMENT",
        "C_COMMENT",
    )
)
_NUMBERS = frozenset((_messages.Token.Value("ICONST"), _messages.Token.Value("FCONST")))
_MODERN = (b"0x", b"0X", b"0o", b"0O", b"0b", b"0B", *(b"%d_" % digit for digit in range(10)))

T = TypeVar("T")


class Unparsed(ClientFault):
    """A text the gateway does not understand. ``reason`` is one sentence that never quotes the text.

    For a syntax error ``message`` is the server-like message (it may quote the text: for the client only), ``position``
    the 1-based character position in the text (0: unknown) and ``code`` the SQLSTATE the server would give. Otherwise
    ``code`` is 54000 (over a limit), 54001 (killed while parsing), 53000 (no worker free), 22021 (NUL, lone surrogate).
    """

    def __init__(self, reason: str, *, message: str = "", position: int = 0, code: str = "42601") -> None:
        super().__init__(reason)
        self.reason = reason
        self.message = message or reason
        self.position = position
        self.code = code


def parse(raw: bytes) -> bytes:
    """UTF-8 text to a serialised ``ParseResult``. Raises Unparsed."""
    if b"\0" in raw:  # the C library would parse what comes before it and say nothing
        raise Unparsed("The statement contains a NUL character.", code="22021")
    result = _native.lib.pg_query_parse_protobuf(raw)
    try:
        _check(result)
        return ctypes.string_at(result.parse_tree.data, result.parse_tree.len)
    finally:
        _native.lib.pg_query_free_protobuf_parse_result(result)


def fingerprint(raw: bytes) -> str:
    """16 hex digits, equal for texts that differ only in literals; blind below 100 levels. Raises Unparsed."""
    result = _native.lib.pg_query_fingerprint(raw)
    try:
        _check(result)
        digits: bytes = result.fingerprint_str
        return digits.decode("ascii")
    finally:
        _native.lib.pg_query_free_fingerprint_result(result)


def scan(raw: bytes) -> Message:
    """UTF-8 text to tokens; ``start`` and ``end`` are byte offsets. Raises Unparsed."""
    result = _native.lib.pg_query_scan(raw)
    try:
        _check(result)
        return _messages.ScanResult.FromString(ctypes.string_at(result.pbuf.data, result.pbuf.len))
    finally:
        _native.lib.pg_query_free_scan_result(result)


def structure(tokens: Message) -> int:
    """How many tokens may add depth to a tree: all but commas, brackets, constants, parameters and comments."""
    return sum(token.token not in _FLAT for token in tokens.tokens)


def modern_numbers(raw: bytes) -> bool:
    """Whether the text holds a number that servers before 16 read as something else (0x1F, 0o17, 0b1, 1_000)."""
    if not any(mark in raw for mark in _MODERN):
        return False
    for token in scan(raw).tokens:
        number = raw[token.start : token.end] if token.token in _NUMBERS else b""
        if number.translate(None, b"0123456789.eE+-"):
            return True
    return False


def decode_shallow(data: bytes) -> Message:
    """A serialised tree of a text within the inline limit."""
    return _messages.ParseResult.FromString(data)


def decode(data: bytes) -> Message:
    """A serialised tree, decoded on a stack that is deep enough. The data must come from :func:`parse`."""
    if len(data) <= _SHALLOW_BYTES:
        return _messages.ParseResult.FromString(data)
    return deep(lambda: _messages.ParseResult.FromString(data))


def deparse(data: bytes) -> str:
    """A serialised tree to its canonical text. Raises Unparsed."""
    buffer = ctypes.create_string_buffer(data, len(data))
    message = _native.PgQueryProtobuf(len=len(data), data=ctypes.addressof(buffer))
    result = _native.lib.pg_query_deparse_protobuf(message)
    try:
        _check(result)
        text: bytes = result.query
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unparsed("The statement does not deparse to valid text.") from error
    finally:
        _native.lib.pg_query_free_deparse_result(result)


_stack_size = threading.Lock()


def deep(function: Callable[[], T], stack_bytes: int = _STACK_BYTES) -> T:
    """Call ``function`` on a thread with a deep stack (address space, not memory) and wait for it."""
    results: list[T] = []
    faults: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as fault:  # noqa: BLE001 - it is raised again, in the thread that waits for it
            faults.append(fault)

    thread = threading.Thread(target=run, name="deep stack", daemon=True)
    with _stack_size:
        before = threading.stack_size(stack_bytes)
        try:
            thread.start()
        finally:
            threading.stack_size(before)
    thread.join()
    if faults:
        raise faults[0]
    return results[0]


def _check(result: ctypes.Structure) -> None:
    try:
        _errors.check_error(result)
    except _errors.PgQueryError as error:
        place = f", at character {error.cursorpos}" if error.cursorpos > 0 else ""
        raise Unparsed(
            f"The statement is not valid PostgreSQL{place}.",
            message=error.message[:_MESSAGE_CHARACTERS],
            position=error.cursorpos,
        ) from error
    except UnicodeDecodeError as error:
        raise Unparsed("The statement is not valid PostgreSQL.") from error
