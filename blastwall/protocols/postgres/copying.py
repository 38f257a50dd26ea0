"""Lines of COPY TO STDOUT: the fields in them, for masks at the sink (PostgreSQL documentation, COPY, "File Formats").

A server sends each line as a CopyData message of its own; one that does otherwise is not followed. Binary copies are
not read here: a statement that would need it is refused. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from blastwall.errors import UpstreamFault
from blastwall.model import Value
from blastwall.sql.tree import Message, unwrap

_ON: Final = ("true", "on", "1")
_OFF: Final = ("false", "off", "0")
_ESCAPES: Final = {98: 8, 102: 12, 110: 10, 114: 13, 116: 9, 118: 11}  # b f n r t v
_LETTERS: Final = {value: letter for letter, value in _ESCAPES.items()}
_ESCAPED: Final = re.compile(rb"\\(.)", re.S)
_QUOTED: Final = re.compile(rb'"((?:[^"]|"")*)"')


class Form(Value):
    """How lines are written. Options that are not here are not followed."""

    __slots__ = ("csv", "delimiter", "header", "null")
    __match_args__ = ("csv", "header", "delimiter", "null")

    def __init__(
        self, csv: bool = False, header: bool = False, delimiter: bytes = b"", null: bytes | None = None
    ) -> None:
        self.csv = csv
        self.header = header
        self.delimiter = delimiter or (b"," if csv else b"\t")
        self.null = null if null is not None else (b"" if csv else b"\\N")


def form_of(statement: Message) -> Form | None:
    """The form of a COPY TO STDOUT statement (its RawStmt.stmt); None for any other, and for options not followed."""
    message = unwrap(statement)
    if message is None or type(message).__name__ != "CopyStmt" or message.is_from or message.filename:
        return None
    csv = header = False
    delimiter, null = b"", None
    for node in message.options:
        option = node.def_elem
        name, value = option.defname.lower(), _given(option)
        if name == "format" and value in ("text", "csv"):
            csv = value == "csv"
        elif name == "header" and (value in _ON or value in _OFF):
            header = value in _ON
        elif name == "delimiter" and len(value.encode()) == 1:
            delimiter = value.encode()
        elif name == "null":
            null = value.encode()
        else:
            return None
    if null not in (None, b"\\N") and not csv:
        # A value that is spelled like NULL stands in the line as it is: whoever may choose the word, guesses values.
        return None
    return Form(csv, header, delimiter, null)


def _given(option: Message) -> str:
    """An option's value as text; "true" for one without."""
    if not option.HasField("arg"):
        return "true"
    which = option.arg.WhichOneof("node")
    if which == "string":
        return str(option.arg.string.sval)
    if which == "boolean":
        return "true" if option.arg.boolean.boolval else "false"
    return str(option.arg.integer.ival) if which == "integer" else ""


def replace_fields(line: bytes, form: Form, columns: int, shown: Callable[[int, bytes, bool], bytes | None]) -> bytes:
    """A line (with its newline) in which fields are replaced.

    ``shown`` gets a column's number from 0, its bytes, and whether they are the value (True) or as they stand in the
    line (False, asked first); what it returns takes their place, None leaves the field as it is. NULLs are not asked
    for. Raises UpstreamFault for a line that does not read, or has another number of fields.
    """
    if not line.endswith(b"\n"):
        raise _unread()
    fields = _csv_fields(line[:-1], form) if form.csv else _text_fields(line[:-1], form)
    if len(fields) != columns:
        raise _unread()
    out = []
    for number, raw in enumerate(fields):
        if raw == form.null:
            out.append(raw)
            continue
        plain = shown(number, raw, False)
        if plain is not None:
            out.append(plain)
            continue
        value = shown(number, _csv_value(raw) if form.csv else _text_value(raw), True)
        if value is None:
            out.append(raw)
        else:
            out.append(b'"' + value.replace(b'"', b'""') + b'"' if form.csv else _text_written(value, form))
    return form.delimiter.join(out) + b"\n"


def _unread() -> UpstreamFault:
    return UpstreamFault("the target copied a line of other columns than were judged", code="08P01")


@lru_cache(maxsize=64)
def _text_field(delimiter: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"((?:[^\\\n" + re.escape(delimiter) + rb"]|\\[^\n])*)(" + re.escape(delimiter) + rb"|\Z)")


@lru_cache(maxsize=64)
def _csv_field(delimiter: bytes) -> re.Pattern[bytes]:
    return re.compile(rb'("(?:[^"]|"")*"|[^"' + re.escape(delimiter) + rb"]*)(" + re.escape(delimiter) + rb"|\Z)")


def _text_fields(line: bytes, form: Form) -> Sequence[bytes]:
    return _fields(line, _text_field(form.delimiter))


def _csv_fields(line: bytes, form: Form) -> Sequence[bytes]:
    return _fields(line, _csv_field(form.delimiter))


def _fields(line: bytes, pattern: re.Pattern[bytes]) -> Sequence[bytes]:
    fields = []
    position = 0
    while True:
        found = pattern.match(line, position)
        if found is None:
            raise _unread()
        fields.append(found[1])
        position = found.end()
        if not found[2]:
            return fields


def _text_value(raw: bytes) -> bytes:
    return _ESCAPED.sub(lambda found: bytes([_ESCAPES.get(found[1][0], found[1][0])]), raw)


def _text_written(value: bytes, form: Form) -> bytes:
    out = bytearray()
    for byte in value:
        letter = _LETTERS.get(byte)
        if letter is not None:
            out += bytes([0x5C, letter])
        elif byte == 0x5C or byte == form.delimiter[0]:
            out += bytes([0x5C, byte])
        else:
            out.append(byte)
    return bytes(out)


def _csv_value(raw: bytes) -> bytes:
    found = _QUOTED.fullmatch(raw)
    return found[1].replace(b'""', b'"') if found is not None else raw
