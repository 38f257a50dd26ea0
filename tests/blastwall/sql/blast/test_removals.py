"""TRUNCATE and DROP: all the rows, whatever hangs on them, and no way back."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.blastwall.sql.blast.seeing import Seer


def test_truncate_takes_all_rows_or_is_refused(seer: Seer) -> None:
    alone = seer.see("TRUNCATE notes")
    assert (alone.rows, alone.cascaded_rows, alone.blocked, alone.irreversible, alone.known) == (50, 0, (), True, True)
    refused = seer.see("TRUNCATE goods, notes")
    assert (refused.rows, refused.blocked) == (150, ("It is refused by kept_good_fkey: public.kept refers to it.",))
    wide = seer.see("TRUNCATE makers CASCADE")
    assert (wide.rows, wide.cascaded_rows, wide.blocked) == (10, 151, ())
    assert {each.table for each in wide.locks} == {"public.makers", "public.goods", "public.notes", "public.kept"}
    assert {each.mode for each in wide.locks} == {"access exclusive"}


def test_drop_tells_what_depends_on_it(seer: Seer, run: psycopg.Connection[Any]) -> None:
    run.execute(
        "CREATE VIEW names AS SELECT name FROM makers; CREATE VIEW upper_names AS SELECT upper(name) FROM names"
    )
    run.execute(
        "CREATE FUNCTION first_name() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT name FROM names LIMIT 1; END"
    )
    try:
        seer.look()
        refused = seer.see("DROP TABLE makers")
        assert refused.blocked == ("It is refused: other objects depend on it.",)
        assert refused.dependents == (
            "constraint goods_maker_fkey on table public.goods",
            "constraint notes_by_maker_fkey on table public.notes",
            "function public.first_name()",
            "view public.names",
            "view public.upper_names",
        )
        gone = seer.see("DROP TABLE makers CASCADE")
        assert (gone.rows, gone.blocked, gone.irreversible, gone.known) == (10, (), True, True)
        assert gone.dependents == refused.dependents
        view = seer.see("DROP VIEW upper_names")
        assert (view.rows, view.dependents, view.blocked, view.known) == (0, (), (), True)
    finally:
        run.execute("DROP VIEW names CASCADE")


def test_dropping_a_schema_takes_its_tables(seer: Seer, run: psycopg.Connection[Any]) -> None:
    run.execute("CREATE SCHEMA attic; CREATE TABLE attic.box AS SELECT generate_series(1, 7)")
    try:
        seer.look()
        blast = seer.see("DROP SCHEMA attic CASCADE")
        assert (blast.rows, blast.cascaded_rows, blast.dependents) == (0, 7, ("table attic.box",))
        assert seer.see("DROP SCHEMA attic").blocked
    finally:
        run.execute("DROP SCHEMA attic CASCADE")


def test_a_type_takes_the_columns_that_have_it(seer: Seer, run: psycopg.Connection[Any]) -> None:
    run.execute("CREATE TYPE mood AS ENUM ('glad'); CREATE TABLE people (id int, mood mood)")
    try:
        seer.look()
        assert seer.see("DROP TYPE mood CASCADE").dependents == ("column mood of table public.people",)
    finally:
        run.execute("DROP TABLE people; DROP TYPE mood")


def test_partitions_go_with_their_table_and_count_once(seer: Seer, run: psycopg.Connection[Any]) -> None:
    run.execute("CREATE TABLE parts (id int) PARTITION BY RANGE (id)")
    run.execute("CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (10)")
    run.execute("CREATE TABLE parts_rest PARTITION OF parts DEFAULT; INSERT INTO parts SELECT generate_series(1, 30)")
    try:
        seer.look()
        assert seer.see("TRUNCATE parts").rows == 30
        assert seer.see("TRUNCATE parts_low").rows == 9
        dropped = seer.see("DROP TABLE parts")
        assert (dropped.rows, dropped.cascaded_rows, dropped.blocked) == (30, 0, ())
    finally:
        run.execute("DROP TABLE parts")


def test_what_is_not_there_takes_nothing(seer: Seer) -> None:
    blast = seer.see("DROP TABLE IF EXISTS nobody")
    assert (blast.known, blast.rows, blast.irreversible) == (True, 0, False)


def test_other_kinds_are_unknown(seer: Seer) -> None:
    blast = seer.see("DROP FUNCTION fickle(int)")
    assert (blast.known, blast.irreversible) == (False, True)


@pytest.mark.parametrize("text", ["TRUNCATE notes", "DROP TABLE notes"])
def test_what_the_session_has_not_committed_is_not_in_the_count(seer: Seer, text: str) -> None:
    blast = seer.see(text, changed=True)
    assert (blast.known, blast.rows) == (False, 50)
