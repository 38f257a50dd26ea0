"""Masks spread to whatever shows the same values, and what cannot be followed is opaque."""

from __future__ import annotations

from dataclasses import replace

from blastwall.masking.patterns import names
from blastwall.masking.plan import Strategy
from blastwall.masking.rules import Rules, Vouched
from blastwall.masking.strategies import Options
from blastwall.sql.catalogue import Catalogue, Column, Relation
from tests.blastwall.masking.test_rules import CORPUS, masked, rule


def family(*more: Relation, inherits: tuple[tuple[int, int], ...] = ()) -> Catalogue:
    def made(oid: int, name: str, *columns: str, kind: str = "r", **rest: object) -> Relation:
        listed = tuple(Column(n, each, 25, "pg_catalog", "text") for n, each in enumerate(columns, 1))
        return replace(Relation(oid, "public", name, kind, columns=listed), **rest)

    relations = [
        made(20001, "parent", "id", "ssn", kind="p"),
        made(20002, "child", "ssn", "extra", "id"),
        made(20003, "grandchild", "id", "ssn"),
        made(20004, "stranger", "id", "ssn"),
        *more,
    ]
    return Catalogue(
        server_version=170000,
        database="shop",
        relations=relations,
        types=CORPUS.types,
        inherits=inherits or ((20001, 20002), (20002, 20003)),
    )


def test_partitions_and_children_have_their_parents_masks() -> None:
    found = masked(Rules((rule("public.parent.ssn", Strategy.NULL, line=3),)).plan(family()), family())
    assert set(found) == {"public.parent.ssn", "public.child.ssn", "public.grandchild.ssn"}
    assert found["public.grandchild.ssn"].origin == "masking.yaml:3 through public.parent.ssn"
    assert {mask.strategy for mask in found.values()} == {Strategy.NULL}


def test_what_is_masked_in_a_child_is_masked_in_its_parents_which_return_its_rows() -> None:
    found = masked(Rules((rule("public.grandchild.ssn"),)).plan(family()), family())
    assert set(found) == {"public.parent.ssn", "public.child.ssn", "public.grandchild.ssn"}


def test_a_child_keeps_a_mask_of_its_own_and_cannot_show_what_its_parent_masks() -> None:
    rules = Rules(
        (rule("public.child.ssn", Strategy.NULL), rule("public.grandchild.ssn", None), rule("public.parent.ssn"))
    )
    found = masked(rules.plan(family()), family())
    assert found["public.child.ssn"].strategy is Strategy.NULL
    assert found["public.grandchild.ssn"].strategy in (Strategy.NULL, Strategy.REDACT)


def test_generated_columns_over_masked_ones_are_masked_unless_the_owner_shows_them() -> None:
    columns = (
        Column(1, "email", 25, "pg_catalog", "text"),
        Column(2, "domain", 25, "pg_catalog", "text", computed_from=(1,)),
        Column(3, "whole", 23, "pg_catalog", "int4", computed_from=(0,)),
        Column(4, "other", 23, "pg_catalog", "int4", computed_from=(5,)),
        Column(5, "plain", 23, "pg_catalog", "int4"),
    )
    catalogue = family(Relation(20010, "public", "g", "r", columns=columns))
    found = masked(Rules((rule("public.g.email", Strategy.PARTIAL, line=4),)).plan(catalogue), catalogue)
    assert set(found) == {"public.g.email", "public.g.domain", "public.g.whole"}
    assert found["public.g.domain"].strategy is Strategy.REDACT
    assert found["public.g.domain"].origin == "masking.yaml:4 through public.g.email"
    shown = Rules((rule("public.g.domain", None), rule("public.g.email")))
    assert set(masked(shown.plan(catalogue), catalogue)) == {"public.g.email", "public.g.whole"}


def test_what_is_shown_is_said_for_whole_families_but_patterns_do_not_reach_what_is_computed() -> None:
    generated = Column(2, "id", 25, "pg_catalog", "text", computed_from=(1,))
    view = Relation(20030, "public", "v", "v", columns=(Column(1, "id", 25, "pg_catalog", "text"),))
    catalogue = family(Relation(20031, "public", "g", "r", columns=(Column(1, "ssn", 25, "", ""), generated)), view)
    plan = Rules((rule("*.*.id", None), rule("*.*.ssn"))).plan(catalogue)
    assert plan.shown == {(20001, 1), (20002, 3), (20003, 1), (20004, 1)}
    assert "public.g.id" in masked(plan, catalogue)
    plan = Rules((rule("public.v.id", None), rule("public.g.id", None), rule("*.*.ssn"))).plan(catalogue)
    assert plan.shown == {(20030, 1), (20031, 2)} and "public.g.id" not in masked(plan, catalogue)


def derived() -> Catalogue:
    def over(oid: int, name: str, kind: str, *reads: tuple[int, int]) -> Relation:
        columns = (Column(1, "a", 25, "pg_catalog", "text"),)
        return Relation(oid, "public", name, kind, columns=columns, reads=reads)

    return family(
        over(20020, "stored", "m", (20001, 2)),
        over(20021, "stored_elsewhere", "m", (20001, 1)),
        over(20022, "counted", "m", (20001, 0)),
        over(20019, "stored_of_view", "m", (20024, 1)),
        over(20024, "view", "v", (20001, 2)),
        over(20025, "far", "f"),
        over(20026, "stored_of_far", "m", (20025, 1)),
        over(20027, "partly", "f"),
    )


def test_what_keeps_or_may_show_masked_values_is_opaque() -> None:
    catalogue = derived()
    plan = Rules((rule("public.parent.ssn"), rule("public.partly.a"))).plan(catalogue)
    found = {
        relation.name: plan.opaque[relation.oid] for relation in catalogue.relations if relation.oid in plan.opaque
    }
    assert set(found) == {"stored", "counted", "stored_of_view", "far", "stored_of_far"}
    assert "computed from masked columns of public.parent" in found["stored"]
    assert "public.far is a foreign table" in found["far"]
    assert not Rules((rule("public.parent.ssn", None),)).plan(catalogue).opaque


def test_the_owner_can_vouch_for_a_relation_or_describe_it() -> None:
    catalogue = derived()
    vouched = tuple(Vouched(names(each, 2)) for each in ("public.stored*", "public.counted", "public.far"))
    plan = Rules((rule("public.parent.ssn"), rule("public.partly.a", None)), vouched=vouched).plan(catalogue)
    assert not plan.opaque
    assert plan.vouched == {20019, 20020, 20021, 20022, 20025, 20026}


def test_what_is_computed_from_a_masked_column_does_not_tell_whether_anything_came_of_it() -> None:
    """nullif(ssn, '078-05-1120') is NULL for one value only."""
    columns = (
        Column(1, "ssn", 25, "pg_catalog", "text"),
        Column(2, "other", 25, "pg_catalog", "text", computed_from=(1,)),
    )
    catalogue = family(replace(Relation(20005, "public", "derived", "r"), columns=columns))
    found = masked(Rules((rule("public.derived.ssn"),)).plan(catalogue), catalogue)
    assert found["public.derived.other"].source == "CAST('***'::pg_catalog.text AS pg_catalog.text)"
    assert found["public.derived.other"].absence and not found["public.derived.ssn"].absence
    hidden = replace(rule("public.derived.ssn"), options=Options(hide_nulls=True))
    assert masked(Rules((hidden,)).plan(catalogue), catalogue)["public.derived.ssn"].absence
    null = Rules((rule("public.derived.ssn", Strategy.NULL),))
    assert masked(null.plan(catalogue), catalogue)["public.derived.ssn"].absence


def test_partitions_by_a_masked_column_are_opaque_and_their_tables_tell() -> None:
    tree = family()
    by_ssn = Catalogue(
        server_version=170000, database="shop", relations=tree.relations, types=CORPUS.types, inherits=tree.inherits,
        partitions=[(20001, (2,))],
    )  # fmt: skip
    plan = Rules((rule("public.parent.ssn"),)).plan(by_ssn)
    assert set(plan.opaque) == {20002, 20003}
    assert "Query public.parent itself" in plan.opaque[20002]
    assert plan.telling == dict.fromkeys((20001, 20002, 20003), "public.parent.ssn")
    vouched = Rules((rule("public.parent.ssn"),), (Vouched(names("public.child", 2)),)).plan(by_ssn)
    assert set(vouched.opaque) == {20003}
    assert not Rules((rule("public.parent.id"),)).plan(by_ssn).telling
