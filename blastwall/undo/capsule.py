"""What a capsule holds, and its form on disk."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass
from typing import Any, Final

from blastwall.errors import OurFault

VERSION: Final = 2
#: Bytes of a capsule, unpacked.
LARGEST: Final = 64 * 1024 * 1024

#: Which version a row is, as text: another transaction's has another xmin, another of the same another place.
VERSIONED: Final = "pg_catalog.concat_ws(' ', {0}.xmin, {0}.tableoid, {0}.ctid)"

Row = tuple[str | None, ...]


class NoCapsule(Exception):
    """The rows cannot be kept, or bringing them back would not be the opposite of the change; says why."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one table. ``deleted``: they are gone, and are inserted again; else ``columns`` of them were set, and are
    set back.

    ``table`` is quoted and qualified, as it stands in SQL. ``columns`` are (name, type as it stands in a cast); the
    first ``key`` of them are the primary key. ``rows`` are values in text form, ``seen`` for each row the version
    (:data:`VERSIONED`) in which the change left it; of those that are gone, the last there was.
    """

    table: str
    deleted: bool
    key: int
    columns: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    seen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Capsule:
    """``parts`` in the order in which they are restored. ``made_at`` in seconds since the epoch."""

    id: str
    approval: str
    target: str
    database: str
    verb: str
    made_at: float
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """How many rows it holds."""
        return sum(len(part.rows) for part in self.parts)

    def pack(self) -> bytes:
        """As bytes, not yet encrypted. Raises NoCapsule for what :func:`unpack` would not take."""
        text = json.dumps({"version": VERSION} | asdict(self)).encode("ascii")
        if len(text) > LARGEST:
            raise NoCapsule(f"The rows that it touches are more than {LARGEST // 2**20} MiB as they are written down.")
        return zlib.compress(text)


def unpack(data: bytes) -> Capsule:
    """The inverse of :meth:`Capsule.pack`. Raises OurFault for anything else."""
    try:
        reader = zlib.decompressobj()
        text = reader.decompress(data, LARGEST)
        if reader.unconsumed_tail or not reader.eof:
            raise ValueError("it is too large, or cut off")
        document = json.loads(text)
        if document.pop("version") != VERSION:
            raise ValueError("it was made by another version of Blastwall")
        parts = tuple(_part(part) for part in document.pop("parts"))
        return Capsule(parts=parts, **document)
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as fault:
        raise OurFault(f"this is no undo capsule: {fault}") from fault


def _part(document: dict[str, Any]) -> Part:
    return Part(
        document["table"],
        bool(document["deleted"]),
        int(document["key"]),
        tuple((name, type_text) for name, type_text in document["columns"]),
        tuple(tuple(row) for row in document["rows"]),
        tuple(document["seen"]),
    )
