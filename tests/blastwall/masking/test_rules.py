"""From rules to masks in a catalogue: who decides a column, for whom, and what is wrong with a file of rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from blastwall.errors import OurFault, Problem
from blastwall.masking.patterns import names, remark
from blastwall.masking.plan import Mask, Plan, Predicates, Strategy
from blastwall.masking.rules import Detectors, Rule, Rules, Vouched
from blastwall.masking.strategies import Options
from blastwall.model import Secret
from blastwall.sql.catalogue import Catalogue, Column, Relation
from blastwall.sql.catalogue_file import load

CORPUS = load(Path(__file__).parents[2] / "fixtures" / "corpus" / "catalogue.json")
NOBODY: frozenset[str] = frozenset()


def rule(column: str | None = None, strategy: Strategy | None = Strategy.REDACT, **more: object) -> Rule:
    made = Rule(strategy, names(column, 3) if column else None)
    return replace(made, **more)


def masked(plan: Plan, catalogue: Catalogue = CORPUS) -> dict[str, Mask]:
    """By the column's name, as the plan itself says it."""
    found = {}
    for oid, masks in plan.relations.items():
        relation = catalogue.relation_by_oid(oid)
        assert relation is not None
        for number, mask in masks.items():
            (column,) = (each for each in relation.columns if each.number == number)
            assert mask.column == f"{relation.schema}.{relation.name}.{column.name}"
            found[mask.column] = mask
    return found


def test_a_rule_masks_its_column() -> None:
    made = rule(
        "public.customers.email", Strategy.PARTIAL, options=Options(keep="mail_domain"), file="x/masking.yaml", line=7
    )
    found = masked(Rules((made,)).plan(CORPUS))
    assert list(found) == ["public.customers.email"]
    mask = found["public.customers.email"]
    assert (mask.strategy, mask.predicates, mask.origin) == (Strategy.PARTIAL, Predicates.DENY, "masking.yaml:7")
    assert "[A-Za-z0-9.-]" in mask.source and mask.source.startswith("CAST(CASE WHEN {} IS NULL")
    assert (mask.type_oid, mask.length, mask.at_sink) == (25, 0, False)


def test_the_first_rule_that_fits_decides() -> None:
    rules = Rules(
        (
            rule("public.customers.name", None),
            rule("public.customers.ssn", Strategy.NULL),
            rule("*.customers.*", Strategy.REDACT, predicates=Predicates.ALLOW),
        )
    )
    found = masked(rules.plan(CORPUS))
    assert "public.customers.name" not in found
    assert found["public.customers.ssn"].strategy is Strategy.NULL
    assert found["public.customers.phone"].predicates is Predicates.ALLOW
    assert len(found) == 7


def test_patterns_reach_views_but_never_the_servers_own_relations() -> None:
    found = masked(Rules((rule("*.*.*"),)).plan(CORPUS))
    assert "public.v_customers.x" in found and "public.mv.status" in found
    assert not [name for name in found if name.startswith(("pg_catalog", "information_schema"))]


def test_a_strategy_that_does_not_fit_gives_way_to_redact() -> None:
    (mask,) = masked(Rules((rule("public.customers.id", Strategy.PARTIAL),)).plan(CORPUS)).values()
    assert mask.strategy is Strategy.REDACT and "NULL" in mask.source
    assert "partial does not fit" in mask.origin


def commented(comment: str, *labels: str) -> Catalogue:
    column = Column(1, "c", 25, "pg_catalog", "text", comment=comment, labels=labels)
    table = Relation(20001, "public", "t", "r", columns=(column, Column(2, "d", 25, "pg_catalog", "text")))
    return Catalogue(server_version=170000, database="shop", relations=[table], types=CORPUS.types)


def test_comments_and_labels_are_a_source() -> None:
    rules = Rules((Rule(Strategy.NULL, remark=remark("pii:*")),))
    assert list(masked(rules.plan(commented("pii:email")), commented(""))) == ["public.t.c"]
    assert list(masked(rules.plan(commented("", "anon:pii:x")), commented(""))) == ["public.t.c"]
    assert not rules.plan(commented("harmless"))
    both = Rules((replace(rules.rules[0], names=names("*.*.d", 3)),))
    assert not both.plan(commented("pii:email"))


def test_a_rule_can_be_for_one_database() -> None:
    rules = Rules((rule("*.*.c", database="sh*"),))
    assert rules.plan(commented(""))
    assert not Rules((rule("*.*.c", database="other"),)).plan(commented(""))


def test_groups_are_shown_what_they_are_exempt_from_and_nothing_else() -> None:
    rules = Rules(
        (
            rule("public.customers.email", exempt=frozenset({"support"})),
            rule("public.customers.*", exempt=frozenset({"audit"})),
        ),
        exempt=frozenset({"root"}),
    )
    assert rules.for_groups(NOBODY) is rules is rules.for_groups(frozenset({"agents"}))
    support = rules.for_groups(frozenset({"support", "agents"}))
    assert support is rules.for_groups(frozenset({"support"}))
    assert "public.customers.email" not in masked(support.plan(CORPUS))
    assert "public.customers.ssn" in masked(support.plan(CORPUS))
    audit = rules.for_groups(frozenset({"audit"}))
    assert list(masked(audit.plan(CORPUS))) == ["public.customers.email"]
    root = rules.for_groups(frozenset({"root"}))
    assert not root.plan(CORPUS) and root.detectors is Detectors.OFF
    assert len({each.version for each in (rules, support, audit, root)}) == 4


def test_versions_follow_whatever_is_shown() -> None:
    first = Rules((rule("public.customers.email"),))
    same = Rules((rule("public.customers.email", file="elsewhere", line=9),))
    assert first.version == same.version
    others = [
        Rules(),
        Rules((rule("public.customers.ssn"),)),
        Rules((rule("public.customers.email", Strategy.NULL),)),
        Rules((rule("public.customers.email", options=Options(mark="x")),)),
        Rules((rule("public.customers.email", predicates=Predicates.EQUALITY),)),
        Rules((rule("public.customers.email", exempt=frozenset({"a"})),)),
        Rules((rule("public.customers.email", database="a"),)),
        Rules((rule("public.customers.email", remark=remark("x")),)),
        Rules(first.rules, exempt=frozenset({"a"})),
        Rules(first.rules, detectors=Detectors.FLAG),
        Rules(first.rules, vouched=(Vouched(names("public.mv", 2)),)),
        first.with_key(Secret("k" * 32)),
        first.with_key(Secret("l" * 32)),
    ]
    assert len({first.version, *(each.version for each in others)}) == len(others) + 1
    assert first.plan(CORPUS) is first.plan(CORPUS)
    assert first.plan(CORPUS).version == same.plan(CORPUS).version != first.plan(commented("")).version


def test_the_key_makes_pseudonyms_and_is_never_shown() -> None:
    rules = Rules((rule("public.customers.email", Strategy.HASH),))
    (mask,) = masked(rules.plan(CORPUS)).values()
    assert mask.at_sink and rules.at_sink
    with pytest.raises(OurFault, match="no key for masking"):
        rules.pseudonym(mask, "ann@mail.example")
    keyed = rules.with_key(Secret("top-secret" * 4))
    assert keyed.pseudonym(mask, "ann@mail.example").startswith("hash:")
    assert "top-secret" not in repr(keyed)
    assert keyed.for_groups(frozenset({"x"})) is keyed


def test_a_mask_written_back_is_recognised() -> None:
    rules = Rules(
        (rule("public.customers.email", options=Options(mark="(hidden)")), rule("public.customers.ssn", None))
    )
    plan = rules.plan(CORPUS)
    assert all(plan.recognises(text) for text in ("***", "***@mail.example", "hash:0a", "(hidden)1234"))
    assert not plan.recognises("ann@mail.example")


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


def said(rules: Rules, catalogue: Catalogue = CORPUS) -> list[tuple[int, str]]:
    return [(problem.line, problem.message) for problem in rules.problems(catalogue)]


def test_what_does_not_fit_a_database_is_said_with_its_line() -> None:
    rules = Rules(
        (
            rule("public.customers.emial", line=1),
            rule("public.customers.id", Strategy.PARTIAL, line=2),
            rule("*.customers.*", line=3),
            rule("public.customers.ssn", line=4),
            rule("*.*.nothing", line=5),
            rule("public.orders.total", Strategy.HASH, line=6),
            Rule(Strategy.NULL, remark=remark("pii:*"), line=7),
            rule("elsewhere.t.c", database="other", line=8),
            rule("public.orders.id", remark=remark("pii:*"), line=9),
        ),
        vouched=(Vouched(names("public.absent", 2), line=10), Vouched(names("public.mv", 2), line=11)),
    )
    found = dict(said(rules))
    assert set(found) == {1, 2, 4, 5, 6, 9, 10}
    assert found[1] == "shop has no column public.customers.emial; did you mean public.customers.email?"
    assert found[2].startswith("public.customers.id: partial does not fit the type pg_catalog.int4")
    assert found[4] == "public.customers.ssn is decided by an earlier rule (line 3); move this one up"
    assert found[5].startswith("shop has no column *.*.nothing")
    assert found[6].startswith("public.orders.total: hash does not fit the type numeric(12,2)")
    assert found[9] == "public.orders.id exists, but no column of that name has the comment 'pii:*'"
    assert found[10] == "shop has no relation public.absent"
    assert rules.problems(CORPUS)[0] == Problem("masking.yaml", 2, found[2])


def test_rules_that_fit_have_no_problems() -> None:
    assert said(Rules((rule("public.customers.email", Strategy.PARTIAL), rule("*.*.profile")))) == []
