"""Rules that read what a statement would do: when it must be known, and that what is unknown passes no threshold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from blastwall.blast import NOTHING, Blast, unknown
from blastwall.model import Denial, Effect, Facts, Guard, ObjectRef, Pending, Permit, StatementKind
from blastwall.policy.decide import Policies, Question
from blastwall.policy.risk import RiskTable
from tests.blastwall.policy.asking import AGENT, TARGET

SMALL = """
@id("small") permit (principal in Group::"agents", action == Action::"write", resource)
when { context has blast && context.blast.rows <= 10 && !context.blast.irreversible };
@id("held") @approvers("owners") permit (principal, action == Action::"write", resource) when { context.approved };
@id("huge") forbid (principal, action == Action::"write", resource)
when { context has blast && context.blast.rows > 1000 && context.blast.known };
"""
FACTS = Facts(Effect.WRITE, "delete", (ObjectRef("table", "public.carts", "write"),))
QUESTION = Question(AGENT, TARGET, StatementKind.EXECUTE, FACTS, 12, upstream_text="DELETE")


def policies(text: str) -> Policies:
    return Policies({"a.cedar": text}, RiskTable.shipped())


def exact(rows: int) -> Blast:
    return Blast(True, rows, rows_exact=True)


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        (exact(10), Permit),
        (exact(11), Pending),
        (exact(1001), Denial),
        (replace(exact(3), irreversible=True), Pending),
        (Blast(False, 3, rows_exact=True), Pending),
        (unknown("Nobody knows."), Pending),
    ],
)
def test_thresholds_route(found: Blast, answer: type[object]) -> None:
    assert type(policies(SMALL).decide(QUESTION._replace(blast=found))) is answer


def test_each_statement_is_decided_by_its_own() -> None:
    rules = policies(SMALL)
    for rows, answer in ((5, Permit), (500, Pending), (5, Permit), (5000, Denial), (500, Pending)):
        assert type(rules.decide(QUESTION._replace(blast=exact(rows)))) is answer


def test_only_permits_that_the_blast_radius_gave_are_guarded() -> None:
    guard = Guard(20)
    small = policies(SMALL).decide(QUESTION._replace(blast=exact(3)), guard=guard)
    assert isinstance(small, Permit) and small.guard == guard
    both = (
        SMALL
        + '@id("trust") permit (principal, action == Action::"write", resource) when { context.verb == "delete" };'
    )
    other = policies(both.replace("rows <= 10", "rows <= 1")).decide(QUESTION._replace(blast=exact(3)), guard=guard)
    assert isinstance(other, Permit) and other.guard is None
    watched = QUESTION._replace(blast=exact(500), target=replace(TARGET, mode="observe"))
    observed = policies(SMALL).decide(watched, guard=guard)
    assert isinstance(observed, Permit) and observed.guard is None and observed.would_have


def test_it_must_be_known_only_where_a_rule_that_can_speak_reads_it() -> None:
    rules = policies(SMALL)
    assert rules.needs_blast(QUESTION)
    assert not rules.needs_blast(QUESTION._replace(facts=replace(FACTS, effect=Effect.READ)))
    assert not rules.needs_blast(QUESTION._replace(statement_kind=StatementKind.CONNECT))
    assert not policies('@id("x") permit (principal, action, resource);').needs_blast(QUESTION)
    anywhere = policies('@id("x") permit (principal, action, resource) when { context has blast };')
    assert anywhere.needs_blast(QUESTION._replace(facts=replace(FACTS, effect=Effect.READ)))
    group = policies(
        '@id("x") permit (principal in Group::"trusted", action in Action::"statement", resource) '
        "when { context has blast && context.blast.rows < 3 };"
    )
    assert not group.needs_blast(QUESTION)
    assert group.needs_blast(QUESTION._replace(principal=replace(AGENT, groups=frozenset({"trusted"}))))


def test_what_nobody_looked_at_is_supposed_to_be_the_worst() -> None:
    rules = policies(SMALL)
    assert rules.supposing(QUESTION, exact(2)).blast == exact(2)
    supposed = rules.supposing(QUESTION, None).blast
    assert supposed is not None and not supposed.known
    assert rules.supposing(QUESTION._replace(statement_kind=StatementKind.PREPARE), exact(5000)).blast is NOTHING
    plain = policies('@id("x") permit (principal, action, resource);')
    assert plain.supposing(QUESTION, exact(2)).blast is None


def test_preparing_is_let_through_where_some_run_of_it_would_be() -> None:
    rules = policies(SMALL)
    named = rules.supposing(QUESTION._replace(statement_kind=StatementKind.PREPARE), None)
    permit = rules.decide(named)
    assert isinstance(permit, Permit) and permit.prepare_only
