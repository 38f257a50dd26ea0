"""Rows that DELETE, UPDATE, MERGE and INSERT touch, and where foreign keys lead from there."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from blastwall.blast import Blast, Count, Lock
from tests.blastwall.sql.blast.seeing import Seer

Connection = psycopg.Connection[Any]


def told(blast: Blast) -> dict[str, int]:
    """Rows by what happens to them."""
    return {f"{each.by} {each.table}": each.rows for each in blast.tables}


@pytest.mark.parametrize(
    ("text", "expected", "cascaded"),
    [
        ("DELETE FROM goods WHERE id = 7", {"delete public.goods": 1, "on delete set null public.notes": 1}, 1),
        ("DELETE FROM goods AS g WHERE g.id BETWEEN 41 AND 60",
         {"delete public.goods": 20, "on delete set null public.notes": 10}, 10),
        ("DELETE FROM makers WHERE id = 3",
         {"delete public.makers": 1, "on delete cascade public.goods": 10, "on delete set null public.notes": 5}, 15),
        ("DELETE FROM makers USING goods WHERE makers.id = goods.maker AND goods.id IN (12, 22)",
         {"delete public.makers": 1, "on delete cascade public.goods": 10, "on delete set null public.notes": 5}, 15),
        ("WITH w AS (SELECT 3 AS id) DELETE FROM makers WHERE id IN (SELECT id FROM w)",
         {"delete public.makers": 1, "on delete cascade public.goods": 10, "on delete set null public.notes": 5}, 15),
        ("UPDATE goods SET price = price * 2 WHERE id <= 30", {"update public.goods": 30}, 0),
        ("UPDATE makers SET id = id + 100 WHERE id > 8", {"update public.makers": 2, "on update cascade public.goods": 20}, 20),
        ("UPDATE makers SET id = CASE id WHEN 9 THEN 90 ELSE id END",
         {"update public.makers": 10, "on update cascade public.goods": 10}, 10),
        ("UPDATE makers SET id = '5' WHERE id = 5", {"update public.makers": 1, "on update cascade public.goods": 0}, 0),
        ("DELETE FROM bosses WHERE id = 5", {"delete public.bosses": 1, "on delete cascade public.bosses": 19}, 19),
        ("MERGE INTO makers USING (VALUES (3), (99)) AS v (k) ON id = k WHEN MATCHED THEN DELETE "
         "WHEN NOT MATCHED THEN INSERT VALUES (k, 'new')",
         {"merge public.makers": 2, "on delete cascade public.goods": 10, "on delete set null public.notes": 5}, 15),
        ("MERGE INTO makers AS m USING goods AS g ON m.id = g.id WHEN MATCHED AND g.price > 5 THEN UPDATE SET name = 'x' "
         "WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED BY SOURCE THEN DELETE",
         {"merge public.makers": 5, "on delete cascade public.goods": 0, "on delete set null public.notes": 0}, 0),
        ("INSERT INTO makers VALUES (11, 'a'), (12, 'b')", {"insert public.makers": 2}, 0),
        ("INSERT INTO makers DEFAULT VALUES", {"insert public.makers": 1}, 0),
        ("INSERT INTO makers SELECT id + 500, name FROM goods WHERE id < 8", {"insert public.makers": 7}, 0),
        ("WITH w AS (SELECT 600 AS id) INSERT INTO makers (id) SELECT id FROM w", {"insert public.makers": 1}, 0),
        ("INSERT INTO makers (id) VALUES (1), (77) ON CONFLICT (id) DO UPDATE SET name = 'y'", {"insert public.makers": 2}, 0),
    ],
)  # fmt: skip
def test_rows_are_counted(seer: Seer, text: str, expected: dict[str, int], cascaded: int) -> None:
    blast = seer.see(text)
    assert told(blast) == expected
    assert blast.known and blast.rows_exact and not blast.irreversible
    assert (blast.rows, blast.cascaded_rows) == (next(iter(expected.values())), cascaded)


def test_whoever_refers_and_is_not_carried_along_refuses(seer: Seer, run: Connection) -> None:
    blocked = seer.see("DELETE FROM goods WHERE id = 100").blocked
    assert blocked == ("It is refused by kept_good_fkey: 1 row of public.kept refer to it.",)
    with pytest.raises(psycopg.IntegrityError):
        run.execute("DELETE FROM goods WHERE id = 100")
    assert not seer.see("DELETE FROM goods WHERE id = 99").blocked


def test_columns_and_values_keep_their_meaning_beside_others_of_the_same_name(seer: Seer, run: Connection) -> None:
    run.execute('CREATE TABLE "Odd ""name" (id int PRIMARY KEY, "Up" int REFERENCES "Odd ""name" ON DELETE CASCADE)')
    run.execute('INSERT INTO "Odd ""name" VALUES (1, NULL), (2, 1), (3, 2)')
    seer.look()
    blast = seer.see('DELETE FROM "Odd ""name" AS "From" WHERE "From".id = 1')
    assert (blast.rows, blast.cascaded_rows) == (1, 2)


def test_on_conflict_may_leave_rows(seer: Seer) -> None:
    blast = seer.see("INSERT INTO makers VALUES (1), (77) ON CONFLICT DO NOTHING")
    assert (blast.rows, blast.rows_exact, blast.tables[0].count) == (2, False, Count.AT_MOST)
    assert blast.known


def test_only_means_only(seer: Seer, run: Connection) -> None:
    run.execute("CREATE TABLE base (id int); CREATE TABLE derived () INHERITS (base)")
    run.execute("INSERT INTO base VALUES (1), (2); INSERT INTO derived VALUES (2), (3)")
    seer.look()
    assert seer.see("DELETE FROM base WHERE id >= 2").rows == 3
    assert seer.see("DELETE FROM ONLY base WHERE id >= 2").rows == 1


def test_a_view_is_counted_and_what_lies_behind_it_is_not_followed(seer: Seer, run: Connection) -> None:
    run.execute("CREATE VIEW dear AS SELECT id, name FROM goods WHERE price > 90")
    run.execute("CREATE TABLE alone (id int); INSERT INTO alone VALUES (1), (2); CREATE VIEW one AS TABLE alone")
    seer.look()
    known = seer.see("DELETE FROM one WHERE id = 2")
    assert (known.rows, known.known, known.rows_exact) == (1, True, True)
    unknown = seer.see("DELETE FROM dear WHERE id < 95")
    assert (unknown.rows, unknown.known) == (4, False)


def test_row_security_makes_own_counts_upper_bounds_and_others_unknown(seer: Seer, run: Connection, dsn: str) -> None:
    run.execute(
        "CREATE TABLE mine (id int PRIMARY KEY, who text); CREATE TABLE theirs (id int REFERENCES mine ON DELETE CASCADE)"
    )
    run.execute("INSERT INTO mine VALUES (1, 'limited'), (2, 'other'); INSERT INTO theirs VALUES (1), (1)")
    run.execute("DROP ROLE IF EXISTS limited; CREATE ROLE limited")
    run.execute("GRANT SELECT, DELETE ON mine, theirs TO limited; ALTER TABLE mine ENABLE ROW LEVEL SECURITY")
    run.execute("CREATE POLICY own ON mine USING (who = current_user)")
    limited = Seer(dsn, role="limited")
    try:
        seen = limited.see("DELETE FROM mine")
        assert (seen.rows, seen.rows_exact, seen.known, seen.cascaded_rows) == (1, False, True, 2)
        run.execute("ALTER TABLE theirs ENABLE ROW LEVEL SECURITY")
        hidden = limited.see("DELETE FROM mine")
        assert not hidden.known and any("public.theirs" in reason for reason in hidden.reasons)
        run.execute("ALTER TABLE theirs DISABLE ROW LEVEL SECURITY; REVOKE SELECT ON theirs FROM limited")
        forbidden = limited.see("DELETE FROM mine")
        assert (forbidden.known, forbidden.rows) == (False, 1)
        assert any("may not read public.theirs" in reason for reason in forbidden.reasons)
    finally:
        limited.close()
        run.execute("DROP TABLE theirs, mine; DROP ROLE limited")


def test_triggers_are_named_and_those_before_a_change_make_counts_upper_bounds(seer: Seer, run: Connection) -> None:
    run.execute("CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    run.execute("CREATE TRIGGER after_name AFTER UPDATE OF name ON goods FOR EACH ROW EXECUTE FUNCTION stay()")
    run.execute("CREATE TRIGGER before_gone BEFORE DELETE ON goods FOR EACH ROW EXECUTE FUNCTION stay()")
    try:
        assert seer.see("UPDATE goods SET price = 1 WHERE id = 1").triggers == ()
        assert seer.see("UPDATE goods SET name = '' WHERE id = 1").triggers == ("public.goods.after_name",)
        assert seer.see("UPDATE goods SET name = '' WHERE id = -1").triggers == ()
        gone = seer.see("DELETE FROM goods WHERE id = 7")
        assert (gone.triggers, gone.tables[0].count, gone.known) == (("public.goods.before_gone",), Count.AT_MOST, True)
        carried = seer.see("DELETE FROM makers WHERE id = 3")
        assert carried.triggers == ("public.goods.before_gone",)
        assert [each.count for each in carried.tables[:2]] == [Count.EXACT, Count.AT_MOST]
    finally:
        run.execute("DROP FUNCTION stay CASCADE")


def test_locks_name_every_table_that_changes_and_how_large_it_is(seer: Seer, run: Connection) -> None:
    run.execute("ANALYZE makers, goods")
    locks = seer.see("DELETE FROM makers WHERE id = 3").locks
    assert [each.table for each in locks] == ["public.makers", "public.goods", "public.notes"]
    assert locks[1] == Lock("public.goods", "row exclusive", 100, 8192)


@pytest.mark.parametrize("lock", ["FOR UPDATE", "FOR NO KEY UPDATE NOWAIT", "FOR SHARE OF g"])
def test_rows_that_it_locks_while_it_chooses_are_counted_without_locking_them(seer: Seer, lock: str) -> None:
    found = seer.see(f"DELETE FROM notes WHERE good IN (SELECT id FROM goods g WHERE id <= 7 {lock})")
    assert (found.known, found.rows, found.rows_exact) == (True, 7, True), found.reasons
    found = seer.see(
        f"WITH w AS (SELECT id FROM goods g WHERE id <= 3 {lock}) UPDATE notes SET id = notes.id FROM w WHERE good = w.id"
    )
    assert (found.known, found.rows) == (True, 3), found.reasons


def test_rows_that_others_lock_choose_what_skip_locked_finds(seer: Seer) -> None:
    found = seer.see("DELETE FROM notes WHERE id IN (SELECT id FROM notes LIMIT 3 FOR UPDATE SKIP LOCKED)")
    assert not found.known


KEYED = """
CREATE TABLE scales (id numeric PRIMARY KEY);
CREATE TABLE weights (id int PRIMARY KEY, scale numeric REFERENCES scales ON UPDATE CASCADE);
INSERT INTO scales VALUES (1.0), (2); INSERT INTO weights VALUES (1, 1), (2, 1.0), (3, 2);
CREATE TABLE halls (id int PRIMARY KEY);
CREATE TABLE rows (id int PRIMARY KEY, hall int REFERENCES halls ON DELETE SET NULL,
    code int GENERATED ALWAYS AS (COALESCE(hall, 0) + id * 10) STORED UNIQUE);
CREATE TABLE seats (id int PRIMARY KEY, code int REFERENCES rows (code) ON UPDATE CASCADE);
INSERT INTO halls VALUES (1), (2); INSERT INTO rows (id, hall) VALUES (1, 1), (2, 1), (3, 2);
INSERT INTO seats VALUES (1, 11), (2, 11), (3, 32);
"""


@pytest.mark.parametrize(
    ("text", "carried"),
    [
        ("UPDATE scales SET id = 1.00 WHERE id = 1", 2),  # an equal number, spelt otherwise: foreign keys carry it on
        ("UPDATE scales SET id = 2 WHERE id = 2", 0),
        ("DELETE FROM halls WHERE id = 1", 4),  # clears rows.hall, so rows.code changes, and seats.code with it
    ],
)
def test_what_foreign_keys_see_is_what_is_counted(
    seer: Seer, run: psycopg.Connection[tuple[object, ...]], text: str, carried: int
) -> None:
    if run.execute("SELECT to_regclass('scales')").fetchone() == (None,):
        run.execute(KEYED.encode())
    seer.look()
    with run.transaction(force_rollback=True):
        look = b"SELECT 'w', id, ctid FROM weights UNION ALL SELECT 'r', id, ctid FROM rows UNION ALL SELECT 's', id, ctid FROM seats"
        before = set(run.execute(look).fetchall())
        run.execute(text.encode())
        assert len(before - set(run.execute(look).fetchall())) == carried
    blast = seer.see(text)
    assert (blast.known, blast.cascaded_rows) == (True, carried)
