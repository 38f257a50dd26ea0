"""What a database adds to PostgreSQL is found by name, and by the types a statement can get hold of."""

from __future__ import annotations

import gc
import weakref

import pytest

from blastwall.sql.additions import additions, custom, shown_types
from blastwall.sql.catalogue import Cast, Catalogue, Type
from tests.blastwall.sql.judging import INT4, TEXT, column, corpus_catalogue, function, operator, shop, table

MOOD, MOODS, BOX, BOX_ROW = 30001, 30002, 30003, 30004


def test_only_what_postgresql_did_not_ship_is_an_addition() -> None:
    own, shipped = operator(25001, "=", TEXT, TEXT), operator(98, "=", TEXT, TEXT, "pg_catalog")
    found = additions(shop(operators=(own, shipped)).catalogue)
    assert found.operators("=") == (own,)
    assert found.operators("<>") == ()


def test_the_corpus_adds_one_operator() -> None:
    (found,) = additions(corpus_catalogue()).operators("###")
    assert (found.schema, found.left, found.right) == ("public", TEXT, TEXT)


@pytest.mark.parametrize(
    ("source", "target", "runs", "expected"),
    [
        (TEXT, INT4, 26001, [("public", "convert", frozenset(), "pg_catalog.text to pg_catalog.int4")]),
        (TEXT, MOOD, 26001, [("public", "convert", frozenset({MOOD}), "pg_catalog.text to public.mood")]),
        (TEXT, INT4, 26999, [("?", "26999", frozenset(), "pg_catalog.text to pg_catalog.int4")]),
        (TEXT, INT4, 77, []),
        (TEXT, INT4, 0, []),
    ],
)
def test_casts_count_when_they_run_a_function_of_the_databases(
    source: int, target: int, runs: int, expected: list[object]
) -> None:
    around = shop(
        types=(Type(MOOD, "public", "mood", "e"),),
        functions=(function(26001, "convert", TEXT),),
        casts=(Cast(27001, source, target, runs, "i"),),
    )
    found = additions(around.catalogue).casts
    assert [(*each.function, each.custom, each.shown) for each in found] == expected


def composite() -> Catalogue:
    """``boxes`` holds a composite, which holds an array, which holds an enumeration."""
    inside = table(30100, "box", column(1, "moods", MOODS, "_mood"), kind="c")
    boxes = table(30200, "boxes", column(1, "id", INT4, "int4"), column(2, "box", BOX, "box"))
    types = (
        Type(MOOD, "public", "mood", "e"),
        Type(MOODS, "public", "_mood", "b", element_oid=MOOD),
        Type(BOX, "public", "box", "c", relation_oid=30100),
        Type(BOX_ROW, "public", "boxes", "c", relation_oid=30200),
    )
    return shop(relations=(inside, boxes), types=types).catalogue


def test_a_relation_hands_out_its_row_and_whatever_its_columns_hold() -> None:
    catalogue = composite()
    boxes = catalogue.relation("public", "boxes", ())
    assert additions(catalogue).types_within(catalogue, boxes) == {BOX_ROW, BOX, MOODS, MOOD}
    items = catalogue.relation("public", "items", ())
    assert additions(catalogue).types_within(catalogue, items) == {20002}, "its row, and nothing else"


def test_types_are_named_three_at_most() -> None:
    catalogue = composite()
    assert shown_types(catalogue, [MOOD]) == "public.mood"
    assert shown_types(catalogue, [1]) == "an unknown type"
    assert shown_types(catalogue, [BOX_ROW, BOX, MOODS, MOOD]).count(", ") == 2
    assert custom([TEXT, MOOD]) == {MOOD}


def test_the_index_is_built_once_and_goes_with_its_catalogue() -> None:
    catalogue = composite()
    assert additions(catalogue) is additions(catalogue)
    gone = weakref.ref(additions(catalogue))
    del catalogue
    gc.collect()
    assert gone() is None
