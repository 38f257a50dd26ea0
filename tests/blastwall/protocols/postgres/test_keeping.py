"""Keeping rows on a session's own connection: on a real server, whose settings are as they were afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest

from blastwall.errors import OurFault
from blastwall.local.capsules import LocalCapsules
from blastwall.model import Statement
from blastwall.protocols.postgres import inner, messages
from blastwall.protocols.postgres.keeping import Keeper, Place
from blastwall.protocols.postgres.reply import Row
from blastwall.protocols.postgres.snapshot import take
from blastwall.sql.parser import parse
from blastwall.sql.surroundings import Surroundings
from blastwall.undo import capsule as capsules
from blastwall.undo.capsule import unpack
from blastwall.undo.capture import SETTINGS
from rig.postgres import EmbeddedPostgres

TABLES = """
CREATE TABLE towns (id int PRIMARY KEY, name text);
CREATE TABLE streets (id int PRIMARY KEY, town int REFERENCES towns ON DELETE CASCADE, name text);
INSERT INTO towns VALUES (1, 'Aachen'), (2, 'Bonn');
INSERT INTO streets VALUES (1, 1, 'Am Markt'), (2, 1, 'Am Dom');
CREATE TABLE keyless (id int)
"""
THEIRS = {
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "postgres_verbose",
    "bytea_output": "escape",
    "extra_float_digits": "0",
}


class Session:
    """Stands for the connection: what is asked of :func:`inner.ask` is run on it, in its open transaction."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        for name, value in THEIRS.items():
            connection.execute(f"SET {name} = '{value}'".encode())
        connection.execute("SET search_path = public")
        catalogue = take(lambda sql: str(connection.execute(sql.encode()).fetchone()[0]))  # type: ignore[index]
        self._around = Surroundings(
            catalogue=catalogue, search_path=("public",), server_version=catalogue.server_version
        )

    def find(self, text: str) -> Any:
        return SimpleNamespace(tree_of=parse, masked=None)

    def place(self) -> tuple[Surroundings, str, tuple[str, ...]]:
        return self._around, "me", ("public",)

    def settings(self) -> dict[str, str]:
        return {name: self.connection.execute(f"SHOW {name}".encode()).fetchone()[0] for name in SETTINGS}  # type: ignore[index]

    async def ask(
        self,
        legs: object,
        sql: str,
        *,
        types: Sequence[int] = (),
        values: Sequence[bytes | None] = (),
        formats: Sequence[int] = (),
        sync: bool = False,
    ) -> list[Row]:
        result = self.connection.pgconn.exec_params(sql.encode(), values, types or None)
        if result.error_message:
            code = (result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"").decode()
            raise inner.Refused(messages.error_response("ERROR", code, "no"), {"C": code})
        return [tuple(result.get_value(r, c) for c in range(result.nfields)) for r in range(result.ntuples)]


@pytest.fixture
def session(postgres17: EmbeddedPostgres, database17: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    with psycopg.connect(postgres17.dsn(database17), autocommit=True) as connection:
        connection.execute(b"DROP SCHEMA public CASCADE; CREATE SCHEMA public;" + TABLES.encode())
        made = Session(connection)
        monkeypatch.setattr(inner, "ask", made.ask)
        yield made


@pytest.fixture
def keeper(session: Session, tmp_path: Path) -> Keeper:
    return keeping(session, tmp_path)


def keeping(session: Session, state: Path) -> Keeper:
    place = Place("shop", "towns")
    return Keeper(cast(Any, None), cast(Any, session), LocalCapsules(state), place, lambda: 17.0)


async def change(session: Session, keeper: Keeper, text: str, most: int = 10) -> tuple[str, str] | str:
    """Keep, run and keep; what came of it. The settings that hold in between are the session's."""
    theirs = session.settings()
    with session.connection.transaction():
        kept = await keeper.before(Statement(text), most, sync=True)
        assert session.settings() == theirs, "the statement means what it means under its own settings"
        rows = session.connection.execute(text.encode()).rowcount
        after = kept if isinstance(kept, str) else await keeper.after(kept, rows, "a-1", "delete")
        assert session.settings() == theirs
    return after


async def test_what_was_there_is_sealed_under_the_approvals_name(
    session: Session, keeper: Keeper, tmp_path: Path
) -> None:
    name, why = cast(tuple[str, str], await change(session, keeper, "DELETE FROM towns WHERE id = 1"))
    assert why == "" and name.startswith("a-1-")
    assert b"Aachen" not in (tmp_path / "undo" / name).read_bytes()
    content = await LocalCapsules(tmp_path).open(name)
    assert content is not None
    found = unpack(content)
    assert (found.id, found.approval, found.target, found.database, found.made_at) == (
        name,
        "a-1",
        "shop",
        "towns",
        17.0,
    )
    assert [(part.table, len(part.rows)) for part in found.parts] == [
        ('"public"."towns"', 1),
        ('"public"."streets"', 2),
    ]


@pytest.mark.parametrize(
    ("text", "most", "why"),
    [
        ("DELETE FROM towns", 1, "than are kept (1)"),
        ("DELETE FROM towns", 3, "than are kept (3)"),
        ("DELETE FROM keyless", 5, "no primary key"),
        ("DELETE FROM towns WHERE random() < 2", 5, "answer otherwise"),
        ("UPDATE towns SET id = 5 WHERE id = 2", 5, "primary key"),
    ],
)
async def test_what_cannot_be_kept_is_said_and_runs_under_its_own_settings(
    session: Session, keeper: Keeper, text: str, most: int, why: str
) -> None:
    told = await change(session, keeper, text, most)
    assert isinstance(told, str) and why in told


async def test_rows_that_are_too_large_do_not_end_the_session(
    session: Session, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inner, "MOST_BYTES", 2_000)
    session.connection.execute("INSERT INTO towns SELECT i, repeat('x', 900) FROM generate_series(10, 13) i")
    told = await change(session, keeper, "DELETE FROM towns WHERE id = 10")
    assert isinstance(told, tuple) and told[0]
    told = await change(session, keeper, "DELETE FROM towns WHERE id > 10")
    assert isinstance(told, str) and "MiB" in told


async def test_what_would_not_open_again_is_not_kept(
    session: Session, keeper: Keeper, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(capsules, "LARGEST", 200)
    name, why = cast(tuple[str, str], await change(session, keeper, "DELETE FROM towns WHERE id = 1"))
    assert name == "" and "MiB" in why and await LocalCapsules(tmp_path).names("") == []


async def test_another_number_of_rows_than_was_read_is_not_kept(session: Session, keeper: Keeper) -> None:
    with session.connection.transaction():
        kept = await keeper.before(Statement("DELETE FROM towns WHERE id = 1"), 5, sync=True)
        assert not isinstance(kept, str)
        assert await keeper.after(kept, 2, "a-1", "delete") == (
            "",
            "Other transactions changed rows that it touches while they were kept.",
        )


async def test_no_row_needs_no_capsule(session: Session, keeper: Keeper, tmp_path: Path) -> None:
    assert await change(session, keeper, "DELETE FROM towns WHERE id = 77") == ("", "It touched no row.")
    assert await LocalCapsules(tmp_path).names("") == []


async def test_a_lock_that_somebody_holds_is_the_statements_error(
    session: Session, keeper: Keeper, postgres17: EmbeddedPostgres, database17: str
) -> None:
    session.connection.execute("SET lock_timeout = '50ms'")
    with psycopg.connect(postgres17.dsn(database17)) as other:
        other.execute("SELECT FROM towns WHERE id = 1 FOR UPDATE")
        with pytest.raises(inner.Refused) as refused, session.connection.transaction():
            await keeper.before(Statement("DELETE FROM towns WHERE id = 1"), 5, sync=True)
    assert refused.value.code == "55P03"


async def test_a_store_that_does_not_answer_is_not_waited_for_with_the_rows_locked(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stuck(LocalCapsules):
        async def keep(self, name: str, content: bytes) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr("blastwall.protocols.postgres.keeping.STORE_SECONDS", 0.05)
    keeper = Keeper(cast(Any, None), cast(Any, session), Stuck(tmp_path), Place("shop", "towns"), lambda: 17.0)
    with pytest.raises(OurFault, match="was not stored"):
        await change(session, keeper, "DELETE FROM towns WHERE id = 1")
