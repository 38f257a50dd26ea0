"""Fields of rows and composite values: found where they are, and otherwise read as the function call they would be."""

from __future__ import annotations

import pytest

from blastwall.model import Effect
from blastwall.sql.catalogue import Type
from tests.blastwall.sql.judging import INT4, TEXT, column, corpus, effect, function, judged, shop, table

PLACE = table(30002, "place", column(1, "street", TEXT, "text"), column(2, "name", TEXT, "text"), kind="c")
HOME = table(
    30010, "homes", column(1, "id", INT4, "int4"), column(2, "at", 30001, "place"), column(3, "past", 30003, "_place")
)
TYPES = (
    Type(30001, "public", "place", "c", relation_oid=30002),
    Type(30003, "public", "_place", "b", element_oid=30001),
)
HOMES = shop(relations=(PLACE, HOME), types=TYPES, functions=(function(31001, "wipe", 30001),))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT h.id FROM homes h",
        "SELECT (h).id FROM homes h",
        "SELECT (h.at).street FROM homes h",
        "SELECT (at).name FROM homes",
        "SELECT ((h).at).name FROM homes h",
        "SELECT (h.past[1]).street FROM homes h",
        "SELECT (SELECT h FROM homes h LIMIT 1).id",
        "SELECT ((SELECT h FROM homes h LIMIT 1).at).name",
        "SELECT (WITH x AS (SELECT at FROM homes) SELECT x FROM x LIMIT 1).at",
        "SELECT (a.x).name FROM homes AS a(id, x)",
        "SELECT (ROW(1, 2)).f1",
        "SELECT (x).a FROM (SELECT ROW(1) AS x) q",
        "SELECT (jsonb_populate_record(NULL::place, '{}')).street",
        "SELECT (ROW('a', 'b')::place).name",
        "SELECT homes.ctid, h.xmin FROM homes, homes AS h",
        "SELECT public.homes.id, shop.public.homes.id FROM public.homes",
        "SELECT (h.at).* FROM homes h",
    ],
)
def test_a_field_is_a_field(text: str) -> None:
    assert effect(text, HOMES) is Effect.READ, judged(text, HOMES).reason


@pytest.mark.parametrize(
    "text",
    [
        "SELECT (h.at).wipe FROM homes h",
        "SELECT (at).wipe FROM homes",
        "SELECT ((h).at).wipe FROM homes h",
        "SELECT (h.past[1]).wipe FROM homes h",
        "SELECT (h.id).wipe FROM homes h",
        "SELECT ((SELECT h FROM homes h LIMIT 1).at).wipe",
        "SELECT (SELECT at FROM homes LIMIT 1).wipe",
        "SELECT (a.at).wipe FROM homes AS a(at, wipe)",
        "SELECT (NULL::place).wipe",
        "SELECT (q.x).wipe FROM (SELECT at AS x FROM homes) q",
        "SELECT (coalesce(at, at)).wipe FROM homes",
        "SELECT ($1).wipe",
        "SELECT (SELECT a LIMIT 1).wipe FROM json_to_record('{}') AS a(wipe int)",
        "SELECT (SELECT b LIMIT 1).wipe FROM (VALUES (1)) AS b(wipe)",
        "SELECT (SELECT h FROM homes AS h(wipe) LIMIT 1).wipe",
        "SELECT (WITH c AS (SELECT 1 AS wipe) SELECT c FROM c).wipe",
        "SELECT (at).nothing FROM homes",
        "SELECT (id).nothing FROM homes",
        "SELECT ('a').nothing",
        "SELECT (ARRAY[1]).nothing",
        "SELECT (h.past).street FROM homes h",
    ],
)
def test_what_is_no_field_may_be_a_call(text: str) -> None:
    facts = judged(text, HOMES)
    assert facts.effect is Effect.UNKNOWN
    assert "attribute_call" in facts.flags


def test_a_denied_function_is_named() -> None:
    for text in (
        "SELECT ('x').pg_read_file",
        "SELECT (h.id).pg_read_file FROM homes h",
        "SELECT (at).pg_read_file FROM homes",
    ):
        facts = judged(text, HOMES)
        assert facts.effect is Effect.ADMINISTER, text
        assert "reads or lists files" in facts.reason


def test_a_column_of_any_level_comes_before_a_from_item_of_that_name() -> None:
    """``(c).wipe`` is about the column c of the outer query, not about the FROM item c beside it."""
    hidden = "SELECT (SELECT (c).wipe FROM (SELECT 1 AS wipe) AS c LIMIT 1) FROM (SELECT at AS c FROM homes) o"
    assert effect(hidden, HOMES) is Effect.UNKNOWN
    assert effect("SELECT (SELECT (c).wipe FROM (SELECT 1 AS wipe) AS c LIMIT 1)", HOMES) is Effect.READ


def test_a_functions_result_may_be_a_single_value() -> None:
    assert effect("SELECT f.pg_read_file FROM unnest(ARRAY['/etc/passwd']) AS f") is Effect.ADMINISTER
    assert effect("SELECT f.length FROM unnest(ARRAY['a']) AS f") is Effect.UNKNOWN
    assert effect("SELECT f.length FROM unnest(ARRAY['a']) AS f(length)") is Effect.READ
    assert effect("SELECT q.length FROM (SELECT 1) q", corpus(catalogue=None)) is Effect.UNKNOWN, (
        "known not to be there"
    )


def test_without_a_catalogue_a_row_gives_what_no_function_of_rows_is_called() -> None:
    bare = corpus(catalogue=None)
    for name in ("id", "name", "length", "date"):
        facts = judged(f"SELECT x.{name} FROM x", bare)
        assert facts.effect is Effect.READ, name
        assert "no_catalogue" in facts.flags
    for name in ("to_json", "concat", "count"):
        assert effect(f"SELECT x.{name} FROM x", bare) is Effect.UNKNOWN, name
    assert effect("SELECT (y).name FROM x", bare) is Effect.UNKNOWN, "a value of any type"


@pytest.mark.parametrize(
    "text", ["SELECT nobody.id FROM homes", "SELECT other.homes.id FROM homes", "SELECT x.public.homes.id FROM homes"]
)
def test_a_qualifier_that_names_nothing(text: str) -> None:
    facts = judged(text, HOMES)
    assert facts.effect is Effect.UNKNOWN
    assert "unresolved" in facts.flags
