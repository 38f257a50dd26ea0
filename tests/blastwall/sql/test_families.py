"""As much type inference as tells overloads apart."""

from __future__ import annotations

import pytest

from blastwall.model import Effect
from blastwall.sql.families import family_of_name, family_of_type, may_be
from tests.blastwall.sql.judging import INT4, INT4_ARRAY, TEXT, VARCHAR, effect, function, operator, shop

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
