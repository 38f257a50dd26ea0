"""The server's description of its tables is read whole or not at all."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from blastwall.errors import UpstreamFault
from blastwall.sql.blast.terrain import DELETE, INSERT, UPDATE, Trigger, around, gone, read, read_gone
from rig.postgres import EmbeddedPostgres


def answer(connection: psycopg.Connection[Any], *names: str) -> str:
    oids = [connection.execute("SELECT %s::regclass::oid::int", (name,)).fetchone()[0] for name in names]  # type: ignore[index]  # one row
    with connection.transaction(force_rollback=True):
        connection.execute("SET LOCAL search_path = pg_catalog, pg_temp")
        return str(connection.execute(around(oids).encode()).fetchone()[0])  # type: ignore[index]


def test_keys_lead_on_to_whatever_they_can_reach_and_no_further(run: psycopg.Connection[Any]) -> None:
    terrain = read(answer(run, "goods"))
    assert {table.name for table in terrain.tables.values()} == {"goods", "notes", "kept"}
    assert [table.name for table in terrain.named] == ["goods"]
    key = next(key for key in terrain.keys if key.name == "notes_good_fkey")
    assert (key.columns, key.referenced, key.operators) == (("good",), ("id",), (("pg_catalog", "="),))
    assert (key.on_delete, key.on_update, key.enforced) == ("n", "a", True)
    assert {key.name for key in terrain.onto(terrain.named[0].root)} == {"notes_good_fkey", "kept_good_fkey"}


def test_partitions_are_one_family(run: psycopg.Connection[Any]) -> None:
    run.execute("CREATE TABLE split (id int, k int) PARTITION BY LIST (k)")
    run.execute("CREATE TABLE split_1 PARTITION OF split FOR VALUES IN (1) PARTITION BY RANGE ((id % 7))")
    terrain = read(answer(run, "split"))
    assert {table.root for table in terrain.tables.values()} == {terrain.named[0].root}
    assert set(terrain.named[0].splits) == {"k", "*"}
    run.execute("DROP TABLE split")


@pytest.mark.parametrize("major", [17, 18])
def test_every_supported_server_answers(major: int, request: pytest.FixtureRequest) -> None:
    server: EmbeddedPostgres = request.getfixturevalue(f"postgres{major}")
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(
            "DROP TABLE IF EXISTS asked; CREATE TABLE asked (id int PRIMARY KEY, up int REFERENCES asked)"
        )
        assert [table.name for table in read(answer(connection, "asked")).named] == ["asked"]
        connection.execute("SET search_path = pg_catalog, pg_temp")
        text = gone(["('pg_class'::regclass::oid, 'public.asked'::regclass::oid, 0)"])
        found = read_gone(str(connection.execute(text.encode()).fetchone()[0]))  # type: ignore[index]  # one row
        assert len(found.tables) == 1
        connection.execute("DROP TABLE public.asked")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"relations": [{}], "keys": [], "triggers": []}'])
def test_another_answer_is_the_servers_fault(text: str) -> None:
    with pytest.raises(UpstreamFault):
        read(text)
    with pytest.raises(UpstreamFault):
        read_gone(text)


def test_a_key_without_its_tables_is_refused() -> None:
    key = {
        "oid": 1, "name": "k", "child": 5, "parent": 6, "columns": ["a"], "referenced": ["a"], "operators": [["s", "="]],
        "on_delete": "a", "on_update": "a", "cleared": [], "enforced": True,
    }  # fmt: skip
    with pytest.raises(UpstreamFault, match="not there"):
        read(json.dumps({"relations": [], "keys": [key], "triggers": []}))


def test_triggers_fire_for_their_events_and_columns() -> None:
    trigger = Trigger(1, "s.t.x", UPDATE | DELETE, False, ("a", "b"))
    assert trigger.fires(DELETE) and not trigger.fires(INSERT)
    assert trigger.fires(UPDATE, frozenset({"b", "c"})) and not trigger.fires(UPDATE, frozenset({"c"}))
    assert trigger.fires(UPDATE, None)
