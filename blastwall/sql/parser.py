"""PostgreSQL text to parse trees: the only door to the grammar (libpg_query, PostgreSQL 18).

Nothing here decides what a statement may do. It decides only whether the text can be understood safely: a text that
cannot is :class:`Unparsed`, and whoever asks treats that as unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from blastwall.errors import ClientFault


class Unparsed(ClientFault):
    """A text the gateway does not understand. ``reason`` is one sentence, safe to show.

    For a syntax error ``message`` is the server-like message ('syntax error at or near "FORM"'), ``position`` the
    1-based character position in the text (0: unknown) and ``code`` the SQLSTATE the server would give; for a text
    refused by a limit ``message`` equals ``reason`` and ``code`` is 54000 (program limit exceeded).
    """

    def __init__(self, reason: str, *, message: str = "", position: int = 0, code: str = "42601") -> None:
        super().__init__(reason)
        self.reason = reason
        self.message = message or reason
        self.position = position
        self.code = code


@dataclass(frozen=True, slots=True)
class Tree:
    """One parsed text.

    ``result`` is postgast's ``pg_query_pb2.ParseResult``; ``statements`` its ``RawStmt`` messages (``.stmt`` is a Node;
    ``.stmt_location``/``.stmt_len`` are byte offsets into the UTF-8 text, length 0 meaning "to the end"); empty for an
    empty text or only comments. ``fingerprint`` is 16 hex digits, equal for texts that differ only in literals.
    ``modern_numbers`` tells that the text holds a number such as 0x1F or 1_000, which servers before 16 read
    differently. Trees can be 20,000 levels deep: walk them iteratively, never by recursion, and never ``repr`` them.
    """

    text: str
    result: Any
    statements: tuple[Any, ...]
    fingerprint: str
    modern_numbers: bool = False


def parse(text: str) -> Tree:
    """Parse ``text`` (one or more statements). Small texts parse in this process, others in a killable worker.

    Blocks for at most the worker's deadline (see limits.toml). Raises :class:`Unparsed`, and nothing else, for whatever
    cannot be understood: over a limit, NUL, a byte order mark, lone surrogates, a syntax error, a worker that died.
    """
    raise NotImplementedError


async def parse_async(text: str) -> Tree:
    """As :func:`parse`, but a slow parse does not hold up the event loop."""
    raise NotImplementedError


def deparse(tree: Any) -> str:
    """The canonical SQL text of a ``ParseResult``. Large ones in the worker. Raises :class:`Unparsed`."""
    raise NotImplementedError
