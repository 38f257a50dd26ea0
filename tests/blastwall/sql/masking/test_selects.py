"""Queries inside queries: what comes out of each, and that nothing is used on the way unseen."""

from __future__ import annotations

import pytest

from blastwall.masking.plan import Predicates, Strategy
from tests.blastwall.sql.masking.masks import found, refusal


def shown(text: str, strategy: Strategy = Strategy.HASH, predicates: Predicates = Predicates.DENY) -> list[str]:
    """Of each output: sink, mask or - for nothing masked."""
    finding = found(text, predicates, strategy)
    assert not finding.facts.refusal, finding.facts.refusal
    outputs = finding.treatment.outputs
    assert outputs is not None
    return ["sink" if each.sink else "mask" if each.masks else "-" for each in outputs]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT id, ssn FROM customers", ["-", "sink"]),
        ("SELECT q.b FROM (SELECT id, ssn FROM customers) AS q (a, b)", ["sink"]),
        ("WITH a AS (SELECT ssn FROM customers), b AS (SELECT * FROM a) SELECT * FROM b, a", ["sink", "sink"]),
        ("SELECT ssn FROM customers UNION ALL SELECT email FROM customers", ["sink"]),
        ("SELECT ssn FROM customers UNION ALL SELECT name FROM products", ["mask"]),
        ("SELECT ssn, name FROM customers UNION ALL SELECT name, 'x' FROM customers", ["mask", "-"]),
        ("VALUES ((SELECT ssn FROM customers LIMIT 1)), ((SELECT email FROM customers LIMIT 1))", ["sink"]),
        ("VALUES ((SELECT ssn FROM customers LIMIT 1)), ('x')", ["mask"]),
        ("SELECT (SELECT ssn FROM customers LIMIT 1), count(ssn) FROM customers", ["sink", "-"]),
        ("SELECT ssn, profile FROM customers", ["sink", "mask"]),
        ("SELECT c FROM customers c", ["mask"]),
        ("SELECT ssn, c FROM customers c", ["mask", "mask"]),
        ("SELECT x FROM v_customers", ["sink"]),
        ("WITH RECURSIVE r AS (SELECT ssn FROM customers) SELECT * FROM r", ["sink"]),
        ("DELETE FROM customers WHERE id = 1 RETURNING ssn, id", ["sink", "-"]),
        ("WITH w AS (DELETE FROM customers WHERE id = 1 RETURNING ssn) SELECT ssn FROM w", ["sink"]),
    ],
)
def test_raw_values_come_up_only_as_they_stand(text: str, expected: list[str]) -> None:
    assert shown(text) == expected


def test_one_use_hides_the_column_of_that_scan() -> None:
    allow = Predicates.ALLOW
    assert shown("SELECT ssn, upper(ssn) FROM customers", predicates=allow) == ["mask", "mask"]
    text = "SELECT a.ssn, b.ssn FROM customers a, customers b ORDER BY a.ssn"
    assert shown(text, predicates=allow) == ["mask", "sink"]
    assert shown("SELECT ssn, count(*) FROM customers GROUP BY ssn", predicates=allow) == ["sink", "-"]
    assert shown("SELECT DISTINCT ssn FROM customers", predicates=allow) == ["sink"]
    assert shown("SELECT DISTINCT ON (ssn) ssn FROM customers", predicates=allow) == ["mask"]
    assert shown("SELECT ssn FROM customers UNION SELECT email FROM customers", predicates=allow) == ["mask"]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id FROM customers ORDER BY 1, ssn",
        "SELECT id, ssn AS s FROM customers ORDER BY s",
        "SELECT ssn FROM customers ORDER BY 1",
        "SELECT ssn AS s FROM customers GROUP BY s",
        "SELECT ssn FROM customers GROUP BY 1",
        "SELECT ssn FROM customers UNION ALL SELECT 'x' ORDER BY 1",
        "SELECT ssn FROM customers INTERSECT SELECT 'x'",
        "SELECT 'x' EXCEPT SELECT ssn FROM customers",
        "SELECT id FROM customers WINDOW w AS (ORDER BY ssn)",
        "WITH w AS (SELECT ssn AS s FROM customers) SELECT 1 FROM w WHERE s = 'x'",
        "SELECT 1 FROM (SELECT count(*) AS n, ssn FROM customers GROUP BY ssn) AS q",
        "WITH RECURSIVE r AS (SELECT 1 AS n, ssn FROM customers UNION ALL SELECT n + 1, ssn FROM r WHERE n < 2) TABLE r",
        "WITH RECURSIVE r AS (SELECT 1 AS n, '' AS t UNION ALL SELECT n + 1, ssn FROM r, customers WHERE n < 2) TABLE r",
        "WITH RECURSIVE r AS (SELECT ssn FROM customers UNION SELECT ssn FROM r) SEARCH DEPTH FIRST BY ssn SET o TABLE r",
        "WITH never AS (SELECT 1 FROM customers WHERE ssn > 'x') SELECT 1",
        "SELECT id FROM customers GROUP BY GROUPING SETS ((id), (ssn))",
    ],
)
def test_no_use_is_missed(text: str) -> None:
    assert "masked column" in refusal(text)


def test_names_of_a_with_query_may_be_read_before_they_are_given() -> None:
    assert shown("WITH RECURSIVE b AS (SELECT * FROM a), a AS (SELECT ssn FROM customers) SELECT * FROM b") == ["sink"]


def test_distinct_rows_of_a_table_whose_key_is_shown_compare_nothing_masked() -> None:
    """What libraries send to leave out the doubles that a join makes."""
    for text in (
        "SELECT DISTINCT c.* FROM customers c JOIN orders o ON o.customer_id = c.id",
        "SELECT DISTINCT ssn, id FROM customers",
        "SELECT DISTINCT c.id, c.ssn, o.id FROM customers c, orders o",
    ):
        assert not refusal(text) and not found(text).facts.filters_masked
    for text in (
        "SELECT DISTINCT c.ssn, o.id FROM customers c, orders o",
        "SELECT DISTINCT c.ssn, d.id FROM customers c, customers d",
        "SELECT DISTINCT id + 1, ssn FROM customers",
        "SELECT DISTINCT x, id FROM v_customers",  # a view has no key
        "SELECT DISTINCT q.id, q.ssn FROM (SELECT * FROM customers) AS q",
    ):
        assert "with DISTINCT" in refusal(text), text
