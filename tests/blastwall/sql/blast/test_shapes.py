"""Changes of shape: which lock, how many rows are written anew, and what is lost."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from blastwall.sql.blast.shapes import shapes
from blastwall.sql.tree import pb
from tests.blastwall.sql.blast.seeing import Seer


@pytest.mark.parametrize(
    ("text", "lock", "rows", "irreversible"),
    [
        ("ALTER TABLE goods ADD COLUMN extra text", "access exclusive", 0, False),
        ("ALTER TABLE goods ADD COLUMN extra int DEFAULT 7", "access exclusive", 0, False),
        ("ALTER TABLE goods ADD COLUMN extra timestamptz DEFAULT clock_timestamp()", "access exclusive", 100, False),
        ("ALTER TABLE goods DROP COLUMN price", "access exclusive", 100, True),
        ("ALTER TABLE goods ALTER price TYPE int", "access exclusive", 100, True),
        ("ALTER TABLE goods ALTER price SET STATISTICS 10", "share update exclusive", 0, False),
        ("ALTER TABLE goods ALTER price SET NOT NULL", "access exclusive", 0, False),
        ("ALTER TABLE goods SET (fillfactor = 90), ALTER name SET DEFAULT ''", "access exclusive", 0, False),
        ("ALTER TABLE notes ADD FOREIGN KEY (id) REFERENCES makers", "share row exclusive", 0, False),
        ("CREATE INDEX ON goods (name)", "share", 0, False),
        ("CREATE INDEX CONCURRENTLY ON goods (name)", "share update exclusive", 0, False),
        ("LOCK TABLE goods IN ROW SHARE MODE", "row share", 0, False),
        ("VACUUM FULL goods", "access exclusive", 0, False),
        ("VACUUM goods", "share update exclusive", 0, False),
        ("ALTER TABLE goods RENAME TO wares", "access exclusive", 0, False),
    ],
)
def test_locks_rows_and_losses(seer: Seer, text: str, lock: str, rows: int, irreversible: bool) -> None:
    blast = seer.see(text)
    assert blast.known
    assert (blast.locks[0].mode, blast.rows, blast.irreversible) == (lock, rows, irreversible)
    assert blast.locks[0].table in ("public.goods", "public.notes")
    assert blast.locks[0].size == 8192


def test_a_foreign_key_locks_what_it_refers_to(seer: Seer) -> None:
    locks = seer.see("ALTER TABLE notes ADD FOREIGN KEY (id) REFERENCES makers").locks
    assert [(each.table, each.mode) for each in locks] == [
        ("public.notes", "share row exclusive"),
        ("public.makers", "share row exclusive"),
    ]


def test_a_column_takes_along_what_shows_it(seer: Seer, run: psycopg.Connection[Any]) -> None:
    run.execute("CREATE VIEW prices AS SELECT price FROM goods")
    try:
        seer.look()
        blast = seer.see("ALTER TABLE goods DROP COLUMN price")
        assert (blast.dependents, bool(blast.blocked)) == (("view public.prices",), True)
        assert not seer.see("ALTER TABLE goods DROP COLUMN price CASCADE").blocked
        assert not seer.see("ALTER TABLE goods DROP COLUMN name").dependents
    finally:
        run.execute("DROP VIEW prices")


def test_tables_made_of_queries_tell_how_many_rows_they_get(seer: Seer) -> None:
    blast = seer.see("CREATE TABLE copy AS WITH w AS (SELECT * FROM goods) SELECT * FROM w WHERE id > 90")
    assert (blast.rows, blast.known, blast.irreversible) == (10, True, False)


def test_what_is_on_no_list_is_unknown(seer: Seer) -> None:
    assert not seer.see("ALTER TABLE goods OWNER TO postgres").known


def test_the_list_holds_only_what_the_grammar_has_and_modes_in_their_order() -> None:
    known = set(pb.AlterTableType.keys())
    assert set(shapes().alter) <= known
    assert {each.lock for each in shapes().alter.values()} <= set(shapes().modes)
    assert shapes().strongest(["share", "row share", "share update exclusive"]) == "share"
