"""Plans without their expressions."""

from __future__ import annotations

import pytest

from blastwall.protocols.postgres.explain import conceal

SHOWN = [
    "Seq Scan on customers  (cost=0.00..22.70 rows=1270 width=36)",
    "  ->  Index Scan using customers_pkey on public.customers c_1  (cost=0.15..8.17 rows=1 width=36) (actual time=0.010..0.011 rows=1 loops=1)",
    "        ->  Parallel Seq Scan on t  (cost=0.00..1.0 rows=1 width=4) (never executed)",
    "Planning Time: 0.093 ms",
    "  Rows Removed by Filter: 3",
    "  Worker 0:  actual time=0.1..0.2 rows=1 loops=1",
    "  Buffers: shared hit=3",
    "  InitPlan 1",
    "Aggregate",
]
HIDDEN = {
    "  Filter: ('***'::text = 'x'::text)": "  Filter: (not shown: masked columns)",
    "        Index Cond: (id = 5)": "        Index Cond: (not shown: masked columns)",
    "  Output: customers.id, '***'::text": "  Output: (not shown: masked columns)",
    "  Sort Key: ((customers.ssn)::text)": "  Sort Key: (not shown: masked columns)",
    "  Something New: 078-05-1120": "  Something New: (not shown: masked columns)",
    "078-05-1120": "(not shown: masked columns)",
    "Result  (cost=0.00..0.01 rows=1 width=32) 'x'": "(not shown: masked columns)",
    "  Filter: (name = 'two\nlines: x')": "  Filter: (not shown: masked columns)",
}


@pytest.mark.parametrize("line", SHOWN)
def test_the_shape_and_the_numbers_stay(line: str) -> None:
    assert conceal(line.encode()) == line.encode()


@pytest.mark.parametrize(("line", "shown"), HIDDEN.items())
def test_what_is_computed_with_goes(line: str, shown: str) -> None:
    assert conceal(line.encode()).decode() == shown
