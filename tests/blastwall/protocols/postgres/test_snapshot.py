"""The catalogue as real servers tell it, and whether its freshness follows every change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.errors import UpstreamFault
from blastwall.protocols.postgres import snapshot
from blastwall.protocols.postgres.snapshot import FRESHNESS, SECTIONS, SYSTEM_SECTIONS, assemble
from blastwall.sql.catalogue import Catalogue, Relation
from blastwall.sql.catalogue_file import load
from rig.postgres import EmbeddedPostgres

FIXTURES = Path(__file__).parents[3] / "fixtures" / "corpus"
Session = psycopg.Connection[tuple[str]]


@pytest.fixture(params=[17, 18])
def server(request: pytest.FixtureRequest) -> EmbeddedPostgres:
    found: EmbeddedPostgres = request.getfixturevalue(f"postgres{request.param}")
    return found


@pytest.fixture
def dsn(server: EmbeddedPostgres) -> Iterator[str]:
    server.drop_database("snapshot")
    server.create_database("snapshot")
    server.load(FIXTURES / "schema.sql", database="snapshot")
    yield server.dsn("snapshot")
    server.drop_database("snapshot")


@pytest.fixture
def session(dsn: str) -> Iterator[Session]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def ask(session: Session, sql: str) -> str:
    """The one row's one column."""
    rows = session.execute(sql.encode()).fetchall()
    assert len(rows) == 1 and len(rows[0]) == 1
    return rows[0][0]


def take(session: Session) -> Catalogue:
    return snapshot.take(lambda sql: ask(session, sql))


def found(catalogue: Catalogue, name: str, schema: str | None = None) -> Relation:
    relation = catalogue.relation(schema, name, ("public",))
    assert relation is not None, name
    return relation


def by_name(catalogue: Catalogue) -> object:
    """Everything in a catalogue with oids spelled as names, because those differ from one server to the next."""
    relations = {each.oid: f"{each.schema}.{each.name}" for each in catalogue.relations}
    types = {each.oid: f"{each.schema}.{each.name}" for each in catalogue.types}
    return {
        "search_path": catalogue.search_path_default,
        "relations": sorted(
            (
                each.schema,
                each.name,
                each.kind,
                each.persistence,
                each.has_rules,
                each.has_triggers,
                each.row_security,
                [(c.number, c.name, c.not_null, c.type_text, c.comment, c.computed_from) for c in each.columns],
                [(relations[oid], number) for oid, number in each.reads],
                each.calls,
                each.primary_key,
                each.unique,
                [(key.columns, relations[key.relation], key.referenced) for key in each.foreign_keys],
                each.definition,
            )
            for each in catalogue.relations
        ),
        "functions": sorted(
            (
                each.schema,
                each.name,
                [types[oid] for oid in each.arg_types],
                each.kind,
                each.volatility,
                each.default_count,
                each.variadic,
                types[each.returns_oid],
            )
            for each in catalogue.all_functions
        ),
        "operators": sorted(
            (each.schema, each.name, types.get(each.left), types.get(each.right), types[each.result])
            for each in catalogue.operators
        ),
        "types": sorted(
            (
                each.schema,
                each.name,
                each.kind,
                types.get(each.base_oid, ""),
                relations.get(each.relation_oid, ""),
                types.get(each.element_oid, ""),
            )
            for each in catalogue.types
        ),
        "casts": len(catalogue.casts),
        "inherits": sorted((relations[parent], relations[child]) for parent, child in catalogue.inherits),
    }


@pytest.mark.parametrize("server", [17], indirect=True)
def test_the_fixture_file_is_what_the_server_says(session: Session) -> None:
    kept, fresh = load(FIXTURES / "catalogue.json"), take(session)
    assert by_name(kept) == by_name(fresh)
    assert kept.server_version // 10_000 == fresh.server_version // 10_000 == 17


def test_a_snapshot_survives_being_written_down(session: Session) -> None:
    catalogue = take(session)
    again = Catalogue.from_json(catalogue.to_json())
    assert again.version == catalogue.version == take(session).version


def test_server_and_database_are_told(server: EmbeddedPostgres, session: Session) -> None:
    catalogue = take(session)
    assert catalogue.server_version // 10_000 == server.major
    assert catalogue.database == "snapshot"
    assert catalogue.search_path_default == ("public",)


def test_views_tell_what_they_read_and_call(session: Session) -> None:
    session.execute(
        """CREATE VIEW w AS SELECT c.name, user_fn_with_side_effect() AS f, 'a' ### 'b' AS o,
             (SELECT max(stanullfrac) FROM pg_statistic) AS s, ':funcid 1' AS ":funcid 2"
           FROM v_customers AS c"""
    )
    catalogue = take(session)
    customers, view = found(catalogue, "customers"), found(catalogue, "v_customers")
    numbers = {column.number for column in customers.columns if column.name in ("id", "ssn", "name")}
    assert set(view.reads) == {(customers.oid, number) for number in numbers}
    assert view.calls == (("pg_catalog", "upper"),)
    wrapped = found(catalogue, "w")
    statistic = found(catalogue, "pg_statistic")
    assert {oid for oid, _ in wrapped.reads} == {view.oid, statistic.oid}
    assert set(wrapped.calls) == {
        ("pg_catalog", "max"),
        ("public", "loud_concat"),
        ("public", "user_fn_with_side_effect"),
    }
    assert customers.reads == () and customers.calls == ()


def test_a_whole_row_in_a_view_is_told(session: Session) -> None:
    session.execute("CREATE VIEW w AS SELECT to_jsonb(c) AS j FROM customers AS c")
    catalogue = take(session)
    assert (found(catalogue, "customers").oid, 0) in found(catalogue, "w").reads


def test_what_makes_a_table_more_than_a_table(session: Session) -> None:
    session.execute(
        """CREATE TABLE plain (a int NOT NULL, b text, c int); ALTER TABLE plain DROP COLUMN b;
           CREATE TABLE ruled (a int); CREATE RULE r AS ON INSERT TO ruled DO ALSO NOTHING;
           CREATE TABLE guarded (a int); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
           CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
           CREATE TABLE triggered (a int);
           CREATE TRIGGER t BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION t();
           CREATE UNLOGGED TABLE fleeting (a int);
           CREATE TABLE parts (a int) PARTITION BY LIST (a);
           CREATE TABLE part PARTITION OF parts FOR VALUES IN (1) PARTITION BY LIST (a);
           CREATE TABLE leaf PARTITION OF part DEFAULT;
           CREATE TYPE address AS (street text, town text); CREATE DOMAIN home AS address"""
    )
    catalogue = take(session)
    plain = found(catalogue, "plain")
    assert [(column.number, column.name, column.not_null) for column in plain.columns] == [
        (1, "a", True),
        (3, "c", False),
    ]
    marks = {
        name: (each.has_rules, each.has_triggers, each.row_security)
        for name in ("plain", "ruled", "triggered", "guarded", "v_customers", "customers", "orders")
        for each in [found(catalogue, name)]
    }
    assert marks == {
        "plain": (False, False, False),
        "ruled": (True, False, False),
        "triggered": (False, True, False),
        "guarded": (False, False, True),
        "v_customers": (False, False, False),
        "customers": (False, False, False),
        "orders": (False, False, False),
    }
    assert found(catalogue, "fleeting").persistence == "u"
    assert [each.name for each in catalogue.children(found(catalogue, "parts").oid)] == ["part", "leaf"]
    home = catalogue.type(None, "home", ("public",))
    assert home
    composite = catalogue.composite(home.oid)
    assert composite and [column.name for column in composite.columns] == ["street", "town"]
    kinds = {name: found(catalogue, name).kind for name in ("mv", "orders_id_seq", "orders_customer_id", "address")}
    assert kinds == {"mv": "m", "orders_id_seq": "S", "orders_customer_id": "i", "address": "c"}


def test_functions_of_every_kind(session: Session) -> None:
    session.execute(
        """CREATE FUNCTION f(a int, b text DEFAULT 'x', VARIADIC c int[] DEFAULT '{}', OUT d int, OUT e int)
             LANGUAGE sql STABLE AS 'SELECT 1, 2';
           CREATE PROCEDURE f() LANGUAGE sql AS 'SELECT 1';
           CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int);
           CREATE FUNCTION pg_catalog.added() RETURNS int LANGUAGE sql AS 'SELECT 1'"""
    )
    catalogue = take(session)
    plain, procedure = sorted(catalogue.functions(None, "f", ("public",)), key=lambda each: each.kind)
    assert (plain.kind, plain.volatility, plain.default_count, plain.variadic) == ("f", "s", 2, True)
    assert plain.arg_types == (23, 25, 1007)
    assert (procedure.kind, procedure.arg_types, procedure.variadic) == ("p", (), False)
    assert [each.kind for each in catalogue.functions("public", "total", ())] == ["a"]
    assert catalogue.visible_shadows("added") and catalogue.functions(None, "added", ())
    assert not catalogue.visible_shadows("lower")
    assert catalogue.functions("information_schema", "_pg_truetypid", ())
    assert catalogue.functions("pg_catalog", "lower", ()) == ()


def test_the_servers_own_relations_and_types_are_there(session: Session) -> None:
    catalogue = take(session)
    assert found(catalogue, "pg_stats").kind == "v"
    tables = found(catalogue, "tables", "information_schema")
    name = tables.column("table_name")
    assert name and (name.type_schema, name.type_name) == ("information_schema", "sql_identifier")
    assert all(column.type_name for relation in catalogue.relations for column in relation.columns)
    array = catalogue.type(None, "_int4", ())
    assert array and array.element_oid == 23


def test_own_temporary_objects_are_pg_temp_and_others_are_not_there(dsn: str, session: Session) -> None:
    session.execute("CREATE TEMP TABLE orders AS SELECT 1 AS mine")
    catalogue = take(session)
    own = found(catalogue, "orders")
    assert (own.schema, own.persistence, [column.name for column in own.columns]) == ("pg_temp", "t", ["mine"])
    public = catalogue.relation(None, "orders", ("public",), temp=False)
    assert public and public.schema == "public"
    with psycopg.connect(dsn, autocommit=True) as other:
        theirs = take(other)
        assert found(theirs, "orders").schema == "public"
        assert not [relation for relation in theirs.relations if relation.schema.startswith("pg_t")]


def test_an_agents_search_path_and_operators_change_nothing(session: Session) -> None:
    before = take(session)
    session.execute(
        """CREATE SCHEMA evil;
           CREATE FUNCTION evil.yes(oid, oid) RETURNS boolean LANGUAGE sql AS 'SELECT true';
           CREATE OPERATOR evil.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = evil.yes);
           CREATE FUNCTION evil.json_agg(json) RETURNS json LANGUAGE sql AS 'SELECT ''[]''::json';
           CREATE TABLE evil.pg_class (oid oid);
           SET search_path = evil, pg_catalog, public"""
    )
    after = take(session)
    assert found(before, "customers") == found(after, "customers")
    assert after.search_path_default == ("evil", "pg_catalog", "public")
    assert len(after.relations) == len(before.relations) + 1


def test_any_role_may_take_one(server: EmbeddedPostgres, dsn: str, session: Session) -> None:
    session.execute("DROP ROLE IF EXISTS nobody_special")
    session.execute("CREATE ROLE nobody_special LOGIN PASSWORD 'x'")
    expected = take(session)
    with psycopg.connect(server.dsn("snapshot", user="nobody_special", password="x"), autocommit=True) as other:
        other.execute("SET default_transaction_read_only = on")
        assert take(other).version == expected.version
        assert ask(other, FRESHNESS) == ask(session, FRESHNESS)
    session.execute("DROP ROLE nobody_special")


def test_system_sections_do_not_follow_what_is_defined(session: Session) -> None:
    sections = dict(SECTIONS)
    before = {name: ask(session, sections[name]) for name in SYSTEM_SECTIONS}
    session.execute("CREATE TABLE more (a int); CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    assert {name: ask(session, sections[name]) for name in SYSTEM_SECTIONS} == before
    assert before.keys() == {"system_relations", "system_functions", "system_types"}


CHANGES = [
    "CREATE SCHEMA later",
    "ALTER SCHEMA later RENAME TO sooner",
    "CREATE TABLE t (a int)",
    "ALTER TABLE t ADD COLUMN b int",
    "ALTER TABLE t RENAME COLUMN b TO c",
    "ALTER TABLE t ALTER COLUMN c TYPE bigint",
    "ALTER TABLE t ALTER COLUMN c SET NOT NULL",
    "ALTER TABLE t DROP COLUMN c",
    "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE t SET SCHEMA sooner",
    "ALTER TABLE sooner.t SET SCHEMA public",
    "COMMENT ON COLUMN t.a IS 'pii:age'",
    "COMMENT ON COLUMN t.a IS 'pii:years'",
    "COMMENT ON COLUMN t.a IS NULL",
    "ALTER TABLE t ALTER COLUMN a TYPE numeric(5,2)",
    "ALTER TABLE t ALTER COLUMN a TYPE int",
    "ALTER TABLE t ADD COLUMN g int GENERATED ALWAYS AS (a + 1) STORED",
    "ALTER TABLE t ADD UNIQUE (a)",
    "ALTER TABLE t ADD FOREIGN KEY (g) REFERENCES t (a) DEFERRABLE",
    "ALTER TABLE t ALTER CONSTRAINT t_g_fkey NOT DEFERRABLE",
    "CREATE TABLE child () INHERITS (t)",
    "ALTER TABLE child NO INHERIT t",
    "CREATE RULE r AS ON INSERT TO t DO ALSO NOTHING",
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
    "DROP TRIGGER g ON t",
    "ALTER FUNCTION f() STABLE",
    "ALTER FUNCTION f() RENAME TO h",
    "CREATE OR REPLACE FUNCTION h() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
    "CREATE VIEW v AS SELECT a FROM t",
    "CREATE OR REPLACE VIEW v AS SELECT 1 AS a",
    "CREATE TYPE e AS ENUM ('x')",
    "ALTER TYPE e RENAME TO e2",
    "CREATE DOMAIN d AS int",
    "CREATE FUNCTION to_e2(text) RETURNS e2 LANGUAGE sql AS 'SELECT ''x''::public.e2'",
    "CREATE CAST (text AS e2) WITH FUNCTION to_e2(text)",
    "DROP CAST (text AS e2)",
    "CREATE OPERATOR #### (LEFTARG = text, RIGHTARG = text, FUNCTION = loud_concat)",
    "CREATE TEMP TABLE mine (a int)",
    "DROP TABLE t CASCADE",
]


def test_freshness_follows_every_definition(session: Session) -> None:
    before = ask(session, FRESHNESS)
    for change in CHANGES:
        session.execute(change.encode())
        after = ask(session, FRESHNESS)
        assert after != before, change
        assert ask(session, FRESHNESS) == after, change
        before = after


def test_freshness_follows_definitions_within_one_transaction(session: Session) -> None:
    before = ask(session, FRESHNESS)
    session.execute("BEGIN")
    seen = {before}
    for change in ("ADD COLUMN z int", "RENAME COLUMN z TO y", "RENAME COLUMN y TO x", "RENAME COLUMN x TO z"):
        session.execute(f"ALTER TABLE products {change}".encode())
        seen.add(ask(session, FRESHNESS))
    assert len(seen) == 5
    session.execute("ROLLBACK")
    assert ask(session, FRESHNESS) == before


def test_freshness_ignores_what_defines_nothing(dsn: str, session: Session) -> None:
    before = ask(session, FRESHNESS)
    with psycopg.connect(dsn, autocommit=True) as other:
        other.execute("CREATE TEMP TABLE theirs (a text PRIMARY KEY)")
        other.execute("INSERT INTO orders (status) VALUES ('new')")
        other.execute("DELETE FROM orders WHERE id > 150")
        other.execute("SELECT nextval('orders_id_seq')")
        other.execute("ANALYZE")
        other.execute("VACUUM orders")
        assert ask(session, FRESHNESS) == before


def test_sections_from_something_else_are_the_upstreams_fault(session: Session) -> None:
    sections = {name: ask(session, sql) for name, sql in SECTIONS}
    for broken in ({"types": "null"}, {"types": "{}"}, {"server": "[]"}, {"relations": "[[1]]"}, {"casts": "oops"}):
        with pytest.raises(UpstreamFault):
            assemble({**sections, **broken})
    with pytest.raises(UpstreamFault):
        assemble({name: text for name, text in sections.items() if name != "inherits"})


def test_partitioned_tables_say_what_tells_their_rows_apart(session: Session) -> None:
    for text in (
        "CREATE TABLE sold (id int, note text, sold date, place text, code text) PARTITION BY RANGE (sold, lower(place))",
        "CREATE TABLE sold_1 PARTITION OF sold DEFAULT PARTITION BY HASH (id)",
    ):
        session.execute(text.encode())
    try:
        catalogue = take(session)
    finally:
        session.execute("DROP TABLE sold")
    named = {each.name: each.oid for each in catalogue.relations}
    assert dict(catalogue.partitions) == {named["sold"]: (3, 4), named["sold_1"]: (1,)}


@given(st.lists(st.recursive(st.none() | st.integers() | st.text(max_size=3), st.lists, max_leaves=5)))
def test_a_long_section_is_read_row_by_row_to_the_same_rows(rows: list[object]) -> None:
    for separators in ((", ", ": "), (" ,\n ", ":")):
        text = json.dumps(rows, separators=separators)
        assert snapshot._read(text + " " * snapshot.LONG) == rows


@pytest.mark.parametrize("text", ["[1, 2", "[1 2]", "[1, 2]]", "[1,, 2]", "[,1]", "[1,]", "[]x", "["])
def test_a_long_section_that_ends_in_its_midst_is_none(text: str) -> None:
    sections = {name: "[]" for name, _ in SECTIONS} | {"relations": text + " " * snapshot.LONG}
    with pytest.raises(UpstreamFault, match="catalogue is not what"):
        assemble({**sections, "server": '{"server_version": 170000, "database": "d", "search_path": []}'})
