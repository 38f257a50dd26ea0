"""Findings add up; the worst one keeps its reason."""

from __future__ import annotations

from blastwall.model import Effect, Facts, ObjectRef
from blastwall.sql.facts import MAX_OBJECTS, MAX_REASON, Ledger, unknown, worst


def test_the_first_reason_for_the_worst_effect_stays() -> None:
    ledger = Ledger("select")
    ledger.raise_to(Effect.READ, "")
    ledger.raise_to(Effect.ADMINISTER, "first")
    ledger.raise_to(Effect.ADMINISTER, "second", "code")
    ledger.raise_to(Effect.WRITE, "lesser", "locks_rows")
    facts = ledger.close("abc")
    assert (facts.effect, facts.reason, facts.fingerprint) == (Effect.ADMINISTER, "first", "abc")
    assert facts.flags == {"code", "locks_rows"}


def test_a_reason_may_come_after_its_effect() -> None:
    ledger = Ledger("do", Effect.ADMINISTER)
    ledger.raise_to(Effect.ADMINISTER, "why")
    assert ledger.close().reason == "why"


def test_objects_are_kept_once_in_order_and_bounded() -> None:
    ledger = Ledger("select")
    for number in range(MAX_OBJECTS * 2):
        ledger.touch("table", f"t{number % (MAX_OBJECTS + 50)}", "read")
    ledger.touch("table", "t0", "read")
    assert len(ledger.objects()) == MAX_OBJECTS
    assert ledger.objects()[0] == ObjectRef("table", "t0", "read")


def test_names_out_of_hostile_texts_do_not_make_long_reasons() -> None:
    ledger = Ledger("select")
    ledger.touch("table", "x" * 10_000, "read")
    ledger.raise_to(Effect.UNKNOWN, "y" * 10_000)
    assert len(ledger.reason) == MAX_REASON
    assert len(ledger.objects()[0].name) < 1000


def test_a_carried_statement_is_taken_whole() -> None:
    ledger = Ledger("execute")
    carried = Facts(
        Effect.DESTROY, "delete", (ObjectRef("table", "t", "write"),), frozenset({"triggers"}), False, "all rows"
    )
    ledger.take(carried)
    facts = ledger.close()
    assert (facts.effect, facts.verb, facts.bounded, facts.reason) == (Effect.DESTROY, "execute", False, "all rows")
    assert facts.objects == carried.objects
    assert "triggers" in facts.flags


def test_a_text_is_as_bad_as_its_worst_statement() -> None:
    read = Facts(Effect.READ, "select", (ObjectRef("table", "a", "read"),), frozenset({"view"}))
    drop = Facts(Effect.DESTROY, "drop table", (ObjectRef("table", "b", "destroy"),), frozenset(), True, "drops b")
    loose = Facts(Effect.WRITE, "update", (), frozenset(), False, "updates")
    facts = worst([read, drop, loose], "f")
    assert (facts.effect, facts.verb, facts.reason, facts.statements) == (Effect.DESTROY, "drop table", "drops b", 3)
    assert not facts.bounded
    assert [each.name for each in facts.objects] == ["a", "b"]
    assert facts.flags == {"view", "multiple_statements"}
    assert worst([read], "f").flags == {"view"}


def test_what_is_not_understood_is_unbounded() -> None:
    facts = unknown("because", "unparsed")
    assert (facts.effect, facts.bounded, facts.flags) == (Effect.UNKNOWN, False, {"unparsed"})
