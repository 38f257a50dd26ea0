"""Where foreign keys lead: rows that two ways lead to count once, rings end, and order that decides is said."""

from __future__ import annotations

import random
from typing import Any

import psycopg
import pytest

from blastwall.blast import Count
from blastwall.sql.blast.flow import MOST_NODES, Start, _groups, flow
from blastwall.sql.blast.terrain import Key, Table, Terrain
from tests.blastwall.sql.blast.seeing import Seer


@pytest.fixture
def place(run: psycopg.Connection[Any]) -> Any:
    run.execute("CREATE SCHEMA place; SET search_path = place, public")
    yield run
    run.execute("DROP SCHEMA place CASCADE; SET search_path = public")


def test_a_row_that_two_ways_lead_to_counts_once(place: psycopg.Connection[Any], seer: Seer) -> None:
    place.execute("CREATE TABLE top (id int PRIMARY KEY)")
    for side in ("left", "right"):
        place.execute(
            f"CREATE TABLE {side}_side (id int PRIMARY KEY, up int REFERENCES top ON DELETE CASCADE)".encode()
        )
    place.execute(
        "CREATE TABLE low (l int REFERENCES left_side ON DELETE CASCADE, r int REFERENCES right_side ON DELETE CASCADE)"
    )
    place.execute(
        "INSERT INTO top VALUES (1); INSERT INTO left_side VALUES (1, 1); INSERT INTO right_side VALUES (1, 1)"
    )
    place.execute("INSERT INTO low VALUES (1, 1), (1, NULL), (NULL, 1), (NULL, NULL)")
    seer.look()
    blast = seer.see("DELETE FROM place.top")
    assert {each.table: each.rows for each in blast.tables} == {
        "place.top": 1, "place.left_side": 1, "place.right_side": 1, "place.low": 3,
    }  # fmt: skip
    assert (blast.cascaded_rows, blast.known) == (5, True)


def test_a_ring_of_tables_ends(place: psycopg.Connection[Any], seer: Seer) -> None:
    place.execute(
        "CREATE TABLE one (id int PRIMARY KEY, two int); CREATE TABLE two (id int PRIMARY KEY, one int REFERENCES one ON DELETE CASCADE)"
    )
    place.execute(
        "ALTER TABLE one ADD FOREIGN KEY (two) REFERENCES two ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED"
    )
    place.execute(
        "BEGIN; INSERT INTO one SELECT g, g FROM generate_series(1, 9) AS g; INSERT INTO two SELECT g, g % 9 + 1 FROM generate_series(1, 9) AS g; COMMIT"
    )
    seer.look()
    blast = seer.see("DELETE FROM place.one WHERE id = 1")
    assert (blast.rows, blast.cascaded_rows, blast.known) == (1, 17, True)
    with place.transaction(force_rollback=True):
        place.execute("DELETE FROM one WHERE id = 1")
        assert place.execute("SELECT (SELECT count(*) FROM one), (SELECT count(*) FROM two)").fetchone() == (0, 0)


def test_keys_that_share_columns_are_upper_bounds(place: psycopg.Connection[Any], seer: Seer) -> None:
    place.execute("CREATE TABLE a (x int, y int, PRIMARY KEY (x, y)); CREATE TABLE b (x int PRIMARY KEY)")
    place.execute("ALTER TABLE a ADD FOREIGN KEY (x) REFERENCES b ON DELETE CASCADE")
    place.execute(
        "CREATE TABLE c (x int REFERENCES b ON DELETE SET NULL, y int, FOREIGN KEY (x, y) REFERENCES a ON DELETE CASCADE)"
    )
    place.execute("INSERT INTO b VALUES (1); INSERT INTO a VALUES (1, 1); INSERT INTO c VALUES (1, 1)")
    seer.look()
    blast = seer.see("DELETE FROM place.b WHERE x = 1")
    assert {each.count for each in blast.tables if each.table == "place.c"} == {Count.AT_MOST}
    assert blast.known and any("share columns" in reason for reason in blast.reasons)


def test_columns_that_only_some_of_which_are_cleared(place: psycopg.Connection[Any], seer: Seer) -> None:
    place.execute("CREATE TABLE a (x int, y int, PRIMARY KEY (x, y)); INSERT INTO a VALUES (1, 1), (1, 2)")
    place.execute("CREATE TABLE b (x int, y int, UNIQUE (x), FOREIGN KEY (x, y) REFERENCES a ON DELETE SET NULL (y))")
    place.execute(
        "CREATE TABLE c (x int REFERENCES b (x) ON UPDATE CASCADE); INSERT INTO b VALUES (1, 2); INSERT INTO c VALUES (1)"
    )
    seer.look()
    blast = seer.see("DELETE FROM place.a")
    assert {each.table: each.rows for each in blast.tables} == {"place.a": 2, "place.b": 1}  # b.x stays, so c does


def test_keys_whose_triggers_are_off_are_not_guessed_about(place: psycopg.Connection[Any], seer: Seer) -> None:
    place.execute("CREATE TABLE a (x int PRIMARY KEY); CREATE TABLE b (x int REFERENCES a ON DELETE CASCADE)")
    place.execute("ALTER TABLE a DISABLE TRIGGER ALL")
    seer.look()
    blast = seer.see("DELETE FROM place.a")
    assert not blast.known and any("switched off" in reason for reason in blast.reasons)


def test_more_places_than_anybody_would_read_are_unknown() -> None:
    tables = {number: _table(number) for number in range(MOST_NODES + 3)}
    keys = tuple(
        Key(number, f"k{number}", number + 1, number, ("a",), ("a",), (("pg_catalog", "="),), "c", "a", (), True)
        for number in range(MOST_NODES + 2)
    )
    found = flow(Start((0,), True), Terrain(tables, keys, ()))
    assert any("more than" in reason for reason in found.unfollowed)


def _table(number: int) -> Table:
    return Table(number, number, "s", f"t{number}", "r", False, False, False, (), False, True, False, False, 0, 0)


def test_components_come_before_those_they_lead_to() -> None:
    for seed in range(200):
        dice = random.Random(seed)
        count = dice.randint(1, 9)
        edges = [(dice.randrange(count), dice.randrange(count)) for _ in range(dice.randint(0, 14))]
        groups = _groups(range(count), edges)
        assert sorted(number for group in groups for number in group) == list(range(count))
        place = {number: index for index, group in enumerate(groups) for number in group}
        reach = {number: {number} for number in range(count)}
        for _ in range(count):
            for source, target in edges:
                for number in range(count):
                    if source in reach[number]:
                        reach[number].add(target)
        for one in range(count):
            for other in range(count):
                together = other in reach[one] and one in reach[other]
                assert (place[one] == place[other]) == together, (seed, edges)
                if other in reach[one] and not together:
                    assert place[one] < place[other], (seed, edges)
