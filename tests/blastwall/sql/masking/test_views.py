"""Views over masked columns: what each column shows, and which views nobody may read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from blastwall.masking.plan import Mask, Plan, Predicates, Strategy
from blastwall.protocols.postgres import snapshot
from blastwall.sql.catalogue import Catalogue
from blastwall.sql.masking import with_views
from rig.postgres import EmbeddedPostgres
from tests.blastwall.sql.masking.masks import plan_of

SCHEMA = """
CREATE SCHEMA app;
CREATE TABLE people (id integer PRIMARY KEY, name text, email varchar(40), ssn text);
CREATE TABLE orders (id integer PRIMARY KEY, person integer);
CREATE VIEW bare AS SELECT id, ssn AS number, email FROM people;
CREATE VIEW app.nested AS SELECT b.number AS again, b.id FROM bare AS b;
CREATE VIEW computed AS SELECT id, upper(ssn) AS loud, length(email) AS size, email::text AS wide FROM people;
CREATE VIEW unmasked AS SELECT id, name FROM people;
CREATE VIEW united AS SELECT ssn FROM people UNION ALL SELECT 'x';
CREATE VIEW grouped_by_key AS SELECT p.id, p.ssn, count(o.id) AS n FROM people p JOIN orders o ON o.person = p.id
    GROUP BY p.id;
CREATE VIEW counted AS SELECT count(ssn) AS n FROM people;
CREATE VIEW filtering AS SELECT id FROM people WHERE ssn LIKE '1%';
CREATE VIEW equal AS SELECT id FROM people WHERE ssn = '1';
CREATE VIEW joining AS SELECT a.id FROM people a JOIN people b ON a.ssn = b.ssn;
CREATE VIEW grouping AS SELECT ssn, count(*) FROM people GROUP BY ssn;
CREATE VIEW sorting AS SELECT id FROM people ORDER BY ssn LIMIT 3;
CREATE VIEW rowwise AS SELECT p AS whole FROM people p;
CREATE VIEW json AS SELECT to_json(p) AS whole FROM people p;
CREATE VIEW over_opaque AS SELECT 1 AS one FROM filtering;
CREATE VIEW words AS SELECT id, regexp_split_to_table(ssn, '-') AS word FROM people;
CREATE VIEW hits AS SELECT id, regexp_matches(ssn, '^1') AS hit FROM people;
CREATE VIEW lengths AS SELECT id, generate_series(1, length(ssn)) AS place FROM people;
CREATE FUNCTION parts(text) RETURNS SETOF text LANGUAGE sql IMMUTABLE AS $$SELECT $1 WHERE $1 > '1'$$;
CREATE VIEW called AS SELECT id, parts(ssn) AS part FROM people;
CREATE VIEW rows_of_others AS SELECT id, ssn, generate_series(1, length(name)) AS place FROM people;
CREATE VIEW counted_if AS SELECT count(CASE WHEN ssn LIKE '1%' THEN 1 END) AS n FROM people;
CREATE VIEW chosen AS SELECT id, CASE WHEN ssn LIKE '1%' THEN 'a' END AS first FROM people;
CREATE VIEW there AS SELECT p.id, (SELECT count(q.s) FROM (SELECT p.ssn AS s) AS q) AS n, upper(p.ssn) AS loud FROM people p;
CREATE MATERIALIZED VIEW stored AS SELECT id, ssn FROM people;
CREATE VIEW over_stored AS SELECT ssn AS s FROM stored;
"""


@pytest.fixture(scope="module")
def catalogue(postgres17: EmbeddedPostgres) -> Iterator[Catalogue]:
    postgres17.drop_database("masking_views")
    postgres17.create_database("masking_views")
    with psycopg.connect(postgres17.dsn("masking_views"), autocommit=True) as session:
        session.execute(SCHEMA.encode())
        yield snapshot.take(lambda sql: ask(session, sql))
    postgres17.drop_database("masking_views")


def ask(session: psycopg.Connection[Any], sql: str) -> str:
    return str(session.execute(sql.encode()).fetchall()[0][0])


def plan(catalogue: Catalogue, predicates: Predicates = Predicates.DENY, strategy: Strategy = Strategy.REDACT) -> Plan:
    return plan_of(catalogue, {"people": ("email", "ssn")}, strategy, predicates)


def masks(catalogue: Catalogue, name: str, made: Plan, schema: str = "public") -> dict[str, Mask]:
    relation = catalogue.relation(schema, name, ())
    assert relation is not None
    known = made.relations.get(relation.oid, {})
    return {column.name: known[column.number] for column in relation.columns if column.number in known}


def why(catalogue: Catalogue, name: str, made: Plan) -> str:
    relation = catalogue.relation("public", name, ())
    assert relation is not None
    return made.opaque.get(relation.oid, "")


def test_a_column_as_it_stands_has_its_mask(catalogue: Catalogue) -> None:
    made = plan(catalogue, Predicates.EQUALITY, Strategy.HASH)
    found = masks(catalogue, "bare", made)
    assert set(found) == {"number", "email"}
    assert found["number"].strategy is Strategy.HASH and found["number"].predicates is Predicates.EQUALITY
    assert found["number"].column == "public.bare.number"
    assert found["number"].origin == "masking.yaml:1 through public.people.ssn"
    nested = masks(catalogue, "nested", made, "app")
    assert set(nested) == {"again"} and nested["again"].origin.endswith("through public.people.ssn")


def test_what_is_computed_shows_a_constant_of_its_own_type(catalogue: Catalogue) -> None:
    found = masks(catalogue, "computed", plan(catalogue, Predicates.EQUALITY, Strategy.PARTIAL))
    assert {name: mask.strategy for name, mask in found.items()} == dict.fromkeys(
        ("loud", "size", "wide"), Strategy.REDACT
    )
    assert found["size"].type_oid == 23 and "int4" in found["size"].source
    assert all(mask.predicates is Predicates.DENY for mask in found.values())
    assert set(masks(catalogue, "united", plan(catalogue))) == {"ssn"}


def test_views_that_show_nothing_masked_are_left_alone(catalogue: Catalogue) -> None:
    made = plan(catalogue)
    for name in ("unmasked", "counted"):
        assert not masks(catalogue, name, made) and not why(catalogue, name, made)
    assert set(masks(catalogue, "grouped_by_key", made)) == {"ssn"}


@pytest.mark.parametrize(
    "name", ["filtering", "equal", "joining", "grouping", "sorting", "json", "rowwise", "over_opaque"]
)
@pytest.mark.parametrize("predicates", Predicates)
def test_a_view_whose_rows_tell_of_a_masked_column_is_opaque(
    catalogue: Catalogue, name: str, predicates: Predicates
) -> None:
    assert f"public.{name}" in why(catalogue, name, plan(catalogue, predicates))


def test_a_materialised_view_is_followed_unless_the_rules_say_more(catalogue: Catalogue) -> None:
    made = plan(catalogue)
    assert set(masks(catalogue, "stored", made)) == {"ssn"} and set(masks(catalogue, "over_stored", made)) == {"s"}
    stored = catalogue.relation("public", "stored", ())
    assert stored is not None
    closed = with_views(Plan(dict(made.relations) | {stored.oid: {}}, {stored.oid: "no"}, "v"), catalogue)
    assert why(catalogue, "over_stored", closed)


def test_what_is_vouched_for_is_not_followed(catalogue: Catalogue) -> None:
    people, filtering = (catalogue.relation("public", name, ()) for name in ("people", "filtering"))
    assert people is not None and filtering is not None
    only = {people.oid: plan(catalogue).relations[people.oid]}
    made = with_views(Plan(only, {}, "v", vouched=frozenset({filtering.oid})), catalogue)
    assert not why(catalogue, "filtering", made) and not why(catalogue, "over_opaque", made)


def test_a_plan_is_followed_once(catalogue: Catalogue) -> None:
    people = catalogue.relation("public", "people", ())
    assert people is not None
    bare = Plan({people.oid: plan(catalogue).relations[people.oid]}, {}, "v")
    assert with_views(bare, catalogue) is with_views(bare, catalogue)
    assert with_views(Plan(), catalogue) == Plan()


@pytest.mark.parametrize("name", ["words", "hits", "lengths", "called"])
def test_a_view_whose_number_of_rows_tells_of_a_masked_column_is_opaque(catalogue: Catalogue, name: str) -> None:
    made = plan(catalogue)
    assert "chooses, joins, groups or sorts its rows by the masked column" in why(catalogue, name, made)
    assert not why(catalogue, "rows_of_others", made)
    assert set(masks(catalogue, "rows_of_others", made)) == {"ssn"}


def test_what_counts_rows_by_a_condition_on_a_masked_column_is_masked(catalogue: Catalogue) -> None:
    assert masks(catalogue, "counted_if", plan(catalogue))["n"].source == "CAST(NULL AS pg_catalog.int8)"


def test_where_absence_is_hidden_views_do_not_tell_of_it(catalogue: Catalogue) -> None:
    # A count tells whether there is a value, and so does a mask that stands only for values that are there.
    plain = plan(catalogue)
    assert set(masks(catalogue, "there", plain)) == {"loud"}
    assert not masks(catalogue, "counted", plain)
    hidden = with_views(hiding(plan_of(catalogue, {"people": ("ssn",)}), catalogue), catalogue)
    assert masks(catalogue, "there", hidden)["n"].source == "CAST(NULL AS pg_catalog.int8)"
    assert "IS NULL" not in masks(catalogue, "there", hidden)["loud"].source
    assert all(mask.absence for mask in masks(catalogue, "there", hidden).values())
    assert set(masks(catalogue, "counted", hidden)) == {"n"}


def test_what_is_computed_does_not_tell_whether_anything_came_of_it(catalogue: Catalogue) -> None:
    found = masks(catalogue, "chosen", plan(catalogue))["first"]
    assert found.source == "CAST('***'::pg_catalog.text AS pg_catalog.text)" and found.absence
    assert "IS NULL" in masks(catalogue, "bare", plan(catalogue))["number"].source


def hiding(made: Plan, catalogue: Catalogue) -> Plan:
    # The plan of people.ssn as nulls: hide has it.
    relation = catalogue.relation("public", "people", ())
    assert relation is not None
    (number,) = made.relations[relation.oid]
    mask = replace(made.relations[relation.oid][number], source="'***'::pg_catalog.text", absence=True)
    return replace(made, relations={relation.oid: {number: mask}}, opaque={}, version="hiding")
