"""Statements about schema objects: masks neither lost nor computed with."""

from __future__ import annotations

import pytest

from tests.blastwall.sql.masking.masks import refusal


@pytest.mark.parametrize(
    "text",
    [
        "DROP TABLE customers",
        "TRUNCATE customers",
        "LOCK TABLE customers IN ACCESS SHARE MODE",
        "VACUUM customers",
        "REINDEX TABLE customers",
        "CREATE INDEX i ON customers (name)",
        "CREATE INDEX i ON customers (ssn)",
        "CREATE UNIQUE INDEX i ON customers (name)",
        "ALTER TABLE customers ADD COLUMN age integer CHECK (age > 0)",
        "ALTER TABLE customers ADD CHECK (balance > 0)",
        "ALTER TABLE customers ALTER ssn SET NOT NULL",
        "ALTER TABLE customers DROP COLUMN ssn",
        "CREATE TABLE mine (LIKE customers)",
        "CREATE TABLE mine (customer integer REFERENCES customers (id))",
        "CREATE TABLE mine (customer integer REFERENCES customers)",
    ],
)
def test_what_leaves_values_and_masks_alone(text: str) -> None:
    assert not refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "ALTER TABLE customers RENAME COLUMN ssn TO x",
        "CLUSTER customers USING customers_ssn_key",  # SELECT id then comes in the order of what is hidden
        "CLUSTER customers",
        "ALTER TABLE customers RENAME TO x",
        "ALTER TABLE customers SET SCHEMA x",
        "ALTER SCHEMA public RENAME TO x",
        "ALTER TABLE customers ALTER ssn TYPE varchar USING reverse(ssn)",
        "ALTER TABLE customers ADD COLUMN copy text GENERATED ALWAYS AS (ssn) STORED",
        "ALTER TABLE customers ADD CHECK (ssn LIKE '1%')",
        "ALTER TABLE customers ADD CHECK (customers::text NOT LIKE '%(078-%')",
        "ALTER TABLE customers ADD CHECK (ssn(customers) NOT LIKE '078-%')",
        "ALTER TABLE customers ADD CHECK ((customers).ssn NOT LIKE '078-%')",
        "ALTER TABLE customers ADD CHECK (public.customers IS NOT NULL)",
        "ALTER TABLE customers ADD COLUMN copy text GENERATED ALWAYS AS (upper(ssn(customers))) STORED",
        "CREATE INDEX i ON customers (length(ssn(customers)))",
        "CREATE UNIQUE INDEX i ON customers (substr((customers).ssn, 1, 3))",
        "CREATE INDEX i ON customers (id) WHERE customers IS NOT NULL",
        "ALTER TABLE customers ADD UNIQUE (profile)",
        "ALTER TABLE customers ADD PRIMARY KEY (ssn)",
        "ALTER TABLE customers ADD EXCLUDE (ssn WITH =)",
        "ALTER TABLE customers ADD FOREIGN KEY (ssn) REFERENCES orders (status)",
        "ALTER TABLE orders ADD FOREIGN KEY (status) REFERENCES customers (ssn)",
        "ALTER TABLE customers INHERIT orders",
        "ALTER TABLE orders INHERIT customers",
        "CREATE UNIQUE INDEX i ON customers (ssn)",
        "CREATE INDEX i ON customers (lower(ssn))",
        "CREATE INDEX i ON customers (id) WHERE ssn > 'x'",
        "CREATE TABLE mine (x text REFERENCES customers (email))",
        "CREATE TABLE mine () INHERITS (customers)",
        "CREATE STATISTICS s ON ssn, email FROM customers",
        "CREATE POLICY p ON customers USING (ssn = 'x')",
        "CREATE RULE r AS ON SELECT TO customers DO INSTEAD SELECT 1",
        "CREATE PUBLICATION p FOR TABLE customers",
        "COMMENT ON COLUMN customers.ssn IS 'public'",
        "SECURITY LABEL ON COLUMN customers.ssn IS NULL",
    ],
)
def test_what_does_not(text: str) -> None:
    said = refusal(text)
    assert said.endswith(".") and "mask" in said
