"""As much type inference as tells overloads apart."""

from __future__ import annotations

import pytest

from blastwall.model import Effect
from blastwall.sql.catalogue import Type
from blastwall.sql.families import family_of_name, family_of_type, may_be
from tests.blastwall.sql.judging import INT4, INT4_ARRAY, TEXT, VARCHAR, column, effect, function, operator, shop, table

TRIGRAM = shop(operators=(operator(21001, "%", TEXT, TEXT),))
ARRAYS = shop(operators=(operator(21002, "+", INT4_ARRAY, INT4_ARRAY),))


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("int8", "number"),
        ("varchar", "text"),
        ("timestamptz", "time"),
        ("_text", "array"),
        ("uuid", "uuid"),
        ("anyelement", ""),
    ],
)
def test_types_have_families(name: str, family: str) -> None:
    assert family_of_name(name) == family


def test_families_of_types_by_oid() -> None:
    catalogue = TRIGRAM.catalogue
    assert catalogue is not None
    assert [family_of_type(catalogue, oid) for oid in (INT4, VARCHAR, INT4_ARRAY, 2283, 99999)] == [
        "number",
        "text",
        "array",
        "",
        "",
    ]
    assert may_be(["number"], catalogue, (INT4,))
    assert not may_be(["number"], catalogue, (TEXT,))
    assert may_be([""], catalogue, (TEXT,)), "an untyped literal may be anything"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id % 10 FROM items",
        "SELECT (id + 1) % 2 FROM items i",
        "SELECT length(name) % 2 FROM items",
        "SELECT name::int4 % 2 FROM items",
    ],
)
def test_modulo_stays_modulo_beside_an_extension_on_texts(text: str) -> None:
    assert effect(text, TRIGRAM) is Effect.READ


@pytest.mark.parametrize(
    "text", ["SELECT name % 'x' FROM items", "SELECT $1 % $2", "SELECT lower(name) % name FROM items"]
)
def test_what_may_be_the_extensions_is_unknown(text: str) -> None:
    assert effect(text, TRIGRAM) is Effect.UNKNOWN


def test_arithmetic_is_told_from_an_arrays_operator() -> None:
    assert effect("SELECT id + 1, now() + interval '1 day' FROM items", ARRAYS) is Effect.READ
    assert effect("SELECT ARRAY[1] + ARRAY[2]", ARRAYS) is Effect.UNKNOWN


def test_overloads_are_told_apart_by_their_arguments() -> None:
    added = shop(functions=(function(21003, "abs", TEXT), function(21004, "gen_random_uuid")))
    assert effect("SELECT abs(id) FROM items", added) is Effect.READ
    assert effect("SELECT abs(name) FROM items", added) is Effect.UNKNOWN
    assert effect("SELECT gen_random_uuid()", added) is Effect.READ, "pg_catalog comes first for the same signature"


MOOD, MOODS, DATE, WORD = 30_001, 30_002, 30_003, 30_004
_TYPES = (
    Type(MOOD, "public", "mood", "e"),
    Type(MOODS, "public", "_mood", "b", element_oid=MOOD),
    Type(DATE, "public", "date", "e"),  # as one of PostgreSQL's own is called
    Type(WORD, "public", "word", "d", base_oid=TEXT),
)
_MOODS = table(30_100, "moods", column(1, "mood", MOOD, "mood"), column(2, "many", MOODS, "_mood"))


@pytest.mark.parametrize(
    ("text", "name", "takes"),
    [
        ("SELECT lower('x'::mood)", "lower", MOOD),
        ("SELECT lower('x'::public.mood)", "lower", MOOD),
        ("SELECT lower('x'::public.date)", "lower", DATE),
        ("SELECT lower(CAST('x' AS mood))", "lower", MOOD),
        ("SELECT lower(mood) FROM moods", "lower", MOOD),
        ("SELECT lower(('{x}'::mood[])[1])", "lower", MOOD),
        ("SELECT lower(('{x}'::_mood)[1])", "lower", MOOD),
        ("SELECT lower(many[1]) FROM moods", "lower", MOOD),
        ("SELECT array_ndims('{x}'::mood[])", "array_ndims", MOODS),
        ("SELECT array_ndims(ARRAY['x'::mood])", "array_ndims", MOODS),
        ("SELECT array_ndims(ARRAY[mood]) FROM moods", "array_ndims", MOODS),
        ("SELECT array_ndims(array_agg(mood)) FROM moods", "array_ndims", MOODS),
        ("SELECT array_ndims(ARRAY(SELECT mood FROM moods))", "array_ndims", MOODS),
        ("SELECT lower(name) FROM items", "lower", WORD),
    ],
)
def test_an_overload_for_an_added_type_is_seen_however_the_value_is_made(text: str, name: str, takes: int) -> None:
    around = shop(types=_TYPES, relations=(_MOODS,), functions=(function(21_003, name, takes),))
    assert effect(text, around) is Effect.UNKNOWN
    assert effect(text, shop(types=_TYPES, relations=(_MOODS,))) is Effect.READ


@pytest.mark.parametrize("text", ["SELECT 'x'::mood = 'y'", "SELECT 'x'::public.mood = mood FROM moods"])
def test_an_operator_for_an_added_type_is_seen_beside_a_cast(text: str) -> None:
    around = shop(types=_TYPES, relations=(_MOODS,), operators=(operator(21_004, "=", MOOD, MOOD),))
    assert effect(text, around) is Effect.UNKNOWN
    assert effect("SELECT name = 'y' AND id = 1 FROM items", around) is Effect.READ


def test_overloads_for_added_types_leave_other_values_alone() -> None:
    around = shop(types=_TYPES, relations=(_MOODS,), functions=(function(21_003, "lower", MOOD),))
    assert effect("SELECT lower(name) FROM items", around) is Effect.READ
    assert effect("SELECT lower(name), 'x'::mood FROM items", around) is Effect.READ
