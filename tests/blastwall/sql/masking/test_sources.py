"""FROM items: each gives the columns that the server gives it, or the statement is refused."""

from __future__ import annotations

import pytest

from tests.blastwall.sql.masking.masks import found, masked, refusal


def names(text: str) -> list[str]:
    outputs = found(text).treatment.outputs
    assert outputs is not None, found(text).facts
    return [each.name for each in outputs]


CUSTOMERS = ["id", "name", "email", "ssn", "phone", "balance", "created_at", "profile"]
ORDERS = ["id", "customer_id", "status", "total", "created_at"]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("SELECT * FROM customers, orders", [*CUSTOMERS, *ORDERS]),
        ("SELECT o.*, c.ssn FROM customers c, orders o", [*ORDERS, "ssn"]),
        ("SELECT * FROM customers JOIN orders USING (id)", [*CUSTOMERS, *ORDERS[1:]]),
        (
            "SELECT * FROM orders RIGHT JOIN customers USING (id, created_at)",
            ["id", "created_at", *ORDERS[1:4], *CUSTOMERS[1:6], "profile"],
        ),
        ("SELECT * FROM customers NATURAL JOIN orders", ["id", "created_at", *CUSTOMERS[1:6], "profile", *ORDERS[1:4]]),
        ("SELECT j.* FROM (customers JOIN orders USING (id)) AS j (a)", ["a", *CUSTOMERS[1:], *ORDERS[1:]]),
        ("SELECT u.*, customers.ssn FROM customers JOIN orders USING (id) AS u", ["id", "ssn"]),
        ("SELECT * FROM customers, generate_series(1, 2) AS g", [*CUSTOMERS, "g"]),
        ("SELECT * FROM customers, unnest(ARRAY[1]) WITH ORDINALITY AS u (v)", [*CUSTOMERS, "v", "ordinality"]),
        ("SELECT * FROM customers, (VALUES (1, 2)) AS v (a)", [*CUSTOMERS, "a", "column2"]),
        ("SELECT * FROM customers, json_to_record('{}') AS r (a integer, b text)", [*CUSTOMERS, "a", "b"]),
        (
            "SELECT * FROM customers, XMLTABLE('/a' PASSING '<a/>' COLUMNS x text, n FOR ORDINALITY) AS t",
            [*CUSTOMERS, "x", "n"],
        ),
    ],
)
def test_a_star_stands_for_what_the_server_shows(text: str, columns: list[str]) -> None:
    assert names(text) == columns


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM customers, json_each('{}')",  # columns nobody can tell
        "SELECT c.ssn FROM customers c JOIN json_each('{}') AS j USING (id)",
        "SELECT ssn FROM customers, json_array_elements(profile)",
        "SELECT ssn FROM customers, LATERAL unnest(ARRAY[ssn])",
        "SELECT ssn FROM customers, XMLTABLE('/a' PASSING (ssn::xml) COLUMNS x text) AS t",
        "SELECT ssn FROM customers JOIN orders ON ssn = status",
        "SELECT c.ssn FROM customers c JOIN customers d USING (ssn)",
        "SELECT * FROM customers NATURAL JOIN v_customers NATURAL JOIN (SELECT 'x' AS ssn) AS q",
    ],
)
def test_what_cannot_be_followed_is_refused(text: str) -> None:
    assert refusal(text)


def test_documents_in_from() -> None:
    table = (
        "JSON_TABLE({}, '$' COLUMNS (a text PATH '$.a', n FOR ORDINALITY, NESTED PATH '$.b' COLUMNS (c integer))) AS t"
    )
    assert names(f"SELECT customers.ssn, t.* FROM customers, {table.format(chr(39) + '{}' + chr(39))}")[:1] == ["ssn"]
    assert refusal(f"SELECT t.a FROM customers, {table.format('profile')}")
    assert refusal("SELECT t.x FROM customers, XMLTABLE('/a' PASSING '<a/>' COLUMNS x text DEFAULT ssn) AS t")


def test_a_with_query_hides_a_table_of_its_name_only_where_it_is_in_sight() -> None:
    assert found("WITH customers AS (SELECT 1 AS ssn) SELECT ssn FROM customers").masked is None
    upstream = masked("WITH customers AS (SELECT 1 AS ssn) SELECT ssn FROM public.customers")
    assert "FROM public.customers" in upstream
    assert "'***'" in masked("WITH customers AS (SELECT ssn FROM customers) SELECT ssn FROM customers")


def test_only_and_samples_stay_inside() -> None:
    assert "FROM ONLY public.customers) customers" in masked("SELECT ssn FROM ONLY customers")
    upstream = masked("SELECT c.ssn FROM customers AS c TABLESAMPLE system (10) REPEATABLE (3)")
    assert "FROM public.customers TABLESAMPLE system(10) REPEATABLE (3)) c" in upstream
