"""Errors of the gateway's own in the place of a server's answers.

After a refusal the server's own transaction must fail too: where one is open, or part of a batch is already on its way,
the gateway sends a message that cannot succeed and puts its refusal in the place of the server's error.
"""

from __future__ import annotations

from collections.abc import Callable

from blastwall.model import Chunk, Denial, DenialCode, Statement, StatementKind
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.answers import IDLE, Expected, Step
from blastwall.protocols.postgres.classify import Finding
from blastwall.protocols.postgres.legs import POISON, POISON_NAME, Legs
from blastwall.protocols.postgres.refusal import refusal


class Failing:
    """Fails what a client asks of one connection. ``find`` tells what a text was found to be."""

    def __init__(self, legs: Legs, find: Callable[[str], Finding]) -> None:
        self._legs = legs
        self._find = find
        self._names = legs.answers.names

    def fail_with(self, code: str, message: str) -> None:
        self.fail(messages.error_response("ERROR", code, message), 0)

    def fail(self, error: bytes, number: int) -> None:
        """An error inside an extended batch: the client is to send Sync, and everything before it is discarded."""
        legs = self._legs
        if legs.answers.status == IDLE and legs.answers.at_rest:
            legs.local.append(Chunk(error, number, error="refused"))
            legs.answers.skipping = True
        else:
            legs.stage(messages.parse(POISON_NAME, POISON, ()))
            legs.answers.expect(Expected(Step.POISON, number, replacement=error))
        legs.down.skip_to_sync()

    def answer_query(self, error: bytes, number: int) -> None:
        """An error in the place of a simple query's answer."""
        legs = self._legs
        self._names.unprepare("")
        if legs.answers.status == IDLE and legs.answers.at_rest:
            legs.local.append(Chunk(error + messages.ready_for_query(b"I"), number, error="refused"))
        else:
            legs.stage(messages.query(POISON))
            legs.answers.expect(Expected(Step.QUERY, number, replacement=error))

    def refuse_query(self, statement: Statement, denial: Denial) -> None:
        """Answer a simple query with a refusal."""
        self.answer_query(refusal(denial, position=self._place(statement, denial)), statement.number)

    def refuse_extended(self, statement: Statement, denial: Denial) -> None:
        """Answer a Parse or a Bind with a refusal."""
        if statement.kind is StatementKind.PREPARE and not statement.name:
            self._names.unprepare("")  # a failed Parse leaves no unnamed statement behind
        self.fail(refusal(denial, position=self._place(statement, denial)), statement.number)

    def _place(self, statement: Statement, denial: Denial) -> int:
        """The character (from 1) at which the statement could not be read; 0 where that is not why it is refused."""
        error = self._find(statement.text).error if denial.code is DenialCode.UNKNOWN else None
        return error.position if error is not None and error.reason in denial.reason else 0
