"""A blast radius says how certain it is, and to policy whatever is not certain is the worst."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from blastwall.blast import (
    MOST_COUNTED,
    MOST_LISTED,
    NOTHING,
    UNCOUNTED,
    Blast,
    Count,
    Lock,
    Rows,
    from_document,
    unknown,
)

BLAST = Blast(
    known=True,
    rows=3,
    rows_exact=True,
    cascaded_rows=12,
    tables=(
        Rows("public.a", 3, "delete"),
        Rows("public.b", 12, "on delete cascade", Count.EXACT, "b_a_fkey"),
    ),
    triggers=("public.b.audit",),
    locks=(Lock("public.a", "row exclusive", 120_000, 14_000_000), Lock("public.b", "row exclusive")),
    dependents=("view public.v",),
    blocked=("It is refused by c_a_fkey.",),
    reasons=("Triggers run code.",),
)


def test_it_travels_as_json_and_comes_back_the_same() -> None:
    assert from_document(json.loads(json.dumps(BLAST.document()))) == BLAST
    document = BLAST.document()
    document["tables"][0]["count"] = "roughly"
    with pytest.raises(ValueError, match="roughly"):
        from_document(document)
    del document["known"]
    with pytest.raises(KeyError):
        from_document(document)


def test_policy_sees_numbers_that_are_certain() -> None:
    assert BLAST.context() == {
        "known": True,
        "rows": 3,
        "rows_exact": True,
        "cascaded_rows": 12,
        "tables": ["public.a", "public.b"],
        "triggers": ["public.b.audit"],
        "locks": ["row exclusive public.a", "row exclusive public.b"],
        "dependents": ["view public.v"],
        "blocked": True,
        "irreversible": False,
    }


def test_what_is_unknown_is_more_than_any_threshold_and_cannot_be_undone() -> None:
    seen = Blast(False, rows=2, rows_exact=True, cascaded_rows=0, tables=BLAST.tables).context()
    assert (seen["rows"], seen["cascaded_rows"]) == (UNCOUNTED, UNCOUNTED)
    assert (seen["known"], seen["rows_exact"], seen["irreversible"]) == (False, False, True)
    assert unknown("No reason.").context()["rows"] == UNCOUNTED == 2**63 - 1
    assert unknown("No reason.").reasons == ("No reason.",)


def test_an_upper_bound_is_a_number_and_a_lower_one_is_none() -> None:
    most = Blast(True, 5, tables=(Rows("public.a", 5, "delete", Count.AT_MOST),)).context()
    assert (most["rows"], most["rows_exact"]) == (5, False)
    least = Blast(True, MOST_COUNTED + 1, tables=(Rows("public.a", MOST_COUNTED + 1, "delete", Count.AT_LEAST),))
    assert least.context()["rows"] == UNCOUNTED


def test_nothing_is_the_least_there_is() -> None:
    seen = NOTHING.context()
    assert (seen["known"], seen["rows"], seen["cascaded_rows"], seen["irreversible"]) == (True, 0, 0, False)


def test_lists_are_bounded_and_say_what_is_missing() -> None:
    assert BLAST.bounded() is BLAST
    many = replace(BLAST, dependents=tuple(f"view v{number}" for number in range(MOST_LISTED + 3))).bounded()
    assert len(many.dependents) == MOST_LISTED
    assert many.reasons[-1] == "3 more dependents are not listed."
    assert (many.rows, many.tables) == (BLAST.rows, BLAST.tables)


def test_what_rules_cannot_see_whole_is_unknown_to_them() -> None:
    """A rule that forbids to drop one view must not be false because that one was not listed."""
    assert BLAST.bounded().known
    names = tuple(f"public.v{number}" for number in range(MOST_LISTED + 1))
    for many in (replace(BLAST, dependents=names).bounded(), replace(BLAST, triggers=names).bounded()):
        assert not many.known and many.context()["rows"] == UNCOUNTED and many.context()["irreversible"] is True
    assert replace(BLAST, blocked=tuple(f"by {number}" for number in range(MOST_LISTED + 1))).bounded().known
