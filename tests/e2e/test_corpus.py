"""The attack corpus through the running gateway: each statement on each path that can carry it.

Simple query, extended query, SQL PREPARE and EXECUTE, a cursor, COPY (...) TO STDOUT. The gateway's user is a superuser:
what is not refused really runs. Afterwards the database is what it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.e2e.paths import PATHS, Agent, outcome
from tests.e2e.raw import query
from tests.e2e.stacks import ROOT, Stack


def corpus_rows() -> list[dict[str, Any]]:
    found = []
    for name in ("bypass.jsonl", "own.jsonl"):
        lines = (ROOT / "tests" / "corpus" / name).read_text().strip().split("\n")
        found += [json.loads(line) for line in lines]
    return [row for row in found if row["protocol"] == "postgres" and not row["id"].startswith("PGM")]


ROWS = corpus_rows()


def text_of(row: dict[str, Any]) -> str:
    payload = row["payload"]
    if isinstance(payload, list):
        payload = "; ".join(payload)
    if payload.startswith("generator: "):
        return str(eval(payload.removeprefix("generator: "), {"__builtins__": {}}))  # the corpus' own notation
    return str(payload)


def state_of(stack: Stack) -> str:
    """A fingerprint of everything that an attack might have changed."""
    parts = stack.direct(
        """
        SELECT 'class', md5(string_agg(c::text, ',' ORDER BY c.oid)) FROM (
            SELECT oid, relname, relkind, relowner, relacl, relrowsecurity, reltriggers, relrules
            FROM (SELECT c.*, c.relhastriggers AS reltriggers, c.relhasrules AS relrules FROM pg_class AS c) AS c
            WHERE relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_(toast|temp)')) AS c
        UNION ALL SELECT 'proc', md5(string_agg(p.oid || p.prosrc, ',' ORDER BY p.oid)) FROM pg_proc AS p
        UNION ALL SELECT 'type', count(*)::text FROM pg_type
        UNION ALL SELECT 'roles', md5(string_agg(r::text, ',' ORDER BY r.oid)) FROM pg_authid AS r
        UNION ALL SELECT 'settings', md5(string_agg(name || setting, ',' ORDER BY name)) FROM pg_settings
            WHERE name NOT IN ('application_name') AND source <> 'session'
        UNION ALL SELECT 'files', count(*)::text FROM pg_file_settings
        UNION ALL SELECT 'objects', count(*)::text FROM pg_largeobject_metadata
        UNION ALL SELECT 'slots', count(*)::text FROM pg_replication_slots
        UNION ALL SELECT 'two-phase', count(*)::text FROM pg_prepared_xacts
        UNION ALL SELECT 'databases', count(*)::text FROM pg_database
        UNION ALL SELECT 'comments', count(*)::text FROM pg_description
        UNION ALL SELECT 'customers', md5(string_agg(t::text, ',' ORDER BY t.id)) FROM customers AS t
        UNION ALL SELECT 'orders', md5(string_agg(t::text, ',' ORDER BY t.id)) FROM orders AS t
        UNION ALL SELECT 'products', md5(string_agg(t::text, ',' ORDER BY t.id)) FROM products AS t
        UNION ALL SELECT 'audit', count(*)::text FROM audit_log
        UNION ALL SELECT 'sequences', md5(string_agg(s.last_value || s.sequencename, ',' ORDER BY sequencename)) FROM pg_sequences AS s
        UNION ALL SELECT 'locks', count(*)::text FROM pg_locks WHERE locktype = 'advisory'
        """
    )
    assert len(parts) == 17
    return json.dumps(parts)


@pytest.fixture(scope="module")
def unchanged(corpus: Stack) -> Iterator[None]:
    before = state_of(corpus)
    yield
    assert state_of(corpus) == before


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name", PATHS)
def test_every_statement_comes_out_as_it_must(corpus: Stack, name: str) -> None:
    agent = Agent(corpus)
    wrong: list[str] = []
    tried = 0
    before = state_of(corpus)
    for row in ROWS:
        text = text_of(row)
        messages = PATHS[name](text)
        if messages is None:
            continue
        tried += 1
        accepted = set(row["accept"]) | ({"allow"} if row["expected"] == "mask" else set())
        frames = agent.ask(messages)
        found = outcome(frames)
        if found not in accepted:
            said = [f"{frame.fields['C']} {frame.fields['M']}" for frame in frames if frame.kind == "E"]
            wrong.append(f"{row['id']}: {found}, not {sorted(accepted)}: {text[:100]!r} {said}")
    agent.leave()
    assert not wrong, "\n".join(wrong)
    assert tried > 80
    assert state_of(corpus) == before


def test_no_canary_reaches_a_client_through_what_is_refused(corpus: Stack) -> None:
    """What a refusal says, and what comes before it, holds nothing of the masked columns."""
    canaries = [
        value.encode()
        for row in corpus.direct("SELECT email, ssn, profile ->> 'diagnosis' FROM customers")
        for value in row
    ]
    agent = Agent(corpus)
    for row in ROWS:
        if "deny" in row["accept"] and "allow" not in row["accept"] and row["expected"] != "mask":
            heard = b"".join(frame.body for frame in agent.ask([query(text_of(row))]))
            assert not any(canary in heard for canary in canaries), row["id"]
    agent.leave()


def test_the_server_log_holds_no_refused_statement(corpus: Stack) -> None:
    """Nothing of what was refused was even sent: PostgreSQL would have logged its errors."""
    log = (corpus.state / "targets" / "corpus" / "server.log").read_text(errors="replace")
    marker = hashlib.sha256(b"never sent").hexdigest()
    with psycopg.connect(corpus.superuser(), autocommit=True) as past, pytest.raises(psycopg.Error):
        past.execute(f"SELECT {marker}x".encode())
    assert "STATEMENT:" in (corpus.state / "targets" / "corpus" / "server.log").read_text(errors="replace")
    for needle in ("dblink_exec", "pg_read_file", "DROP TABLE orders", "lo_import"):
        assert needle not in log
