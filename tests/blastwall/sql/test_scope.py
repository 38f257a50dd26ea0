"""What names mean, level by level."""

from __future__ import annotations

from blastwall.sql.scope import Scope, Source, WithQuery, renamed
from tests.blastwall.sql.judging import column, table

ITEMS = table(20001, "items", column(1, "id", 23, "int4"), column(2, "name", 25, "text"))


def test_the_nearest_level_wins() -> None:
    outer, inner = Source("a", ("x",)), Source("a", ("y",))
    scope = Scope().of([outer]).of([inner])
    assert scope.find("a") is inner
    assert scope.find("b") is None
    assert Scope().of([outer]).of([]).find("a") is outer


def test_a_schema_names_only_what_has_no_alias() -> None:
    plain = Source("items", ("id",), schema="public")
    scope = Scope().of([plain])
    assert scope.find("items", "public") is plain
    assert scope.find("items", "other") is None


def test_names_are_cut_as_the_server_cuts_them() -> None:
    long = Source("a" * 63, ("b" * 63,))
    assert Scope().of([long]).find("a" * 70) is long
    assert long.has("b" * 70)


def test_columns_are_found_once_and_may_be_unknown() -> None:
    asked = []

    def find() -> tuple[str, ...]:
        asked.append(1)
        return ("x",)

    source = Source("a", find=find, also=frozenset({"ctid"}))
    assert (source.has("x"), source.has("ctid"), source.has("y")) == (True, True, False)
    assert asked == [1]
    assert Source("f").has("anything") is None


def test_a_query_that_refers_to_itself_ends() -> None:
    source = Source("r", find=lambda: source.columns)
    assert source.columns is None


def test_an_alias_list_renames_but_keeps_the_columns_types() -> None:
    assert renamed(("a", "b", "c"), ["x"]) == ("x", "b", "c")
    assert renamed(None, ["x"]) is None
    source = Source("i", renamed(("id", "name"), ["name", "id"]), relation=ITEMS)
    first, second = source.column("name"), source.column("id")
    assert first is not None and first.type_name == "int4"
    assert second is not None and second.type_name == "text"
    assert source.column("other") is None


def test_with_queries_are_seen_from_inside() -> None:
    query = WithQuery("w", None, Scope(), False, lambda alias: Source(alias))
    outer = Scope(None, (), {"w": query})
    assert outer.of([]).query("w") is query
    assert outer.query("v") is None
