"""PostgreSQL text to parse trees: the only door to the grammar (libpg_query, PostgreSQL 18).

Nothing here decides what a statement may do. It decides only whether the text can be understood safely: a text that
cannot is :class:`Unparsed`, and whoever asks treats that as unknown.

The reading is the server's only while its lexer is in its usual state: client_encoding UTF8 and
standard_conforming_strings on. The gateway pins both.
"""

from __future__ import annotations

from blastwall.sql import grammar, worker
from blastwall.sql.grammar import Message, Unparsed
from blastwall.sql.limits import LIMITS, excess

__all__ = ["Tree", "Unparsed", "deparse", "parse", "parse_async"]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Tree:
    """One parsed text.

    ``result`` is libpg_query's protobuf message; ``statements`` its ``RawStmt`` messages (``.stmt`` is a Node;
    ``.stmt_location``/``.stmt_len`` are byte offsets into the UTF-8 text, length 0 meaning "to the end"); none for a
    text of white space and comments. A tree can be 40,000 messages deep: walk it iteratively; ``repr``, ``==``,
    ``CopyFrom`` and ``SerializeToString`` recurse and can overflow the stack.
    """

    __slots__ = ("_fingerprint", "_modern_numbers", "result", "statements", "text")

    def __init__(
        self, text: str, result: Message, fingerprint: str | None = None, modern_numbers: bool | None = None
    ) -> None:
        self.text = text
        self.result = result
        self.statements: tuple[Message, ...] = tuple(result.stmts)
        self._fingerprint = fingerprint
        self._modern_numbers = modern_numbers

    @property
    def fingerprint(self) -> str:
        """16 hex digits, equal for texts that differ only in literals, and blind below 100 levels.

        Use it to group statements, never to bind a decision. Found on first use in texts parsed in process.
        """
        if self._fingerprint is None:
            self._fingerprint = grammar.fingerprint(self.text.encode("utf-8"))
        return self._fingerprint

    @property
    def modern_numbers(self) -> bool:
        """Whether the text holds a number such as 0x1F or 1_000, which servers before 16 read differently."""
        if self._modern_numbers is None:
            self._modern_numbers = grammar.modern_numbers(self.text.encode("utf-8"))
        return self._modern_numbers


def parse(text: str) -> Tree:
    """Parse ``text`` (one or more statements). Small texts parse in this process, others in a killable worker.

    Blocks for at most the worker's deadline (``limits.toml``). Raises :class:`Unparsed`, and nothing else, for whatever
    cannot be understood: over a limit, NUL, a byte order mark, lone surrogates, a syntax error, a worker that died.
    """
    raw = _admit(text)
    if len(raw) > LIMITS.parse_inline_bytes:
        return _tree(text, worker.shared().parse(raw))
    return _parse_inline(text, raw)


async def parse_async(text: str) -> Tree:
    """As :func:`parse`, but a text that needs the worker does not hold up the event loop."""
    raw = _admit(text)
    if len(raw) > LIMITS.parse_inline_bytes:
        return _tree(text, await worker.shared().parse_async(raw))
    return _parse_inline(text, raw)


def deparse(tree: Tree) -> str:
    """The canonical SQL text of ``tree.result``, which the caller may have changed. Raises :class:`Unparsed`.

    Blocks. Trees of large texts (``tree.text`` is only looked at to tell) are deparsed in the worker.
    """
    if len(tree.text) <= LIMITS.deparse_inline_bytes:
        return grammar.deparse(tree.result.SerializeToString())
    return worker.shared().deparse(grammar.deep(tree.result.SerializeToString))


def _admit(text: str) -> bytes:
    if len(text) > LIMITS.text_bytes:
        raise Unparsed(f"The statement is longer than {LIMITS.text_bytes} bytes.", code="54000")
    try:
        raw = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Unparsed("The statement is not valid Unicode text.", code="22021") from error
    if b"\0" in raw:
        raise Unparsed("The statement contains a NUL character.", code="22021")
    if raw.startswith(_BYTE_ORDER_MARK):
        raise Unparsed("The statement begins with a byte order mark.", position=1)
    if len(raw) > LIMITS.text_bytes:
        raise Unparsed(f"The statement is longer than {LIMITS.text_bytes} bytes.", code="54000")
    return raw


def _parse_inline(text: str, raw: bytes) -> Tree:
    over = excess(raw)
    if over is not None:
        raise Unparsed(over, code="54000")
    return Tree(text, grammar.decode_shallow(grammar.parse(raw)))


def _tree(text: str, parsed: worker.Parsed) -> Tree:
    return Tree(text, grammar.decode(parsed.data), parsed.fingerprint, parsed.modern_numbers)
