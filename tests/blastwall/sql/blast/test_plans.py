"""What makes numbers uncertain is known before anything is counted."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.blastwall.sql.blast.seeing import Seer


def test_rows_that_may_move_to_another_partition_fire_other_triggers(seer: Seer, run: psycopg.Connection[Any]) -> None:
    run.execute(
        "CREATE TABLE lists (id int, k int) PARTITION BY LIST (k); CREATE TABLE rest PARTITION OF lists DEFAULT"
    )
    run.execute("CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    run.execute("CREATE TRIGGER goes AFTER DELETE ON lists FOR EACH ROW EXECUTE FUNCTION quiet()")
    run.execute("INSERT INTO lists VALUES (1, 1)")
    try:
        seer.look()
        assert seer.see("UPDATE lists SET k = 2").triggers == ("public.lists.goes",)
        assert seer.see("UPDATE lists SET id = 2").triggers == ()
    finally:
        run.execute("DROP TABLE lists; DROP FUNCTION quiet")


def test_a_key_on_a_computed_column_follows_what_it_is_computed_from(seer: Seer, run: psycopg.Connection[Any]) -> None:
    run.execute("CREATE TABLE sums (a int, twice int GENERATED ALWAYS AS (a * 2) STORED UNIQUE)")
    run.execute("CREATE TABLE uses (twice int REFERENCES sums (twice) ON UPDATE CASCADE)")
    run.execute("INSERT INTO sums VALUES (1), (2); INSERT INTO uses VALUES (2), (4)")
    try:
        seer.look()
        blast = seer.see("UPDATE sums SET a = a + 10 WHERE a = 1")
        assert (blast.rows, blast.cascaded_rows, blast.known) == (1, 1, True)
        assert str(blast.tables[1].count) == "at most"
    finally:
        run.execute("DROP TABLE uses, sums")


@pytest.mark.parametrize(
    ("make", "text", "reason"),
    [
        ("CREATE RULE r AS ON DELETE TO odd DO INSTEAD NOTHING", "DELETE FROM odd", "Rules"),
        ("CREATE MATERIALIZED VIEW odd_m AS TABLE odd", "DELETE FROM odd_m", "no table"),
        ("CREATE VIEW odd_v AS SELECT o.id FROM odd AS o, goods", "DELETE FROM odd_v", "more than one table"),
        ("CREATE VIEW odd_v AS SELECT DISTINCT id FROM odd", "DELETE FROM odd_v", "code of the database"),
    ],
)
def test_what_other_code_changes_is_unknown(
    seer: Seer, run: psycopg.Connection[Any], make: str, text: str, reason: str
) -> None:
    run.execute("CREATE TABLE odd (id int)")
    run.execute(make.encode())
    try:
        seer.look()
        blast = seer.see(text)
        assert not blast.known and reason in " ".join(blast.reasons)
    finally:
        run.execute("DROP TABLE odd CASCADE")
