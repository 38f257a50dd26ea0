"""Plans without expressions over masked columns."""

from __future__ import annotations

import json

import pytest

from blastwall.masking.plan import Mask, Plan, Predicates, Strategy
from blastwall.protocols.postgres.explain import HIDDEN, conceal, telling

SSN = Mask("public.customers.ssn", Strategy.REDACT, Predicates.DENY, "'***'", "masking.yaml:1", 25)
PATTERN = telling(Plan({1000: {2: SSN}}, marks=frozenset({"***", "hash:"})))

SHOWN = [
    "Seq Scan on customers  (cost=0.00..22.70 rows=1270 width=36)",
    "  Filter: ((name)::text = 'x'::text)",
    "  Index Cond: (ssn_count = 5)",
    "Planning Time: 0.093 ms",
    json.dumps([{"Plan": {"Node Type": "Seq Scan", "Filter": "(id = 5)"}}]),
]


@pytest.mark.parametrize("line", SHOWN)
def test_what_tells_nothing_of_masked_columns_stays(line: str) -> None:
    value = line.encode()
    assert conceal(value, PATTERN) is value


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("  Filter: ('***'::text = 'x'::text)", f"  Filter: {HIDDEN}"),
        ("        Sort Key: ((customers.ssn)::text)", f"        Sort Key: {HIDDEN}"),
        ("  Output: id, CASE WHEN (ssn IS NULL) THEN NULL", f"  Output: {HIDDEN}"),
        ("  Filter: (name = 'two\nlines ssn')", f"  Filter: {HIDDEN}"),
        ("Index Scan using x on ssn", f'"{HIDDEN}"'),
        ('[{"Plan": {"Filter": "(ssn = 1)"}}]', f'"{HIDDEN}"'),
    ],
)
def test_what_tells_goes(line: str, shown: str) -> None:
    assert conceal(line.encode(), PATTERN).decode() == shown


def test_without_masks_nothing_tells() -> None:
    assert conceal(b"", telling(Plan())) == b""
    assert conceal(b"  Filter: (ssn = 1)", telling(Plan())) == b"  Filter: (ssn = 1)"
