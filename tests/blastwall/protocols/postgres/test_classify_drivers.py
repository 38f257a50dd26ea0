"""What drivers and mappers send of their own accord, and the attacks that look like it."""

from __future__ import annotations

import pytest

from blastwall.model import Effect
from blastwall.protocols.postgres.classify import classify
from blastwall.sql.catalogue import Catalogue, Type
from tests.blastwall.sql.judging import corpus, corpus_catalogue


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        # asyncpg, when it looks types up
        ("SELECT current_setting('jit') AS cur, set_config('jit', 'off', false) AS new", Effect.READ),
        ("SELECT set_config('jit', $1, false)", Effect.READ),
        ("SELECT pg_catalog.set_config('JIT', 'off', true)", Effect.READ),
        ("SELECT set_config('work_mem', '10GB', false)", Effect.ADMINISTER),
        ("SELECT set_config($1, 'off', false)", Effect.ADMINISTER),
        ("SELECT set_config('j' || 'it', 'off', false)", Effect.ADMINISTER),
        ("SELECT set_config('jit', pg_read_file('/etc/passwd'), false)", Effect.ADMINISTER),
        ("SELECT set_config('jit', (SELECT ssn FROM customers LIMIT 1), false)", Effect.READ),  # the read it is
        ("SELECT evil.set_config('jit', 'off', false)", Effect.UNKNOWN),
        # pgjdbc's setTransactionIsolation, psycopg2's set_session; what was read-only is put back, too
        ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE", Effect.SESSION),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY, DEFERRABLE", Effect.SESSION),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", Effect.SESSION),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE", Effect.SESSION),
        # SQLAlchemy's and Django's integer keys
        ("CREATE TABLE notes (id SERIAL PRIMARY KEY, big bigserial NOT NULL)", Effect.DEFINE),
        ("ALTER TABLE orders ADD COLUMN number serial4", Effect.DEFINE),
        ("CREATE TABLE notes (id public.serial)", Effect.UNKNOWN),
        ("SELECT 1::serial", Effect.UNKNOWN),
    ],
)
def test_what_it_does(text: str, effect: Effect) -> None:
    facts = classify(text, corpus()).facts
    assert facts.effect is effect, facts


def test_a_type_of_the_databases_own_is_no_serial() -> None:
    document = corpus_catalogue()
    with_type = Catalogue(
        server_version=document.server_version,
        database=document.database,
        relations=document.relations,
        types=(*document.types, Type(90_000, "public", "serial", "b")),
    )
    facts = classify("CREATE TABLE notes (id serial)", corpus(catalogue=with_type)).facts
    assert facts.effect is Effect.UNKNOWN and "public.serial" in facts.reason
