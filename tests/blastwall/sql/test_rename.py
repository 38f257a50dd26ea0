"""Names in SQL: every form is found, replaced and proven; nothing else changes."""

from __future__ import annotations

import pytest

from blastwall.sql import rename as module
from blastwall.sql.grammar import Unparsed
from blastwall.sql.limits import LIMITS
from blastwall.sql.parser import parse
from blastwall.sql.rename import Names, names, rename, same

STATEMENTS = {"s": "up_1", "all": "up_2", "S t": "up_3"}
CURSORS = {"c": "cur_1", "C 1": "cur_2"}


@pytest.mark.parametrize(
    ("text", "touched", "renamed"),
    [
        ("PREPARE s(int) AS SELECT $1", Names(defines_statement="s"), "PREPARE up_1(int) AS SELECT $1"),
        ("prepare S AS DELETE FROM t", Names(defines_statement="s"), "PREPARE up_1 AS DELETE FROM t"),
        ('PREPARE "S t" AS SELECT 1', Names(defines_statement="S t"), "PREPARE up_3 AS SELECT 1"),
        ("EXECUTE s(1, 'x')", Names(uses_statements=("s",)), "EXECUTE up_1(1, 'x')"),
        ("EXPLAIN ANALYZE EXECUTE s", Names(uses_statements=("s",)), "EXPLAIN (ANALYZE) EXECUTE up_1"),
        ("CREATE TABLE t AS EXECUTE s(1)", Names(uses_statements=("s",)), "CREATE TABLE t AS EXECUTE up_1(1)"),
        (
            "EXPLAIN CREATE TABLE t AS EXECUTE s",
            Names(uses_statements=("s",)),
            "EXPLAIN CREATE TABLE t AS EXECUTE up_1",
        ),
        ("DEALLOCATE PREPARE s", Names(closes_statement="s"), "DEALLOCATE up_1"),
        ('DEALLOCATE "all"', Names(closes_statement="all"), "DEALLOCATE up_2"),
        ("DEALLOCATE ALL", Names(closes_all_statements=True), "DEALLOCATE ALL"),
        ("DECLARE c CURSOR FOR SELECT 1", Names(defines_cursor="c"), "DECLARE cur_1 CURSOR FOR SELECT 1"),
        (
            'DECLARE "C 1" SCROLL CURSOR WITH HOLD FOR SELECT 1',
            Names(defines_cursor="C 1"),
            "DECLARE cur_2 SCROLL CURSOR WITH HOLD FOR SELECT 1",
        ),
        (
            "EXPLAIN DECLARE c CURSOR FOR SELECT 1",
            Names(defines_cursor="c"),
            "EXPLAIN DECLARE cur_1 CURSOR FOR SELECT 1",
        ),
        ("FETCH 5 FROM c", Names(uses_cursors=("c",)), "FETCH FORWARD 5 cur_1"),
        ("FETCH ALL IN c", Names(uses_cursors=("c",)), "FETCH ALL cur_1"),
        ("MOVE BACKWARD ALL FROM c", Names(uses_cursors=("c",)), "MOVE BACKWARD ALL cur_1"),
        ("CLOSE c", Names(closes_cursor="c"), "CLOSE cur_1"),
        ("CLOSE ALL", Names(closes_all_cursors=True), "CLOSE ALL"),
        (
            "UPDATE t SET a = 1 WHERE CURRENT OF c",
            Names(uses_cursors=("c",)),
            "UPDATE t SET a = 1 WHERE CURRENT OF cur_1",
        ),
        (
            'DELETE FROM t WHERE current/**/OF "C 1" RETURNING a',
            Names(uses_cursors=("C 1",)),
            "DELETE FROM t WHERE CURRENT OF cur_2 RETURNING a",
        ),
        ("DISCARD ALL", Names(closes_all_statements=True, closes_all_cursors=True), "DISCARD ALL"),
        ("DISCARD PLANS", Names(discards_plans=True), "DISCARD PLANS"),
        ("DISCARD TEMP", Names(), "DISCARD TEMP"),
        ("SELECT 's', 'c', 'current of c'", Names(), "SELECT 's', 'c', 'current of c'"),
        ("SELECT s.c FROM s, c", Names(), "SELECT s.c FROM s, c"),
    ],
)
def test_every_form(text: str, touched: Names, renamed: str) -> None:
    tree = parse(text)
    assert names(tree) == (touched,)
    assert rename(tree, STATEMENTS, CURSORS) == renamed


def test_all_uses_in_one_statement_are_found() -> None:
    text = 'WITH a AS (UPDATE t SET a = 1 WHERE CURRENT OF c RETURNING 1) DELETE FROM t WHERE CURRENT OF "C 1"'
    (touched,) = names(parse(text))
    assert sorted(touched.uses_cursors) == ["C 1", "c"]
    renamed = rename(parse(text), STATEMENTS, CURSORS)
    assert "CURRENT OF cur_1" in renamed and "CURRENT OF cur_2" in renamed


def test_each_statement_of_a_text_has_its_own_names() -> None:
    tree = parse("PREPARE s AS SELECT 1; SELECT 2; EXECUTE s; DEALLOCATE ALL")
    assert [bool(each != Names()) for each in names(tree)] == [True, False, True, True]
    assert rename(tree, STATEMENTS, {}) == "PREPARE up_1 AS SELECT 1; SELECT 2; EXECUTE up_1; DEALLOCATE ALL"


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("EXECUTE other", "26000", 'prepared statement "other" does not exist'),
        ("EXPLAIN EXECUTE other", "26000", 'prepared statement "other" does not exist'),
        ("DEALLOCATE c", "26000", 'prepared statement "c" does not exist'),
        ("FETCH s", "34000", 'cursor "s" does not exist'),
        ("DELETE FROM t WHERE CURRENT OF s", "34000", 'cursor "s" does not exist'),
    ],
)
def test_a_name_the_gateway_does_not_know_never_goes_up(text: str, code: str, message: str) -> None:
    with pytest.raises(Unparsed) as caught:
        rename(parse(text), STATEMENTS, CURSORS)
    assert (caught.value.code, caught.value.message) == (code, message)


def test_the_tree_it_was_given_stays_as_it_was() -> None:
    tree = parse("EXECUTE s")
    rename(tree, STATEMENTS, CURSORS)
    assert names(tree) == (Names(uses_statements=("s",)),)


def test_large_texts_are_renamed_in_the_worker() -> None:
    text = "PREPARE s AS INSERT INTO t VALUES " + ", ".join(["(1, 'x')"] * 1000)
    assert len(text) > LIMITS.deparse_inline_bytes
    assert rename(parse(text), STATEMENTS, CURSORS) == text.replace("PREPARE s ", "PREPARE up_1 ")
    deep = "PREPARE s AS SELECT " + "||".join(["'a'"] * 9000)
    assert rename(parse(deep), STATEMENTS, CURSORS).startswith("PREPARE up_1 AS SELECT ((((")
    with pytest.raises(Unparsed) as caught:
        rename(parse(text.replace("PREPARE s ", "PREPARE other ")), STATEMENTS, CURSORS)
    assert caught.value.code == "26000"


def test_a_deparse_that_changes_the_statement_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.grammar, "deparse", lambda data: "EXECUTE up_1(2)")
    with pytest.raises(Unparsed) as caught:
        rename(parse("EXECUTE s(1)"), STATEMENTS, CURSORS)
    assert caught.value.code == "0A000"


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("SELECT a,b FROM t", "SELECT  a , b\nFROM t", True),
        ("SELECT a IN (1, 2)", "SELECT a IN ( 1,2 )", True),
        ("SELECT ARRAY[1]", "SELECT   ARRAY[ 1 ]", True),
        ("SELECT a,b FROM t", "SELECT b,a FROM t", False),
        ("SELECT 1", "SELECT 1, 1", False),
        ("SELECT 1", "SELECT 1; SELECT 1", False),
        ("SELECT 1", "SELECT 1.0", False),
        ("SELECT 0", "SELECT NULL", False),
        ("SELECT a AND b", "SELECT a OR b", False),
        ("SELECT DISTINCT a", "SELECT a", False),
        ("BEGIN", "COMMIT", False),
        ("CREATE TABLESPACE x LOCATION '/a'", "CREATE TABLESPACE x LOCATION '/b'", False),
    ],
)
def test_same_ignores_places_and_nothing_else(one: str, other: str, equal: bool) -> None:
    assert same(parse(one).result, parse(other).result) is equal


def test_same_takes_trees_of_any_depth() -> None:
    one, other = "SELECT " + "1+" * 9000 + "1", "SELECT " + "1 + " * 9000 + "1"
    assert same(parse(one).result, parse(other).result)
    assert not same(parse(one).result, parse(other + "+1").result)
