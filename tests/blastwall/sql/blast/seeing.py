"""Driving a foreseeing by hand: a connection of its own asks, in a transaction that only reads."""

from __future__ import annotations

import psycopg

from blastwall.blast import Blast
from blastwall.model import Parameter
from blastwall.protocols.postgres.snapshot import take
from blastwall.sql.blast import Answer, Failed, Foreseeing, Named, Question, Situation, foresee
from blastwall.sql.catalogue import Catalogue
from blastwall.sql.parser import parse
from blastwall.sql.surroundings import Surroundings


class Seer:
    """Foresees texts in one database, as one role. ``asked`` are the questions of the last text."""

    def __init__(self, dsn: str, *, role: str = "") -> None:
        self._connection = psycopg.connect(dsn, autocommit=True)
        if role:
            self._connection.execute(f'SET SESSION AUTHORIZATION "{role}"')
        self.asked: list[Question] = []
        self.slow = False  # whether every question of a statement's own part runs out of time
        self.refuse = ""  # questions that hold this fail
        self.surroundings = Surroundings()
        self.prepared: dict[str, Named] = {}
        self.look()

    def look(self) -> None:
        """Read the catalogue."""

        def ask(sql: str) -> str:
            row = self._connection.execute(sql).fetchone()
            assert row is not None
            return str(row[0])

        catalogue: Catalogue = take(ask)
        version = catalogue.server_version
        path = catalogue.search_path_default
        self.surroundings = Surroundings(catalogue=catalogue, search_path=path, server_version=version)

    def see(self, text: str, *parameters: Parameter, changed: bool = False) -> Blast:
        """What the text would do."""
        self.asked = []
        return self.drive(foresee(Situation(parse(text), self.surroundings, parameters, changed, self.prepared.get)))

    def prepare(self, name: str, text: str, *types: int) -> None:
        """From now on the name stands for the text."""
        self.prepared[name] = Named(parse(text), parse(text), types)

    def drive(self, foreseeing: Foreseeing) -> Blast:
        answer: Answer | None = None
        try:
            while True:
                question = next(foreseeing) if answer is None else foreseeing.send(answer)
                self.asked.append(question)
                answer = self._answer(question)
        except StopIteration as end:
            blast: Blast = end.value
            return blast

    def _answer(self, question: Question) -> Answer:
        if self.slow and not question.own and not question.text.startswith("EXPLAIN"):
            return Failed("57014", "canceling statement due to statement timeout")
        if self.refuse and self.refuse in question.text:
            return Failed("57014", "canceling statement due to statement timeout")
        low = self._connection.pgconn
        low.exec_(b"BEGIN TRANSACTION READ ONLY; SET LOCAL statement_timeout = '20s'")
        if question.own:
            low.exec_(b"SET LOCAL search_path = pg_catalog, pg_temp")
        try:
            result = low.exec_params(
                question.text.encode(),
                [each.value for each in question.parameters],
                [each.type_id for each in question.parameters],
                [int(each.binary) for each in question.parameters],
            )
            if result.error_message:
                code = (result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"").decode()
                return Failed(code, result.error_message.decode())
            return [
                tuple(result.get_value(row, column) for column in range(result.nfields))
                for row in range(result.ntuples)
            ]
        finally:
            low.exec_(b"ROLLBACK")

    def close(self) -> None:
        self._connection.close()
