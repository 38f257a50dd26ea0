"""Rows of the gateway's own questions: collected across runs, up to a limit, and not a byte kept beyond it."""

from __future__ import annotations

from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.answers import ROW
from blastwall.protocols.postgres.reply import Reply
from blastwall.protocols.postgres.upstream import Run


def test_rows_are_put_together_from_their_parts() -> None:
    reply = Reply(100)
    first, second = messages.data_row((b"a", None)), messages.data_row((b"bc", b""))
    reply.take(Run(ROW, first[:7], 1, True))
    assert reply.rows == []
    reply.take(Run(ROW, first[7:] + second, 1, False))
    assert reply.rows == [(b"a", None), (b"bc", b"")] and not reply.too_much


def test_beyond_the_limit_nothing_is_kept() -> None:
    row = messages.data_row((b"x" * 30,))
    reply = Reply(2 * len(row))
    for _ in range(2):
        reply.take(Run(ROW, row, 1, False))
    assert len(reply.rows) == 2 and not reply.too_much
    reply.take(Run(ROW, row[:5], 1, True))
    assert reply.too_much and reply.rows == []
    reply.take(Run(ROW, row[5:], 0, False))
    assert reply.rows == []
