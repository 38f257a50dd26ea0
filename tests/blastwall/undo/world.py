"""A session that changes rows and has them kept, by hand, on a real server."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, TypeVar

import psycopg

from blastwall.model import Parameter
from blastwall.protocols.postgres.snapshot import take
from blastwall.sql.blast import Answer, Failed, Question, Situation
from blastwall.sql.parser import parse
from blastwall.sql.surroundings import Surroundings
from blastwall.undo.capsule import Capsule
from blastwall.undo.capture import SETTINGS, capture, look_again
from blastwall.undo.restore import restoring

T = TypeVar("T")


class Session:
    """One connection; ``settings`` are those it works under."""

    def __init__(self, dsn: str, settings: Mapping[str, str] = {}) -> None:
        self.connection: psycopg.Connection[Any] = psycopg.connect(dsn, autocommit=True)
        self.settings = {"search_path": "public", **settings}
        for name, value in self.settings.items():
            self.connection.execute(f"SET {name} = '{value}'".encode())
        self.look()

    def look(self) -> None:
        def ask(sql: str) -> str:
            row = self.connection.execute(sql.encode()).fetchone()
            assert row is not None
            return str(row[0])

        catalogue = take(ask)
        self.around = Surroundings(
            catalogue=catalogue, search_path=("public",), server_version=catalogue.server_version
        )

    def change(
        self,
        text: str,
        *parameters: Parameter,
        most: int = 1000,
        meanwhile: Callable[[], object] = lambda: None,
        before: str = "",
        after: str = "",
    ) -> Capsule:
        """Keep, run, look again, commit. Raises NoCapsule, and what the server says; then nothing has changed.

        ``meanwhile`` happens between the look and the change; ``before`` and ``after`` run in the same transaction.
        """
        low = self.connection.pgconn
        low.exec_(b"BEGIN")
        try:
            low.exec_(before.encode())
            kept = self._drive(capture(Situation(parse(text), self.around, parameters), most))
            meanwhile()
            result = low.exec_params(
                text.encode(), [each.value for each in parameters], [each.type_id for each in parameters]
            )
            if result.error_message:
                raise ValueError(result.error_message.decode())
            assert (result.command_tuples or 0) == kept.rows, "what was kept is what was changed"
            parts = self._drive(look_again(kept.parts))
            low.exec_(after.encode())
            done = low.exec_(b"COMMIT")
            if done.error_message:
                raise ValueError(done.error_message.decode())
        except BaseException:
            low.exec_(b"ROLLBACK")
            raise
        return Capsule("c", "a", "t", "d", "x", 0.0, parts)

    def _drive(self, questions: Generator[Question, Answer, T]) -> T:
        low = self.connection.pgconn
        answer: Answer | None = None
        try:
            while True:
                question = next(questions) if answer is None else questions.send(answer)
                given = SETTINGS if question.own else self.settings
                for name in SETTINGS:
                    value = given.get(name)
                    low.exec_(
                        f"SET LOCAL {name} = '{value}'".encode() if value else f"SET LOCAL {name} TO DEFAULT".encode()
                    )
                result = low.exec_params(
                    question.text.encode(),
                    [each.value for each in question.parameters],
                    [each.type_id for each in question.parameters],
                )
                assert not result.error_message, (question.text, result.error_message)
                answer = [tuple(result.get_value(r, c) for c in range(result.nfields)) for r in range(result.ntuples)]
                assert not isinstance(answer, Failed)
        except StopIteration as end:
            for name in SETTINGS:
                value = self.settings.get(name)
                low.exec_(
                    f"SET LOCAL {name} = '{value}'".encode() if value else f"SET LOCAL {name} TO DEFAULT".encode()
                )
            result: T = end.value
            return result

    def undo(self, capsule: Capsule) -> str:
        """Run the restoring text as one simple query; "" or the server's words."""
        text = restoring(capsule)
        return "" if not text else self.connection.pgconn.exec_(text.encode()).error_message.decode()

    def close(self) -> None:
        self.connection.close()
