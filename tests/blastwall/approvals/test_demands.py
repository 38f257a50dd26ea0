"""Whose approval meets what several rules demand, and which demands others include."""

from __future__ import annotations

from itertools import product

import pytest

from blastwall.approvals.demands import Voice, covers, demanded, demands_of, missing, spelt
from blastwall.model import Demand, Pending, Principal
from tests.blastwall.approvals.asking import ask, person

OWNER, SECURITY, EITHER = Demand(("owners",)), Demand(("security",)), Demand(("owners", "security"))
BOTH = ask(approvers=("owners", "security"), quorum=1, demands=(OWNER, SECURITY))


def voices(*people: tuple[str, set[str]], at: float = 1.0) -> list[Voice]:
    return [Voice(person(name, groups=frozenset(groups)), at) for name, groups in people]


def test_two_owners_are_nobody_of_security() -> None:
    assert missing(BOTH, voices(("olga", {"owners"}), ("otto", {"owners"}))) == (SECURITY,)
    assert missing(BOTH, voices(("olga", {"owners"}), ("sami", {"security"}))) == ()
    assert missing(BOTH, voices(("sami", {"security"}))) == (OWNER,)


def test_who_is_both_counts_for_both_but_once_for_each() -> None:
    assert missing(BOTH, voices(("olga", {"owners", "security"}))) == ()
    two = ask(approvers=("owners",), quorum=2, demands=(Demand(("owners",), 2),))
    assert missing(two, voices(("olga", {"owners"}), ("OLGA", {"owners"}))) == (OWNER,)


def test_whom_policy_lets_decide_though_no_rule_names_them_counts() -> None:
    assert missing(BOTH, voices(("chief", {"chiefs"}))) == ()


@pytest.mark.parametrize(("at", "left"), [(99.0, (OWNER,)), (100.0, ())])
def test_whom_it_escalates_to_counts_for_others_from_then_on(at: float, left: tuple[Demand, ...]) -> None:
    escalating = ask(
        approvers=("owners", "security"), demands=(OWNER, SECURITY), escalation=("security",), escalate_at=100.0
    )
    assert missing(escalating, voices(("sami", {"security"}), at=at)) == left


def test_what_names_no_demands_is_one_for_all_its_approvers() -> None:
    assert demands_of(ask(approvers=("owners", "dba"), quorum=2)) == (Demand(("owners", "dba"), 2),)
    assert demands_of(Pending(approvers=("a",))) == (Demand(("a",)),)
    assert missing(ask(approvers=(), quorum=2), voices(("olga", {"owners"}))) == (Demand(()),)


def test_a_demand_that_another_includes_is_not_asked_for_besides() -> None:
    assert demanded([OWNER, EITHER]) == demanded([EITHER, OWNER]) == (OWNER,)
    assert demanded([OWNER, Demand(("owners",), 2), SECURITY]) == (Demand(("owners",), 2), SECURITY)
    assert demanded([OWNER, Demand(("owners", "security"), 2)]) == (OWNER, Demand(("owners", "security"), 2))
    assert demanded([EITHER, EITHER]) == (EITHER,)


@pytest.mark.parametrize("groups", [("owners",), ("security",), ("owners", "security"), ()])
def test_covering_is_what_every_set_of_people_confirms(groups: tuple[str, ...]) -> None:
    """Whoever meets the one meets the other, tried with every way to be a member of a group of theirs."""
    memberships = [{"owners"}, {"security"}, {"owners", "security"}]
    for met, wanted in product(
        [(Demand(groups, n),) for n in (1, 2)], [(OWNER,), (EITHER,), (Demand(EITHER.groups, 2),)]
    ):
        if not covers(met, wanted):
            continue
        for one, other in product(memberships, repeat=2):
            people = voices(("a", one), ("b", other))
            if not missing(ask(approvers=("owners", "security"), demands=met), people):
                assert not missing(ask(approvers=("owners", "security"), demands=wanted), people), (met, wanted)


def test_nobodys_approval_covers_only_what_asks_nobody() -> None:
    assert not covers((), (OWNER,))
    assert covers((OWNER, SECURITY), (EITHER,))
    assert not covers((EITHER,), (OWNER,))
    assert not covers((Demand(()),), (OWNER,))


def test_it_is_said_in_words() -> None:
    assert spelt((Demand(("owners",), 2), Demand(("security", "dba")), Demand(()))) == (
        "2 of owners and 1 of security, dba and 1 of those whom policy lets"
    )
    assert isinstance(person("x"), Principal)
