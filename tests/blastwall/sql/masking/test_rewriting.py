"""The sub-select that stands for a masked relation: what is in it, and what becomes of what surrounds it."""

from __future__ import annotations

import pytest

from blastwall.masking.plan import Predicates
from blastwall.sql.masking import treat
from blastwall.sql.parser import parse
from tests.blastwall.sql.judging import corpus
from tests.blastwall.sql.masking.masks import corpus_plan, found, masked, refusal

MASK = "CASE WHEN customers.ssn IS NULL THEN NULL ELSE '***'::pg_catalog.text::pg_catalog.text END::pg_catalog.text"


@pytest.mark.parametrize(
    ("text", "upstream"),
    [
        ("SELECT ssn FROM customers", f"SELECT ssn FROM (SELECT {MASK} AS ssn FROM public.customers) customers"),
        (
            "SELECT c.s, i FROM customers AS c (i, n, e, s)",
            f"SELECT c.s, i FROM (SELECT customers.id AS i, {MASK} AS s FROM public.customers) c",
        ),
        (
            "SELECT ssn, xmin FROM customers",
            f"SELECT ssn, xmin FROM (SELECT {MASK} AS ssn, customers.xmin AS xmin FROM public.customers) customers",
        ),
        (
            "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id",
            "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id",
        ),
        (
            "SELECT o.id, c.ssn FROM orders o, customers c FOR UPDATE OF c",
            f"SELECT o.id, c.ssn FROM public.orders o, (SELECT {MASK} AS ssn FROM public.customers) c FOR UPDATE OF c",
        ),
        (
            "SELECT count(ssn) FROM customers",
            f"SELECT count(ssn) FROM (SELECT {MASK} AS ssn FROM public.customers) customers",
        ),
    ],
)
def test_only_what_is_referred_to_is_read(text: str, upstream: str) -> None:
    assert masked(text) == upstream


def test_a_key_that_is_grouped_by_carries_what_depends_on_it() -> None:
    upstream = masked("SELECT c.id, c.ssn, c.name, count(o.id) FROM customers c JOIN orders o ON true GROUP BY c.id")
    assert upstream.endswith("GROUP BY c.id, c.name, c.ssn")
    upstream = masked("SELECT ssn FROM customers GROUP BY id HAVING max(balance) > 1 ORDER BY name, ctid")
    assert "GROUP BY id, customers.name, customers.ssn, customers.balance, customers.ctid" in upstream
    # What only WHERE names needs no group.
    assert masked("SELECT id, ssn FROM customers WHERE phone = '1' GROUP BY id").endswith("GROUP BY id, customers.ssn")
    # Without the key the server says what is wrong, as it would have.
    assert masked("SELECT ssn, name FROM customers GROUP BY name").endswith("GROUP BY name")


def test_a_star_beside_a_system_column_is_written_out() -> None:
    upstream = masked("SELECT *, c.ctid FROM customers AS c JOIN orders AS o USING (id)")
    assert upstream.startswith("SELECT id AS id, c.name AS name, c.email AS email, ")
    assert refusal("SELECT c, c.ctid FROM customers c")


def test_names_that_go_upstream_are_qualified() -> None:
    upstream = masked("SELECT c.ssn FROM customers c, orders, pg_class p WHERE EXISTS (SELECT 1 FROM products)")
    for name in ("public.customers", "public.orders", "pg_catalog.pg_class p", "public.products"):
        assert name in upstream


def test_a_mask_never_comes_from_the_statement() -> None:
    """A column of the agent's own that is called like the masked one."""
    upstream = masked("SELECT customers.ssn FROM (SELECT id, 'x' AS ssn FROM orders) AS q, customers")
    assert upstream.count("'***'") == 1


def test_a_plan_shows_no_masked_group() -> None:
    assert "EXPLAIN" in refusal("EXPLAIN SELECT id, ssn FROM customers GROUP BY id")


def test_the_tree_that_was_judged_stays_as_it_was() -> None:
    finding = found("SELECT ssn FROM customers", Predicates.DENY)
    assert finding.tree is not None
    assert finding.tree.statements[0].stmt.select_stmt.from_clause[0].range_var.relname == "customers"


def test_a_masked_table_where_nothing_follows_it_is_refused() -> None:
    """The grammar lets only a constant stand there: a parser that lets more finds the net below."""
    around = corpus(plan=corpus_plan())
    text = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) CYCLE n SET c TO 1 DEFAULT 0 USING p SELECT n FROM t"
    for table, follows in (("customers", False), ("v_customers", False), ("orders", True)):
        node = parse(text).statements[0].stmt
        link = parse(f"SELECT (SELECT id FROM {table})").statements[0].stmt.select_stmt.target_list[0].res_target.val
        cycle = node.select_stmt.with_clause.ctes[0].common_table_expr.cycle_clause
        cycle.cycle_mark_value.CopyFrom(link)
        assert ("does not follow" not in treat(node, around).refusal) is follows


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE orders SET (status, total) = (SELECT name, 1 FROM customers WHERE id = 1) WHERE id = 1",
        "UPDATE orders SET (status, total) = ROW ((SELECT name FROM customers WHERE id = 1), (SELECT 1 FROM customers)) WHERE id = 1",
        "WITH customers AS (SELECT 1 AS id) SELECT id FROM customers, public.customers AS c",
        "SELECT id FROM customers FOR UPDATE OF customers",
        "COPY customers (id) FROM STDIN",
        "MERGE INTO customers USING customers AS c ON c.id = customers.id AND c.id = 1 WHEN MATCHED THEN DELETE",
    ],
)
def test_every_place_that_is_followed_passes_the_net(text: str) -> None:
    assert "does not follow" not in found(text).facts.refusal
