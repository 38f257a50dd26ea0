"""Look-ups: what the server would find under a name, and what it could confuse with its own."""

from __future__ import annotations

import dataclasses

import pytest

from blastwall.sql.catalogue import Catalogue, Column, Function, Operator, Relation, Type, clip, qualified

INT4, TEXT = 23, 25


def relation(oid: int, schema: str, name: str, kind: str = "r", **more: object) -> Relation:
    columns = (Column(1, "id", INT4, "pg_catalog", "int4"), Column(3, "Name", TEXT, "pg_catalog", "text"))
    return dataclasses.replace(Relation(oid, schema, name, kind, columns=columns), **more)


def function(oid: int, schema: str, name: str, *args: int) -> Function:
    return Function(oid, schema, name, "f", "v", args, 0, False, INT4)


SHOP = Catalogue(
    server_version=170010,
    database="shop",
    search_path_default=("public",),
    relations=[
        relation(1259, "pg_catalog", "pg_class"),
        relation(13000, "information_schema", "tables", "v"),
        relation(20001, "public", "orders"),
        relation(20002, "archive", "orders"),
        relation(20003, "archive", "pg_class"),
        relation(20004, "pg_temp", "orders", persistence="t"),
        relation(20005, "public", "events", "p"),
        relation(20006, "public", "events_2026", "p"),
        relation(20007, "archive", "events_2026_01"),
        relation(20008, "public", "x" * 63),
        relation(20009, "public", "address", "c"),
    ],
    functions=[
        function(13001, "information_schema", "_pg_helper"),
        function(21001, "public", "lower", 1043),
        function(21002, "archive", "lower", TEXT),
        function(21003, "archive", "lower", TEXT, TEXT),
        function(21004, "pg_temp", "sneaky"),
        function(21005, "pg_catalog", "pg_file_write"),
    ],
    operators=[Operator(22001, "archive", "###", TEXT, TEXT, TEXT)],
    types=[
        Type(INT4, "pg_catalog", "int4", "b"),
        Type(13002, "information_schema", "sql_identifier", "d", base_oid=19),
        Type(23001, "public", "address", "c", relation_oid=20009),
        Type(23002, "public", "checked_address", "d", base_oid=23001),
        Type(23003, "public", "twice_checked", "d", base_oid=23002),
        Type(23004, "pg_temp", "address", "c", relation_oid=20004),
        Type(23005, "public", "_address", "b", element_oid=23001),
        Type(23006, "public", "turning", "d", base_oid=23006),
    ],
    inherits=[(20005, 20006), (20006, 20007), (20005, 99999)],
)


@pytest.mark.parametrize(
    ("schema", "name", "path", "temp", "oid"),
    [
        (None, "orders", ("public", "archive"), True, 20004),
        (None, "orders", ("public", "archive"), False, 20001),
        (None, "orders", ("archive", "public"), False, 20002),
        (None, "orders", ("public", "pg_temp"), True, 20001),
        (None, "orders", ("public", "pg_temp"), False, 20001),
        (None, "orders", (), False, None),
        (None, "orders", ("pg_temp",), False, None),
        (None, "pg_class", ("archive",), True, 1259),
        (None, "pg_class", ("archive", "pg_catalog"), True, 20003),
        ("archive", "pg_class", (), True, 20003),
        ("pg_temp", "orders", (), True, 20004),
        ("information_schema", "tables", (), True, 13000),
        (None, "tables", ("public",), True, None),
        ("public", "Orders", (), True, None),
        (None, "x" * 70, ("public",), True, 20008),
        ("nowhere", "orders", ("public",), True, None),
    ],
)
def test_relations_are_found_as_the_server_finds_them(
    schema: str | None, name: str, path: tuple[str, ...], temp: bool, oid: int | None
) -> None:
    found = SHOP.relation(schema, name, path, temp=temp)
    assert (found.oid if found else None) == oid


def test_types_follow_the_same_path() -> None:
    assert SHOP.type(None, "int4", ("public",)) == Type(INT4, "pg_catalog", "int4", "b")
    found = SHOP.type(None, "address", ("public",))
    assert found and found.schema == "pg_temp"
    found = SHOP.type(None, "address", ("public",), temp=False)
    assert found and found.oid == 23001
    array = SHOP.type_by_oid(23005)
    assert array and array.element_oid == 23001
    assert SHOP.type_by_oid(1) is None


def test_functions_come_with_all_overloads_in_search_order() -> None:
    assert [each.oid for each in SHOP.functions(None, "lower", ("archive", "public"))] == [21002, 21003, 21001]
    assert [each.oid for each in SHOP.functions(None, "lower", ("public",))] == [21001]
    assert [each.oid for each in SHOP.functions("archive", "lower", ())] == [21002, 21003]
    assert SHOP.functions(None, "lower", ()) == ()
    assert [each.oid for each in SHOP.functions(None, "pg_file_write", ())] == [21005]


def test_temporary_functions_need_their_schema() -> None:
    assert SHOP.functions(None, "sneaky", ("pg_temp", "public")) == ()
    assert [each.oid for each in SHOP.functions("pg_temp", "sneaky", ())] == [21004]


@pytest.mark.parametrize("name", ["lower", "###", "address", "_address", "sneaky", "pg_file_write"])
def test_what_somebody_added_anywhere_shadows(name: str) -> None:
    assert SHOP.visible_shadows(name)


@pytest.mark.parametrize("name", ["upper", "int4", "_pg_helper", "sql_identifier", "||"])
def test_what_postgresql_ships_shadows_nothing(name: str) -> None:
    assert not SHOP.visible_shadows(name)


def test_composites_are_found_through_domains() -> None:
    for oid in (23001, 23002, 23003):
        found = SHOP.composite(oid)
        assert found and found.oid == 20009
    assert SHOP.composite(INT4) is None
    assert SHOP.composite(23006) is None
    assert SHOP.composite(1) is None


def test_children_at_any_distance() -> None:
    assert [each.oid for each in SHOP.children(20005)] == [20006, 20007]
    assert SHOP.children(20001) == ()
    circular = Catalogue(
        server_version=1,
        database="x",
        relations=[relation(1, "public", "a"), relation(2, "public", "b")],
        inherits=[(1, 2), (2, 1)],
    )
    assert [each.oid for each in circular.children(1)] == [2]


def test_columns_by_name() -> None:
    orders = SHOP.relation_by_oid(20001)
    assert orders and orders.column("Name") == orders.columns[1]
    assert orders.column("name") is None


def test_by_oid() -> None:
    assert SHOP.relation_by_oid(1) is None
    assert SHOP.function_by_oid(21004) in SHOP.functions("pg_temp", "sneaky", ())
    assert SHOP.function_by_oid(870) is None


@pytest.mark.parametrize(
    ("name", "clipped"), [("a", "a"), ("é" * 40, "é" * 31), ("a" * 63, "a" * 63), ("a" * 62 + "é", "a" * 62)]
)
def test_names_are_cut_at_63_bytes_and_whole_characters(name: str, clipped: str) -> None:
    assert clip(name) == clipped


def test_the_version_is_of_the_content() -> None:
    def made(name: str, reverse: bool = False) -> Catalogue:
        relations = [relation(1, "public", "a"), relation(2, "public", name)]
        return Catalogue(server_version=170010, database="x", relations=relations[:: -1 if reverse else 1])

    assert made("b").version == made("b", reverse=True).version != made("c").version
    assert len(made("b").version) == 32


def test_names_are_quoted_where_they_have_to_be() -> None:
    assert qualified("public", "orders") == "public.orders"
    assert qualified("user", 'Or"ders') == '"user"."Or""ders"'
    assert Column(1, "a", 23, "pg_catalog", "int4").type_text == "pg_catalog.int4"
    assert Column(1, "a", 1043, "pg_catalog", "varchar", modified="character varying(3)").type_text == (
        "character varying(3)"
    )
