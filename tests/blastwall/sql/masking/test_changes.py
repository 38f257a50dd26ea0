"""Changing statements: nothing masked is stored or computed with, and writes to masked columns are told."""

from __future__ import annotations

import pytest

from blastwall.masking.plan import Predicates, Strategy
from tests.blastwall.sql.masking.masks import found, masked, refusal


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO orders (status) SELECT ssn FROM customers",
        "INSERT INTO orders (status) SELECT q.s FROM (SELECT upper(ssn) AS s FROM customers) AS q",
        "INSERT INTO orders (status) VALUES ((SELECT ssn FROM customers LIMIT 1))",
        "INSERT INTO customers (name, email, ssn) SELECT ssn, email, name FROM customers",
        "INSERT INTO orders (status) SELECT 'x' UNION ALL SELECT ssn FROM customers",
        "INSERT INTO customers (id, name, email, ssn) VALUES (1, 'a', 'b', 'c') ON CONFLICT (id) DO UPDATE SET name = customers.ssn",
        "UPDATE orders SET status = c.ssn FROM customers c WHERE c.id = orders.customer_id",
        "UPDATE orders SET (status, total) = (SELECT ssn, 1 FROM customers LIMIT 1)",
        "UPDATE orders SET (status, total) = ROW ((SELECT ssn FROM customers LIMIT 1), 1)",
        "UPDATE customers SET name = ssn",
        "UPDATE customers SET name = CASE WHEN ssn > 'x' THEN 'a' END",
        "UPDATE customers SET ssn = email",
        "MERGE INTO orders USING customers c ON orders.customer_id = c.id WHEN MATCHED THEN UPDATE SET status = c.ssn",
        "MERGE INTO orders USING customers c ON false WHEN NOT MATCHED THEN INSERT (status) VALUES (c.ssn)",
        "MERGE INTO customers c USING orders o ON c.id = o.id WHEN MATCHED THEN UPDATE SET name = c.ssn",
        "WITH w AS (SELECT ssn FROM customers) INSERT INTO orders (status) SELECT * FROM w",
        "WITH w AS (INSERT INTO orders (status) SELECT ssn FROM customers RETURNING status) SELECT 1",
        "CREATE TABLE mine AS SELECT ssn FROM customers",
        "CREATE TABLE mine AS SELECT upper(ssn) FROM customers",
        "INSERT INTO customers (name, profile[(SELECT ssn FROM customers LIMIT 1)]) VALUES ('a', '1')",
        "INSERT INTO customers (name, profile[(SELECT upper(ssn) FROM v_customers, customers LIMIT 1)]['b']) SELECT 'a', '1'",
        "UPDATE customers SET profile[(SELECT c.ssn FROM customers c LIMIT 1)] = '1' WHERE id = 1",
        "MERGE INTO customers c USING orders o ON c.id = o.id WHEN NOT MATCHED THEN "
        "INSERT (name, profile[(SELECT q.ssn FROM customers q LIMIT 1)]) VALUES ('a', '1')",
        "SELECT ssn INTO mine FROM customers",
        "SELECT ssn INTO mine FROM customers UNION ALL SELECT ssn FROM customers",
        "(SELECT ssn INTO TEMP mine FROM customers UNION ALL SELECT 'a') UNION ALL SELECT 'b' ORDER BY 1 LIMIT 1",
        "SELECT 'a' AS a INTO mine UNION ALL SELECT ssn FROM customers",
        "EXPLAIN ANALYZE SELECT ssn INTO mine FROM customers UNION ALL SELECT ssn FROM customers",
        "CREATE TEMP TABLE mine AS TABLE customers",
        "COPY customers TO '/tmp/customers'",
        "COPY (SELECT id, ssn FROM customers) TO PROGRAM 'cat'",
        "CREATE VIEW mine AS SELECT ssn FROM customers",
        "CREATE VIEW mine AS SELECT count(ssn) FROM customers",
        "CREATE MATERIALIZED VIEW mine AS SELECT x FROM v_customers",
    ],
)
@pytest.mark.parametrize("predicates", Predicates)
def test_a_masked_column_is_not_copied(text: str, predicates: Predicates) -> None:
    assert "masked column" in refusal(text, predicates)
    assert "masked column" in found(text, predicates, Strategy.HASH).facts.refusal


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO orders (status) SELECT name FROM customers",
        "CREATE TABLE mine AS SELECT id, name FROM customers",
        "CREATE VIEW mine AS SELECT id, name FROM customers",
        "UPDATE orders SET status = c.name FROM customers c WHERE c.id = orders.customer_id",
        "INSERT INTO orders (total) SELECT count(ssn) FROM customers",
    ],
)
def test_other_columns_are(text: str) -> None:
    assert not refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM customers WHERE customers IS NOT NULL",
        "UPDATE customers SET name = 'x' RETURNING customers",
        "UPDATE customers SET name = 'x' RETURNING row_to_json(customers)",
        "UPDATE customers SET name = 'x' RETURNING (SELECT o.ssn FROM (SELECT customers.*) o)",
        "DELETE FROM customers c WHERE id = 1 RETURNING ARRAY(SELECT o.name FROM (SELECT c.*, 1) o)",
        "INSERT INTO customers (name) VALUES ('x') RETURNING (SELECT o.ssn FROM (SELECT q.* FROM (SELECT customers.*) q) o)",
        "DELETE FROM customers WHERE id = 1 RETURNING (SELECT x FROM (SELECT customers.* LIMIT 1) AS t (a, b, c, x))",
        "DELETE FROM v_customers WHERE id = 1 RETURNING (SELECT o.x FROM (SELECT v_customers.*) o)",
        "DELETE FROM customers WHERE ssn LIKE '1%'",
        "DELETE FROM orders USING customers c WHERE c.ssn LIKE '1%' AND c.id = orders.customer_id",
        "MERGE INTO customers c USING orders o ON c.ssn = o.status WHEN MATCHED THEN DELETE",
        "MERGE INTO customers c USING orders o ON c.id = o.id WHEN MATCHED AND c.ssn > 'x' THEN DELETE",
        "INSERT INTO customers (id, name, email, ssn) VALUES (1, 'a', 'b', 'c') "
        "ON CONFLICT (id) DO UPDATE SET name = 'x' WHERE customers.ssn > 'x'",
        "MERGE INTO customers c USING orders o ON c.id = o.id WHEN MATCHED THEN DELETE RETURNING *",
    ],
)
def test_nothing_is_computed_with_real_values(text: str) -> None:
    assert refusal(text), found(text)


def test_returning_shows_masks_under_the_names_of_their_columns() -> None:
    upstream = masked("UPDATE customers AS c SET name = 'x' WHERE id = 1 RETURNING ssn, c.email AS address, id")
    assert "CASE WHEN c.ssn IS NULL" in upstream and " AS ssn, CASE WHEN c.email IS NULL" in upstream
    assert " AS address, id" in upstream
    outputs = found("DELETE FROM customers WHERE id = 1 RETURNING *").treatment.outputs
    assert outputs is not None and [each.name for each in outputs if each.masks] == ["email", "ssn", "profile"]
    assert not refusal("UPDATE customers SET name = 'x' RETURNING upper(ssn)", Predicates.ALLOW)
    assert "upper(CASE" in masked("UPDATE customers SET name = 'x' WHERE id = 1 RETURNING upper(ssn)", Predicates.ALLOW)


def test_masks_in_sub_queries_of_returning_keep_their_columns_names() -> None:
    text = "DELETE FROM customers WHERE id = 1 RETURNING (SELECT o.ssn FROM (SELECT customers.ssn, 1) o)"
    assert "END::pg_catalog.text AS ssn, 1) o)" in masked(text)
    assert "o.ssn" in masked(text)


def test_what_returns_nothing_masked_goes_up_as_it_came() -> None:
    for text in ("DELETE FROM customers  WHERE id = 1 RETURNING id, upper(name)", "DELETE FROM customers WHERE id = 1"):
        assert found(text).masked is None and not refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO customers (id, name, email, ssn) VALUES (1, 'a', 'b', 'c')",
        "INSERT INTO customers VALUES (1, 'a', 'b', 'c')",
        "UPDATE customers SET ssn = 'x' WHERE id = 1",
        "UPDATE customers SET (name, email) = ('a', 'b') WHERE id = 1",
        "INSERT INTO customers (id) VALUES (1) ON CONFLICT (ssn) DO NOTHING",
        "COPY customers FROM STDIN",
        "COPY customers (id, profile) FROM STDIN",
        "MERGE INTO customers c USING orders o ON c.id = o.id WHEN NOT MATCHED THEN INSERT (id, ssn) VALUES (1, 'x')",
        "INSERT INTO v_customers (id, x) VALUES (1, 'x')",
    ],
)
def test_writes_to_masked_columns_are_told(text: str) -> None:
    facts = found(text).facts
    assert not facts.refusal
    assert "writes_masked" in facts.flags and facts.masked_columns


def test_other_writes_are_not() -> None:
    facts = found("UPDATE customers SET name = 'x' WHERE id = 1").facts
    assert "writes_masked" not in facts.flags and not facts.masked_columns
    assert "writes_masked" not in found("COPY customers (id, name) FROM STDIN").facts.flags


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO customers (id, name, email, ssn) VALUES (1, 'a', 'b', '***')",
        "INSERT INTO customers (id, name, email, ssn) VALUES (1, 'a', 'b', 'real'), (2, 'a', '***@mail.example', 'real')",
        "INSERT INTO customers (id, name, email, ssn) SELECT 1, 'a', 'b', 'xx-xx-6789'",
        "UPDATE customers SET ssn = '***' WHERE id = 1",
        "UPDATE customers SET name = 'a', (email, ssn) = ('b', 'hash:0011') WHERE id = 1",
        "MERGE INTO customers c USING orders o ON c.id = o.id WHEN MATCHED THEN UPDATE SET email = '***'",
    ],
)
def test_a_mask_is_not_written_back(text: str) -> None:
    assert "real value would be lost" in refusal(text)


def test_nor_by_the_arguments_of_what_was_prepared() -> None:
    text = "PREPARE p AS UPDATE customers SET ssn = $1 WHERE id = $2; EXECUTE p ({}, 1)"
    assert "real value would be lost" in refusal(text.format("'***'"))
    assert not refusal(text.format("'123-45-6789'"))


def test_a_mask_in_another_column_is_a_value() -> None:
    assert not refusal("UPDATE customers SET name = '***' WHERE id = 1")


def test_literals_that_were_looked_at_decide_for_this_text_only() -> None:
    assert not found("UPDATE customers SET ssn = 'x' WHERE id = 1").literal_independent


def test_parameters_that_go_into_masked_columns_are_known() -> None:
    finding = found("INSERT INTO customers (id, name, email, ssn) VALUES ($1, $2, $3::text, $4)")
    assert finding.treatment.parameters == {3, 4}
    assert [number for number, _ in finding.treatment.stores] == [3, 4]
    assert found("UPDATE customers SET ssn = $2 WHERE id = $1").treatment.parameters == {2}


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE customers SET balance = (SELECT count(q.s) FROM (SELECT customers.ssn AS s) AS q) WHERE id = 1",
        "UPDATE customers SET name = 'a' WHERE id = 1 AND (SELECT count(q.s) FROM (SELECT customers.ssn AS s) AS q) = 0",
        "DELETE FROM customers WHERE id = 1 AND (SELECT count(q.s) FROM (SELECT customers.ssn AS s) AS q) = 0",
        "MERGE INTO customers c USING orders o ON c.id = o.id WHEN MATCHED AND "
        "(SELECT count(q.s) FROM (SELECT c.ssn AS s) AS q) = 0 THEN DELETE",
    ],
)
def test_real_values_of_what_is_changed_are_not_even_counted(text: str) -> None:
    # Where a mask hides that there is no value, the count would tell.
    assert "public.customers.ssn" in refusal(text)
