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
