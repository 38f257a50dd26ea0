"""No object escapes a rule's sight by standing behind two hundred others."""

from __future__ import annotations

from blastwall.model import Effect, Facts, ObjectRef
from blastwall.sql.facts import MAX_OBJECTS, Ledger, worst


def read(number: int) -> Facts:
    return Facts(Effect.READ, "select", (ObjectRef("table", f"public.t{number}", "read"),))


def test_one_statement_may_touch_so_many_and_not_one_more() -> None:
    ledger = Ledger("select", Effect.READ)
    for number in range(MAX_OBJECTS):
        ledger.touch("table", f"public.t{number}", "read")
    ledger.touch("table", "public.t0", "read")
    assert ledger.close().effect is Effect.READ, "the same one again is not one more"
    ledger.touch("table", "public.customers", "read")
    assert ledger.close().effect is Effect.UNKNOWN


def test_several_statements_share_the_allowance() -> None:
    assert worst([read(number) for number in range(MAX_OBJECTS)], "").effect is Effect.READ
    assert worst([read(number) for number in range(MAX_OBJECTS + 1)], "").effect is Effect.UNKNOWN
