"""Statements with their masks in them on real servers: they run, and no value of a masked column comes back."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from blastwall.masking.plan import Predicates, Strategy
from blastwall.model import Effect
from blastwall.protocols.postgres import snapshot
from blastwall.protocols.postgres.classify import Finding, classify, offline
from blastwall.sql.surroundings import Surroundings
from rig.postgres import EmbeddedPostgres
from tests.blastwall.sql.masking.masks import COLUMNS, plan_of
from tests.corpus.test_facts import MASKING, payload

FIXTURES = Path(__file__).parents[3] / "fixtures" / "corpus"
Session = psycopg.Connection[Any]


class Place:
    """A corpus database on one server, and what is masked in it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        session.execute(
            "INSERT INTO customers (id, name, email, ssn) "
            "SELECT i, 'Nobody', 'canary' || i || '@mail.example', '999-00-' || i FROM generate_series(147, 149) AS i"
        )
        self.catalogue = snapshot.take(lambda sql: session.execute(sql.encode()).fetchall()[0][0])
        rows = session.execute("SELECT ssn, email, profile ->> 'diagnosis' FROM customers").fetchall()
        values = [value for row in rows for value in row if value is not None]
        self.canaries = [spelled.encode() for value in values for spelled in spellings(value)]

    def around(self, predicates: Predicates, strategy: Strategy = Strategy.REDACT) -> Surroundings:
        plan = plan_of(self.catalogue, COLUMNS, strategy, predicates)
        return replace(offline(self.catalogue), plan=plan)

    def run(self, text: str, predicates: Predicates = Predicates.DENY) -> tuple[Finding, list[list[bytes | None]]]:
        """Run a text with its masks; every value that came back."""
        finding = classify(text, self.around(predicates))
        assert not finding.facts.refusal, (text, finding.facts.refusal)
        assert finding.error is None and "internal_error" not in finding.facts.flags, text
        result = self.session.execute((finding.masked or text).encode()).pgresult
        assert result is not None
        told = [(result.ftable(each), result.ftablecol(each)) for each in range(result.nfields)]
        outputs = finding.treatment.outputs
        if outputs is not None and not text.startswith("COPY"):
            assert len(outputs) == len(told), text
            for output, origin in zip(outputs, told, strict=True):
                assert output.origin in (origin, None), (text, output.name, output.origin, origin)
        found = [[result.get_value(row, each) for each in range(result.nfields)] for row in range(result.ntuples)]
        heard = b" ".join(value or b"" for row in found for value in row)
        assert not any(canary in heard for canary in self.canaries), text
        return finding, found


def spellings(value: str) -> list[str]:
    raw = value.encode()
    return [value, value[::-1], raw.hex(), base64.b64encode(raw).decode(), hashlib.md5(raw).hexdigest(), value.upper()]


@pytest.fixture(scope="module", params=[17, 18])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    server: EmbeddedPostgres = request.getfixturevalue(f"postgres{request.param}")
    server.drop_database("masking_statements")
    server.create_database("masking_statements")
    server.load(FIXTURES / "schema.sql", database="masking_statements")
    with psycopg.connect(server.dsn("masking_statements"), autocommit=True) as session:
        yield Place(session)
    server.drop_database("masking_statements")


READS = [
    "SELECT ctid, * FROM customers WHERE id = 1 FOR UPDATE OF customers",
    "SELECT tableoid::regclass, ssn FROM customers AS c (a, b) WHERE a < 3",
    "SELECT public.customers.ssn, public.customers.* FROM public.customers TABLESAMPLE bernoulli (50) REPEATABLE (1)",
    "SELECT id, email, created_at, count(*) FROM customers GROUP BY 1 HAVING count(*) > 0 ORDER BY name",
    "SELECT c.id, c.ssn, sum(o.total) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.id",
    "SELECT id, ssn, max(balance) FROM customers GROUP BY ROLLUP (name), id",
    "SELECT * FROM customers JOIN orders USING (id) WHERE id < 5",
    "SELECT * FROM customers NATURAL JOIN (SELECT 1 AS id) AS one",
    "SELECT c FROM customers c ORDER BY c.id LIMIT 1",
    "SELECT x, name FROM v_customers WHERE id = 3",
    "SELECT (SELECT email FROM customers WHERE id = o.customer_id) FROM orders o",
    "SELECT o.id, w.* FROM orders o CROSS JOIN LATERAL (SELECT ssn FROM customers c WHERE c.id = o.customer_id) AS w",
    "WITH RECURSIVE r AS (SELECT id FROM orders WHERE id = 1 UNION ALL SELECT r.id + 1 FROM r WHERE r.id < 3) "
    "SELECT c.email FROM r JOIN customers c USING (id)",
    "SELECT ssn FROM customers WHERE id = 1 UNION ALL SELECT 'given' UNION ALL (SELECT email FROM customers LIMIT 2)",
    "SELECT g, c.ssn FROM customers c, generate_series(1, 2) AS g WHERE c.id = 1",
    "TABLE customers",
    "VALUES ((SELECT ssn FROM customers WHERE id = 1)), ('x')",
    "EXPLAIN SELECT ssn FROM customers WHERE id = 1",
    "EXPLAIN (ANALYZE, FORMAT json) SELECT * FROM customers",
]


@pytest.mark.parametrize("text", READS)
def test_reads(place: Place, text: str) -> None:
    finding, found = place.run(text)
    assert found
    assert finding.masked is not None and finding.facts.masked_columns
    assert finding.treatment.touches and finding.treatment.outputs is not None
    assert len(finding.treatment.outputs) == len(found[0])


def test_the_key_of_a_group_is_found_also_behind_an_alias_list(place: Place) -> None:
    _, found = place.run("SELECT k AS key, c3 FROM customers AS c (k, n, c3) GROUP BY key")
    assert len(found) == 53


def test_a_plan_prints_no_mask(place: Place) -> None:
    for text in (READS[-2], READS[-1]):
        _, found = place.run(text)
        assert b"***" not in b" ".join(value or b"" for row in found for value in row)


CHANGES = [
    "UPDATE customers SET name = name || '!' WHERE id = 1 RETURNING *",
    "UPDATE customers AS t SET name = 'x' FROM customers AS s WHERE s.id = t.id AND t.id = 2 RETURNING t.ssn, s.email",
    "DELETE FROM customers WHERE id = 149 RETURNING id, ssn, email AS address, customers.profile",
    "DELETE FROM orders USING customers c WHERE orders.id = 1 AND c.id = orders.customer_id RETURNING c.ssn, orders.*",
    "INSERT INTO customers (id, name, email, ssn) VALUES (200, 'New', 'new@here.example', 'given-ssn') RETURNING *",
    "INSERT INTO customers (id, name, email, ssn) VALUES (1, 'N', 'n@here.example', 'given') ON CONFLICT (id) DO UPDATE "
    "SET email = excluded.email RETURNING ssn",
    "WITH gone AS (DELETE FROM customers WHERE id = 148 RETURNING *) SELECT ssn, email FROM gone",
    "MERGE INTO products AS p USING (SELECT id, name FROM customers) AS s ON p.id = s.id "
    "WHEN MATCHED THEN UPDATE SET name = s.name WHEN NOT MATCHED THEN DO NOTHING",
]


@pytest.mark.parametrize("text", CHANGES)
def test_changes(place: Place, text: str) -> None:
    with place.session.transaction(force_rollback=True):
        finding, found = place.run(text)
        assert finding.treatment.touches
        if "RETURNING" in text:
            assert found and finding.treatment.outputs is not None
            assert len(finding.treatment.outputs) == len(found[0])
            shown = finding.treatment.outputs
            assert [bool(each.masks) for each in shown] == [
                b"***" in (value or b"") for each, value in zip(shown, found[0], strict=True)
            ]


def test_old_and_new_rows(place: Place) -> None:
    text = "UPDATE customers SET name = 'x' WHERE id = 1 RETURNING old.ssn, new.email AS after, old.name, id"
    if place.catalogue.server_version < 180000:
        assert classify(text, place.around(Predicates.DENY)).facts.refusal
        return
    with place.session.transaction(force_rollback=True):
        finding, found = place.run(text)
        assert found[0][:2] == [b"***", b"***"]
        assert finding.treatment.outputs is not None and finding.treatment.outputs[2].origin != (0, 0)
        _, found = place.run(
            text.replace("RETURNING", "RETURNING WITH (OLD AS o, NEW AS n)").replace("old.", "o.").replace("new.", "n.")
        )
        assert found[0][:2] == [b"***", b"***"]


def test_a_cursor_and_a_prepared_statement(place: Place) -> None:
    with place.session.transaction(force_rollback=True):
        place.run("DECLARE shown CURSOR FOR SELECT * FROM customers FOR UPDATE")
        fetched = place.session.execute("FETCH 1 FROM shown").fetchall()
        assert fetched[0][3] == "***"
        place.session.execute("UPDATE customers SET balance = 0 WHERE CURRENT OF shown")
        place.run("PREPARE ready (int) AS SELECT ssn, name FROM customers WHERE id = $1")
        assert place.session.execute("EXECUTE ready (1)").fetchall()[0][0] == "***"
        place.session.execute("DEALLOCATE ready")


@pytest.mark.parametrize(
    "text",
    [
        "COPY customers TO STDOUT",
        "COPY customers (id, ssn) TO STDOUT (FORMAT csv, HEADER)",
        "COPY (SELECT email, * FROM customers) TO STDOUT",
        "COPY (DELETE FROM customers WHERE id = 147 RETURNING *) TO STDOUT",
    ],
)
def test_copies(place: Place, text: str) -> None:
    finding = classify(text, place.around(Predicates.DENY))
    assert finding.masked is not None and finding.treatment.outputs is not None
    with (
        place.session.transaction(force_rollback=True),
        place.session.cursor() as cursor,
        cursor.copy(finding.masked.encode()) as copy,
    ):
        heard = b"".join(bytes(block) for block in copy)
    assert heard and not any(canary in heard for canary in place.canaries)
    columns = heard.splitlines()[-1].split(b"," if b"csv" in text.encode() else b"\t")
    assert len(columns) == len(finding.treatment.outputs)


def test_equality_compares_the_real_value_and_shows_the_mask(place: Place) -> None:
    real = place.session.execute("SELECT ssn FROM customers WHERE id = 7").fetchall()[0][0]
    for text in (
        f"SELECT id, ssn FROM customers WHERE ssn = '{real}' AND name > ''",
        f"SELECT c.id, c.ssn FROM orders o JOIN customers AS c (id) ON c.id = o.customer_id AND ssn = '{real}' LIMIT 1",
        f"UPDATE customers SET name = name WHERE ssn = '{real}' RETURNING id, ssn",
        f"SELECT c.id, c.ssn FROM (VALUES (1)) AS v LEFT JOIN customers c ON c.ssn = '{real}'",
    ):
        with place.session.transaction(force_rollback=True):
            finding, found = place.run(text, Predicates.EQUALITY)
        assert found == [[b"7", b"***"]], text
        assert finding.facts.filters_masked and "compares_masked" in finding.facts.flags
    _, found = place.run("SELECT id FROM customers WHERE ssn = '***'", Predicates.EQUALITY)
    assert found == []


def test_allow_tests_real_values_in_conditions_of_their_own(place: Place) -> None:
    real = place.session.execute(
        "SELECT id FROM customers WHERE lower(email) LIKE 'canary1%' AND id < 100 ORDER BY id"
    ).fetchall()
    assert real
    _, found = place.run(
        "SELECT c.id FROM customers c JOIN orders o ON o.customer_id = c.id WHERE lower(c.email) LIKE 'canary1%' "
        "GROUP BY c.id ORDER BY c.id",
        Predicates.ALLOW,
    )
    assert [int(row[0] or 0) for row in found] == [row[0] for row in real]
    _, found = place.run(
        "SELECT upper(email), ssn FROM customers WHERE ssn IS NOT NULL ORDER BY ssn LIMIT 1", Predicates.ALLOW
    )
    assert found == [[b"***", b"***"]]


def test_raw_values_come_up_only_for_the_sink(place: Place) -> None:
    """hash and fake: where the treatment says so, and nowhere else."""
    real = place.session.execute("SELECT email FROM customers WHERE id = 7").fetchall()[0][0].encode()
    for text, raw in (
        ("SELECT id, email FROM customers WHERE id = 7", True),
        ("WITH w AS (SELECT * FROM customers) SELECT q.email FROM (SELECT * FROM w) AS q WHERE q.id = 7", True),
        ("SELECT (SELECT email FROM customers WHERE id = 7)", True),
        ("SELECT email FROM customers WHERE id = 7 UNION ALL SELECT email FROM customers WHERE id = 7", True),
        ("SELECT email FROM customers WHERE id = 7 UNION ALL SELECT 'x'", False),
        ("SELECT c FROM customers c WHERE id = 7", False),
        ("UPDATE customers SET name = name WHERE id = 7 RETURNING email", True),
        ("SELECT email, upper(email) FROM customers WHERE id = 7", False),
        ("SELECT email, count(*) FROM customers WHERE id = 7 GROUP BY email", True),
        ("SELECT DISTINCT email FROM customers WHERE id = 7", True),
        ("SELECT email FROM customers WHERE id = 7 ORDER BY email", False),
        ("SELECT a.email FROM customers a JOIN customers b ON a.email = b.email WHERE a.id = 7", True),
        ("SELECT email FROM customers a JOIN customers b USING (email) WHERE a.id = 7", True),
    ):
        finding = classify(text, place.around(Predicates.ALLOW, Strategy.HASH))
        assert not finding.facts.refusal, (text, finding.facts.refusal)
        with place.session.transaction(force_rollback=True):
            result = place.session.execute((finding.masked or text).encode()).pgresult
        assert result is not None and finding.treatment.outputs is not None
        heard = [result.get_value(0, each) for each in range(result.nfields)]
        assert any(real in (value or b"") for value in heard) is raw, text
        for output, value in zip(finding.treatment.outputs, heard, strict=True):
            assert (output.sink is not None) is (real in (value or b"")), text


@pytest.mark.parametrize("predicates", Predicates)
def test_no_row_of_the_corpus_shows_a_value(place: Place, predicates: Predicates) -> None:
    """Those that run: with every policy, and with real values for the guesses that a policy lets."""
    ran = 0
    for row in MASKING:
        finding = classify(payload(row), place.around(predicates))
        if finding.facts.refusal or finding.facts.effect not in (Effect.READ, Effect.WRITE):
            continue
        with place.session.transaction(force_rollback=True):
            try:
                place.run(payload(row), predicates)
            except psycopg.Error as error:
                # What fails computed with masks, so that its message is harmless; of a failing row the sink tells nothing.
                said = f"{error}".encode()
                assert row["id"] in ("PGM-100", "PGM-101") or not any(each in said for each in place.canaries), said
        ran += 1
    assert ran > 15
