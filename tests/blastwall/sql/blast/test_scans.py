"""A statement's rows as a query: its own words in the gateway's frame, and nothing else of it."""

from __future__ import annotations

import pytest

from blastwall.sql import grammar
from blastwall.sql.blast import scans
from blastwall.sql.blast.scans import Watched
from blastwall.sql.parser import parse
from blastwall.sql.tree import Message, unwrap


def statement(text: str) -> Message:
    return unwrap(parse(text).statements[0].stmt)


def written(node: Message) -> str:
    tree = parse("SELECT 1")
    tree.result.stmts[0].stmt.CopyFrom(node)
    return grammar.deparse(tree.result.SerializeToString())


@pytest.mark.parametrize(
    ("text", "query"),
    [
        (
            'DELETE FROM s.t AS "X" USING u WHERE "X".a = u.a RETURNING *',
            'SELECT "X".tableoid AS o, "X".ctid AS c, true AS d FROM s.t "X", u WHERE "X".a = u.a',
        ),
        (
            "WITH w AS (SELECT 1) DELETE FROM ONLY t WHERE t.a IN (TABLE w)",
            "WITH w AS (SELECT 1) SELECT t.tableoid AS o, t.ctid AS c, true AS d FROM ONLY t WHERE t.a IN (SELECT * FROM w)",
        ),
    ],
)
def test_deletions(text: str, query: str) -> None:
    assert written(scans.deletion(statement(text)).select) == query


def test_updates_tell_whose_keys_change() -> None:
    scan = scans.update(
        statement("UPDATE t SET a = a + 1, b = $1 WHERE c"),
        [Watched("k0", ("a", "z"), ("int", "int")), Watched("k1", ("b",), ("text",))],
        False,
    )
    assert scan.certain
    assert written(scan.select) == (
        "SELECT t.tableoid AS o, t.ctid AS c, false AS d, "
        "ROW(t.a)::pg_catalog.record OPERATOR(pg_catalog.*<>) ROW((a + 1)::int)::pg_catalog.record AS k0, "
        "ROW(t.b)::pg_catalog.record OPERATOR(pg_catalog.*<>) ROW($1::text)::pg_catalog.record AS k1 FROM t WHERE c"
    )


@pytest.mark.parametrize("sets", ["(a, b) = (SELECT 1, 2)", "a = DEFAULT"])
def test_values_that_cannot_be_taken_out_count_as_a_change(sets: str) -> None:
    scan = scans.update(statement(f"UPDATE t SET {sets}"), [Watched("k0", ("a",), ("int",))], False)
    assert not scan.certain
    assert "true AS k0" in written(scan.select)


def test_the_statement_itself_is_left_alone() -> None:
    text = "UPDATE t SET a = $2 FROM u WHERE t.b = $1"
    tree = parse(text)
    before = tree.result.SerializeToString()
    made = scans.graft(
        "WITH x AS (SELECT FROM (SELECT 1) AS i) SELECT count(*) FROM x",
        {"x": scans.update(unwrap(tree.statements[0].stmt), [Watched("k0", ("a",), ("int",))], False).select},
    )
    assert scans.renumber(made) == (2, 1)
    assert tree.result.SerializeToString() == before


def test_parameters_are_numbered_by_what_is_left_of_them() -> None:
    made = parse("SELECT $7, $3, $7").result
    assert scans.renumber(made) == (7, 3)
    assert grammar.deparse(made.SerializeToString()) == "SELECT $1, $2, $1"


def test_what_set_assigns() -> None:
    found = scans.assigned(statement("UPDATE t SET a = 1, b[1] = 2, (c, d) = (3, 4)").target_list)
    assert list(found) == ["a", "b", "c", "d"]
    assert [bool(value.WhichOneof("node")) for value in found.values()] == [True, False, False, False]
