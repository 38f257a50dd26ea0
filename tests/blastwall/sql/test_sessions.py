"""Statements about the session itself, and those that carry or name another one."""

from __future__ import annotations

import pytest

from blastwall.model import Effect, Facts, ObjectRef
from tests.blastwall.sql.judging import corpus, find, judged

S, R, W, D, A, U = Effect.SESSION, Effect.READ, Effect.WRITE, Effect.DESTROY, Effect.ADMINISTER, Effect.UNKNOWN
ORDERS = ObjectRef("table", "public.orders", "read")


@pytest.mark.parametrize(
    ("text", "effect", "verb"),
    [
        ("BEGIN", S, "begin"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY", S, "begin"),
        ("BEGIN READ WRITE", S, "begin"),
        ("COMMIT", S, "commit"),
        ("ROLLBACK", S, "rollback"),
        ("SAVEPOINT a", S, "savepoint"),
        ("ROLLBACK TO a", S, "rollback to"),
        ("PREPARE TRANSACTION 'x'", A, "prepare transaction"),
        ("COMMIT PREPARED 'x'", A, "commit prepared"),
        ("SET TRANSACTION READ ONLY", S, "set transaction"),
        ("SET TRANSACTION READ WRITE", S, "set transaction"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", S, "set session characteristics"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", S, "set session characteristics"),
    ],
)
def test_transactions(text: str, effect: Effect, verb: str) -> None:
    facts = judged(text)
    assert (facts.effect, facts.verb) == (effect, verb)
    assert ("read_write" in facts.flags) == ("READ WRITE" in text), "policy can tell it"


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("SET application_name = 'x'", S),
        ("SET search_path = public", S),
        ("SET search_path = evil", A),
        ("SET session_replication_role = replica", A),
        ("SET ROLE postgres", A),
        ("SET statement_timeout = '10s'", S),
        ("SET statement_timeout = 0", A),
        ("RESET ALL", S),
        ("RESET session_authorization", A),
        ("SET default_transaction_read_only TO 'on'", S),
        ("RESET default_transaction_isolation", S),
        ("SHOW server_version", R),
        ("SHOW hba_file", A),
        ("DISCARD ALL", S),
        ("DISCARD TEMP", D),
        ("DEALLOCATE ALL", S),
    ],
)
def test_settings_and_what_puts_the_session_back(text: str, effect: Effect) -> None:
    assert judged(text).effect is effect


@pytest.mark.parametrize(
    ("text", "effect", "flags"),
    [
        ("EXPLAIN SELECT 1 FROM orders", R, {"explain"}),
        ("EXPLAIN ANALYZE SELECT 1 FROM orders", R, {"explain", "explain_analyze"}),
        ("EXPLAIN (ANALYZE on) DELETE FROM orders", D, {"explain", "explain_analyze", "unbounded_write"}),
        ("EXPLAIN DELETE FROM orders", D, {"explain", "unbounded_write"}),
        ("EXPLAIN (NOVELTY) SELECT 1", U, {"explain", "unlisted"}),
        ("PREPARE p AS DELETE FROM orders", D, {"prepare", "unbounded_write"}),
        ("PREPARE p AS SELECT 1 FROM orders", R, {"prepare"}),
        ("DECLARE c CURSOR FOR SELECT 1 FROM orders", R, {"cursor"}),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1 FROM orders", A, {"cursor", "with_hold"}),
    ],
)
def test_a_carrier_is_as_bad_as_what_it_carries(text: str, effect: Effect, flags: set[str]) -> None:
    facts = judged(text)
    assert facts.effect is effect
    assert facts.flags == flags


@pytest.mark.parametrize(
    ("text", "effect", "flags"),
    [
        ("COPY orders TO STDOUT", R, {"copy_out", "whole_table"}),
        ("COPY (SELECT id FROM orders) TO STDOUT", R, {"copy_out"}),
        ("COPY (DELETE FROM orders RETURNING id) TO STDOUT", D, {"copy_out", "unbounded_write"}),
        ("COPY orders FROM STDIN", W, {"copy_in"}),
        ("COPY orders TO '/tmp/x'", A, {"copy_out", "whole_table", "copy_server"}),
        ("COPY orders FROM PROGRAM 'id'", A, {"copy_in", "copy_server"}),
        ("COPY orders TO STDOUT (ENCODING 'latin1')", U, {"copy_out", "whole_table", "unlisted"}),
    ],
)
def test_copy_between_client_and_table_only(text: str, effect: Effect, flags: set[str]) -> None:
    facts = judged(text)
    assert facts.effect is effect
    assert facts.flags == flags


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("LOCK TABLE orders IN ACCESS SHARE MODE", W),
        ("LOCK TABLE orders", A),
        ("LOCK TABLE pg_class IN ACCESS SHARE MODE", U),
        ("ANALYZE orders", W),
        ("ANALYZE", A),
        ("VACUUM orders", W),
        ("VACUUM FULL orders", A),
        ("LISTEN c", W),
        ("NOTIFY c", W),
        ("UNLISTEN *", S),
        ("SET CONSTRAINTS ALL IMMEDIATE", W),
    ],
)
def test_locks_upkeep_and_channels(text: str, effect: Effect) -> None:
    assert judged(text).effect is effect


GONE = Facts(Effect.DESTROY, "delete", (ORDERS,), frozenset({"unbounded_write"}), False, "Deletes.")
READ = Facts(Effect.READ, "select", (ORDERS,))


@pytest.mark.parametrize(
    ("text", "known", "effect"),
    [
        ("EXECUTE p", {"prepared": {"p": GONE}}, D),
        ("EXECUTE p", {"prepared": {"p": READ}}, R),
        ("EXECUTE p(pg_read_file('x'))", {"prepared": {"p": READ}}, A),
        ("EXECUTE p", {"cursors": {"p": READ}}, U),
        ("FETCH 5 FROM c", {"cursors": {"c": READ}}, S),
        ("FETCH 5 FROM c", {"prepared": {"c": READ}}, U),
        ("CLOSE c", {"cursors": {"c": READ}}, S),
        ("CLOSE c", {}, U),
        ("CLOSE ALL", {}, S),
    ],
)
def test_names_mean_what_the_session_gave_them(text: str, known: dict[str, object], effect: Effect) -> None:
    finding = find(text, corpus(**known))
    assert finding.facts.effect is effect
    assert finding.session_names is (text != "CLOSE ALL")


def test_execute_of_what_depends_on_its_numbers_is_refused() -> None:
    asked = judged("PREPARE p AS SELECT generate_series(1, $1)")
    facts = judged("EXECUTE p(1000000000)", corpus(prepared={"p": asked}))
    assert facts.effect is Effect.UNKNOWN
    assert "bound parameters" in facts.reason


def test_executing_takes_over_everything_that_was_found() -> None:
    facts = judged("EXECUTE p", corpus(prepared={"p": GONE}))
    assert (facts.objects, facts.bounded, facts.reason) == ((ORDERS,), False, "Deletes.")
    assert {"execute", "unbounded_write"} <= facts.flags
    assert judged("FETCH 1 FROM c", corpus(cursors={"c": READ})).objects == (ORDERS,)
