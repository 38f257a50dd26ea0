"""Values: what comes from where, and when a mask of the sink can stay behind."""

from __future__ import annotations

from blastwall.masking.plan import Mask, Predicates, Strategy
from blastwall.sql.masking.values import CLEAN, Entry, Leaf, Value, derived, merged, renamed, table
from blastwall.sql.tree import MESSAGES


def leaf(strategy: Strategy = Strategy.HASH) -> Leaf:
    return Leaf(Mask("public.t.a", strategy, Predicates.DENY, "'x'", "masking.yaml:1", 25))


def test_a_mask_of_the_database_hides_and_one_of_the_sink_does_not() -> None:
    assert leaf(Strategy.REDACT).hidden
    assert not leaf(Strategy.HASH).hidden and not leaf(Strategy.FAKE).hidden


def test_rows_of_several_places_are_mixed_unless_all_are_masked() -> None:
    one, other = Value(frozenset({leaf()}), origin=(1, 2)), Value(frozenset({leaf()}))
    both = merged((one, other))
    assert both.leaves == one.leaves | other.leaves and both.bare and not both.mixed
    assert both.origin == (0, 0)
    assert merged((one, CLEAN)).mixed
    assert not merged((CLEAN, CLEAN)).mixed
    assert not merged((one, derived({leaf()}))).bare


def test_what_is_computed_is_not_bare() -> None:
    assert not derived({leaf()}).bare
    assert derived(()).bare and not derived(()).leaves


def test_an_alias_list_renames_the_first_columns() -> None:
    entries = [Entry("a", CLEAN), Entry("b", CLEAN)]
    assert [each.name for each in renamed(entries, ["x"]) or ()] == ["x", "b"]
    assert renamed(None, ["x"]) is None


def test_the_table_lists_nodes_that_exist() -> None:
    listed = {*table()["expressions"], *table()["conditions"]["nodes"]}
    assert listed <= set(MESSAGES)
    assert "SubLink" not in listed and "RangeVar" not in listed
