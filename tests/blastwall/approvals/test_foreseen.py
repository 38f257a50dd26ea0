"""A blast radius as people read it: what, how many, how certain, and what hangs on it."""

from __future__ import annotations

from dataclasses import replace

from blastwall.approvals.foreseen import MOST, NO_WAY_BACK, UNCERTAIN, lines
from blastwall.blast import NOTHING, Blast, Count, Lock, Rows, unknown

BLAST = Blast(
    known=True,
    rows=3,
    rows_exact=True,
    cascaded_rows=1213,
    tables=(
        Rows("public.a", 3, "delete"),
        Rows("public.b", 1212, "on delete cascade", Count.AT_MOST, "b_a_fkey"),
        Rows("public.c", 1, "on delete set null", Count.EXACT, "c_b_fkey"),
    ),
    triggers=("public.b.audit",),
    locks=(Lock("public.a", "row exclusive", 120_000, 14_000_000), Lock("public.b", "row exclusive")),
    reasons=("Triggers run code.",),
)


def shown(blast: Blast) -> list[str]:
    found = lines(blast.document())
    assert found is not None
    return found


def test_a_small_tree() -> None:
    assert shown(BLAST) == [
        "delete of exactly 3 rows of public.a",
        "├─ on delete cascade of at most 1,212 rows of public.b (by b_a_fkey)",
        "└─ on delete set null of exactly 1 row of public.c (by c_b_fkey)",
        "together 1,213 rows besides those it names",
        "runs triggers",
        "  public.b.audit",
        "locks public.a, row exclusive (about 120,000 rows, 13 MB)",
        "locks public.b, row exclusive",
        "· Triggers run code.",
    ]


def test_what_is_uncertain_or_final_is_said_first() -> None:
    assert shown(replace(BLAST, known=False))[0] == UNCERTAIN
    assert shown(replace(BLAST, irreversible=True))[0] == NO_WAY_BACK
    assert shown(unknown("It samples rows.")) == [UNCERTAIN, "rows not counted", "· It samples rows."]
    assert shown(NOTHING) == ["changes no rows"]


def test_an_estimate_is_called_one() -> None:
    guess = Rows("public.a", 900, "delete", Count.ESTIMATE)
    assert shown(Blast(False, 900, tables=(guess,)))[1] == (
        "delete of an estimated 900 rows of public.a (the planner's estimate, which errs 3 to 5 times)"
    )
    left = Rows("public.b", 0, "on delete cascade", Count.UNKNOWN)
    assert "rows that were not counted of public.b" in shown(Blast(False, 3, tables=(guess, left)))[2]


def test_what_refuses_it_and_what_goes_along_is_listed() -> None:
    found = shown(replace(BLAST, blocked=("It is refused by x.",), dependents=("view public.v",)))
    assert "! It is refused by x." in found
    assert found[found.index("takes along") + 1] == "  view public.v"


def test_long_lists_are_cut_and_say_so() -> None:
    many = tuple(f"view public.v{number}" for number in range(MOST + 5))
    found = shown(replace(BLAST, dependents=many))
    assert "  and 5 more" in found
    assert f"  view public.v{MOST}" not in found


def test_another_document_is_none() -> None:
    assert lines({"rows": 3}) is None
