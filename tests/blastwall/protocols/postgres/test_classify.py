"""Texts to findings: several statements, names that change on the way, what is remembered and for how long."""

from __future__ import annotations

import dataclasses
import gc
import timeit
import weakref

import pytest

from blastwall.model import Effect, Parameter
from blastwall.protocols.postgres import classify as module
from blastwall.protocols.postgres.classify import Classifier, Finding, classify, classify_tree, declared, offline
from blastwall.sql import catalogue_file
from blastwall.sql.catalogue import Catalogue, Type
from blastwall.sql.parser import Unparsed, parse
from blastwall.sql.surroundings import Surroundings
from tests.blastwall.sql.judging import corpus, corpus_catalogue, find, function, judged, shop


def write_and_read(catalogue: Catalogue) -> Catalogue:
    """One of its own that nobody else has."""
    return catalogue_file.read(catalogue_file.write(catalogue), "catalogue.json")


def kinds(text: str) -> list[str]:
    return [each.kind for each in find(text).statements]


def test_each_statement_has_its_own_finding() -> None:
    finding = find("BEGIN; SELECT 1; UPDATE orders SET status = 'a' WHERE id = 5; COMMIT")
    assert [each.facts.effect for each in finding.statements] == [
        Effect.SESSION,
        Effect.READ,
        Effect.WRITE,
        Effect.SESSION,
    ]
    assert finding.facts.effect is Effect.WRITE
    assert (finding.facts.verb, finding.facts.statements) == ("update", 4)
    assert finding.tree is not None
    assert finding.facts.fingerprint == finding.tree.fingerprint
    assert not finding.reads_only
    assert find("SELECT 1; SELECT 2").reads_only


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("SELECT 1", "query", ""),
        ("BEGIN", "transaction", ""),
        ("SAVEPOINT a", "transaction", "a"),
        ("PREPARE p AS SELECT 1", "prepare", "p"),
        ("EXECUTE p", "execute", "p"),
        ("EXPLAIN EXECUTE p", "execute", ""),
        ("EXPLAIN SELECT 1", "explain", ""),
        ("DECLARE c CURSOR FOR SELECT 1", "declare", "c"),
        ("FETCH c", "fetch", "c"),
        ("CLOSE c", "close", "c"),
        ("CLOSE ALL", "close", ""),
        ("DEALLOCATE p", "deallocate", "p"),
        ("DISCARD ALL", "discard", ""),
        ("SELECT pg_advisory_unlock_all()", "discard", "advisory locks"),
        ("SET application_name = 'x'", "set", "application_name"),
        ("RESET application_name", "reset", "application_name"),
        ("RESET ALL", "reset", ""),
        ("SHOW search_path", "show", "search_path"),
        ("COPY orders FROM STDIN", "copy_in", ""),
        ("COPY orders TO STDOUT", "copy_out", ""),
        ("LISTEN x", "listen", "x"),
        ("UNLISTEN *", "unlisten", ""),
        ("DELETE FROM orders WHERE CURRENT OF c", "cursor_write", ""),
        ("CREATE TABLE t (a int)", "define", ""),
        ("SELECT 1 INTO t", "define", ""),
        ("VACUUM orders", "utility", ""),
    ],
)
def test_what_a_statement_is_to_its_session(text: str, kind: str, name: str) -> None:
    (found,) = find(text).statements
    assert found.kind == kind
    assert found.name == name or not name


def test_a_set_tells_its_value() -> None:
    (found,) = find("SET datestyle = 'ISO', DMY").statements
    assert (found.name, found.value) == ("datestyle", "ISO, dmy")
    (found,) = find("SET synchronize_seqscans TO off").statements
    assert found.value == "off"


def test_names_change_within_a_text() -> None:
    assert judged("PREPARE p AS SELECT 1; EXECUTE p").effect is Effect.READ
    assert judged("PREPARE p AS SELECT 1; DEALLOCATE p; EXECUTE p").effect is Effect.UNKNOWN
    assert judged("PREPARE p AS SELECT 1; DISCARD ALL; EXECUTE p").effect is Effect.UNKNOWN
    assert judged("PREPARE p AS DELETE FROM orders; EXECUTE p").effect is Effect.DESTROY
    assert judged("DECLARE c CURSOR FOR SELECT 1; CLOSE ALL; FETCH c").effect is Effect.UNKNOWN


def test_names_the_session_knows() -> None:
    prepared = {"p": judged("DELETE FROM orders"), "q": judged("SELECT 1")}
    session = corpus(prepared=prepared, cursors={"c": judged("SELECT * FROM orders")})
    assert judged("EXECUTE p", session).effect is Effect.DESTROY
    assert not judged("EXECUTE p", session).bounded
    assert judged("EXECUTE q", session).effect is Effect.READ
    assert judged("EXECUTE q (pg_sleep(1))", session).effect is Effect.ADMINISTER
    fetched = judged("FETCH ALL FROM c", session)
    assert fetched.effect is Effect.SESSION
    assert [str(each) for each in fetched.objects] == ["read table public.orders"]
    assert judged("UPDATE orders SET status = 'x' WHERE CURRENT OF c", session).effect is Effect.WRITE
    assert judged("DEALLOCATE p; EXECUTE p", session).effect is Effect.UNKNOWN


def test_tables_made_on_the_way() -> None:
    assert judged("CREATE TEMP TABLE t AS SELECT 1 AS a; SELECT t.a FROM t").effect is Effect.DEFINE
    assert judged("CREATE TABLE n (a int); INSERT INTO n VALUES (1); SELECT * FROM n").effect is Effect.DEFINE
    assert judged("SELECT * FROM t").effect is Effect.UNKNOWN
    assert judged("SELECT * FROM t", corpus(temp=frozenset({"t"}))).effect is Effect.READ


def test_an_empty_text_does_nothing() -> None:
    for text in ("", "-- nothing", ";;", "/* a */ ;"):
        finding = find(text)
        assert finding.facts.effect is Effect.SESSION
        assert finding.statements == ()
        assert not finding.changes_catalogue


def test_what_cannot_be_read_is_unknown_and_says_what_the_server_would() -> None:
    finding = find("SELEC 1")
    assert finding.facts.effect is Effect.UNKNOWN
    assert "unparsed" in finding.facts.flags
    assert finding.error is not None
    assert finding.error.code == "42601"
    assert "SELEC" in finding.error.message
    assert "SELEC" not in finding.facts.reason, "the reason is recorded and must not quote the text"
    assert find("SELECT 1\x00").facts.effect is Effect.UNKNOWN


def test_a_fault_of_our_own_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = parse("SELECT 1")

    def fail(*arguments: object, **named: object) -> None:
        raise RecursionError

    monkeypatch.setattr(module, "judge", fail)
    finding = classify_tree(tree, corpus())
    assert finding.facts.effect is Effect.UNKNOWN
    assert "internal_error" in finding.facts.flags
    classifier = Classifier()
    classifier.classify("SELECT 1", corpus())
    assert len(classifier) == 0, "a fault is not remembered"
    monkeypatch.setattr(module, "parse", fail)
    assert classify("SELECT 1", corpus()).facts.effect is Effect.UNKNOWN


def test_what_ddl_changes() -> None:
    assert find("CREATE TABLE t (a int)").changes_catalogue
    assert find("DROP TABLE orders").changes_catalogue
    assert find("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'").changes_catalogue
    assert find("DO 'BEGIN END'").changes_catalogue
    assert not find("SELECT 1").changes_catalogue
    assert not find("UPDATE orders SET status = 'x' WHERE id = 1").changes_catalogue


@pytest.mark.parametrize(
    ("text", "independent"),
    [
        ("SELECT * FROM orders WHERE id = 5", True),
        ("INSERT INTO orders (status) VALUES ('a')", True),
        ("UPDATE orders SET status = 'a' WHERE id = 5", True),
        ("UPDATE orders SET status = 'a' WHERE total > 5", False),
        ("SELECT * FROM generate_series(1, 5)", False),
        ("SET application_name = 'a'", False),
        ("SELECT current_setting('search_path')", False),
        ("SELECT 1; SHOW search_path", False),
    ],
)
def test_facts_that_no_literal_can_change(text: str, independent: bool) -> None:
    assert find(text).literal_independent is independent


def test_parameters_count_where_they_say_how_much() -> None:
    text = "SELECT * FROM generate_series(1, $1)"
    assert classify(text, corpus()).facts.effect is Effect.READ
    assert "amplification" in classify(text, corpus()).facts.flags
    assert classify(text, corpus(), ["100"]).facts.flags == frozenset()
    assert classify(text, corpus(), [Parameter(b"99999999999")]).facts.effect is Effect.UNKNOWN
    assert classify(text, corpus(), [Parameter(b"\0\0\0\5", binary=True)]).facts.flags == frozenset()
    assert classify(text, corpus(), [Parameter(b"\5\0\0\0", binary=True)]).facts.effect is Effect.UNKNOWN
    assert "amplification" in classify(text, corpus(), [Parameter(b"\0\5", binary=True, type_id=25)]).facts.flags


def test_parameters_of_a_type_whose_values_run_code_are_refused() -> None:
    around = corpus()
    assert around.catalogue is not None
    oids = {name: kind.oid for name in ("evil_domain", "_evil_domain", "orders") if (kind := _type(around, name))}
    for name in ("evil_domain", "_evil_domain"):
        facts = classify("SELECT $1", around, [Parameter(None, type_id=oids[name])]).facts
        assert facts.effect is Effect.UNKNOWN and "user_type" in facts.flags
        assert "checks run code" in declared("SELECT $2::text", around, [23, oids[name]])
    assert "does not know" in declared("SELECT $1", around, [99_999])
    assert "does not know" in declared("SELECT $1", offline(None), [oids["evil_domain"]])
    assert declared("SELECT $1", around, [oids["orders"]]) == ""


def test_a_parameters_type_may_choose_an_added_overload() -> None:
    mood = 30_001
    around = shop(types=(Type(mood, "public", "mood", "e"),), functions=(function(21_000, "lower", mood),))
    assert declared("SELECT $1", around, [mood]) == ""
    assert declared("SELECT lower($1)", around, [25]) == ""
    assert "public.lower" in declared("SELECT lower($1)", around, [mood])


def test_postgresqls_own_types_are_not_looked_at() -> None:
    assert declared("this is not even SQL", corpus(), [0, 23, 25, 1009, 3802, 16383]) == ""
    assert declared("SELECT $1", corpus(), ()) == ""


def _type(around: Surroundings, name: str) -> Type | None:
    assert around.catalogue is not None
    return around.catalogue.type("public", name, ())


def test_hints_that_an_extension_obeys_are_refused() -> None:
    assert judged("SELECT /*+ Set(row_security off) */ 1").effect is Effect.UNKNOWN
    assert judged("SELECT /* + fine */ 1").effect is Effect.READ


def test_without_a_session() -> None:
    alone = offline(corpus_catalogue())
    assert alone.search_path == ("public",)
    assert alone.major == 17
    assert judged("SELECT id FROM orders", alone).effect is Effect.READ
    assert judged("SELECT id FROM anything", offline(None)).effect is Effect.READ
    assert "no_catalogue" in judged("SELECT id FROM anything", offline(None)).flags


def same(one: Finding, other: Finding) -> bool:
    return one is other


def test_a_text_is_judged_once_for_the_same_surroundings() -> None:
    classifier, here = Classifier(), corpus()
    first = classifier.classify("SELECT id FROM orders", here)
    assert same(classifier.classify("SELECT id FROM orders", here), first)
    assert same(classifier.classify("SELECT id FROM orders", corpus()), first), "another session of the same kind"
    elsewhere = corpus(search_path=("other",))
    assert classifier.classify("SELECT id FROM orders", elsewhere).facts.effect is Effect.UNKNOWN


def test_what_is_remembered_keeps_no_catalogue_that_no_session_has_any_more() -> None:
    """Ten thousand entries did: with each change of a database's definitions its whole catalogue stayed once more."""
    classifier, here = Classifier(), corpus(catalogue=write_and_read(corpus_catalogue()))
    assert here.catalogue is not None
    gone = weakref.ref(here.catalogue)
    finding = classifier.classify("SELECT id FROM orders", here)
    classifier.classify("EXECUTE p", here)
    del here
    gc.collect()
    assert gone() is None
    assert same(classifier.classify("SELECT id FROM orders", corpus()), finding)


def test_no_two_surroundings_have_the_same_number() -> None:
    here = corpus()
    changed = dataclasses.replace(here, undone=True)
    assert len({here.serial, changed.serial, corpus().serial}) == 3


def test_what_depends_on_the_sessions_names_is_not_shared() -> None:
    classifier = Classifier()
    harmless, harmful = corpus(prepared={"p": judged("SELECT 1")}), corpus(prepared={"p": judged("DELETE FROM orders")})
    assert harmless.fingerprint == harmful.fingerprint
    assert classifier.classify("EXECUTE p", harmless).facts.effect is Effect.READ
    assert classifier.classify("EXECUTE p", harmful).facts.effect is Effect.DESTROY
    assert classifier.classify("EXPLAIN EXECUTE p", harmless).facts.effect is Effect.READ
    assert classifier.classify("EXPLAIN EXECUTE p", harmful).facts.effect is Effect.DESTROY
    cursor = corpus(cursors={"c": judged("SELECT 1")})
    assert classifier.classify("DELETE FROM orders WHERE CURRENT OF c", cursor).facts.effect is Effect.WRITE
    assert classifier.classify("DELETE FROM orders WHERE CURRENT OF c", corpus()).facts.effect is Effect.UNKNOWN


def test_memory_is_bounded_and_keeps_what_is_used() -> None:
    classifier, here = Classifier(most_entries=40), corpus()
    kept = classifier.classify("SELECT 1", here)
    for number in range(200):
        classifier.classify(f"SELECT {number} AS a", here)
        assert same(classifier.classify("SELECT 1", here), kept)
        assert len(classifier) <= 40
    assert classifier.bytes < 40 * 3000
    classifier.forget()
    assert (len(classifier), classifier.bytes) == (0, 0)


def test_a_text_that_would_fill_the_memory_is_not_kept() -> None:
    classifier = Classifier(most_bytes=100_000)
    classifier.classify("SELECT " + ",".join(["1"] * 1000), corpus())
    assert len(classifier) == 0


def test_a_worker_that_is_busy_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = module.parse, []

    def busy_once(text: str) -> object:
        calls.append(text)
        if len(calls) == 1:
            raise Unparsed("No worker is free.", code="53000")
        return real(text)

    monkeypatch.setattr(module, "parse", busy_once)
    classifier, here = Classifier(), corpus()
    assert classifier.classify("SELECT 1", here).facts.effect is Effect.UNKNOWN
    assert classifier.classify("SELECT 1", here).facts.effect is Effect.READ


def test_remembering_is_fast_and_judging_fast_enough() -> None:
    """Generous bounds for a busy machine: a look-up takes 0.2 us and a point select 0.1 ms when it is idle."""
    classifier, here, text = Classifier(), corpus(), "SELECT id, name FROM customers WHERE id = $1"
    classifier.classify(text, here)
    hits = min(timeit.repeat(lambda: classifier.classify(text, here), number=10_000, repeat=5)) / 10_000
    assert hits < 3e-6
    judging = min(timeit.repeat(lambda: classify(text, here), number=50, repeat=5)) / 50
    assert judging < 2e-3


def test_surroundings_are_told_apart_by_identity_and_shared_by_fingerprint() -> None:
    here = corpus()
    assert here != dataclasses.replace(here)
    assert here.fingerprint == dataclasses.replace(here).fingerprint
    assert isinstance(here, Surroundings)


def test_the_tree_of_another_text_that_means_the_same_is_its_own() -> None:
    finding = classify("DELETE FROM t WHERE id = 5", offline(None))
    assert finding.tree is not None and finding.tree_of("DELETE FROM t WHERE id = 5") is finding.tree
    other = finding.tree_of("DELETE FROM t WHERE id = 7")
    assert other is not None and other.text == "DELETE FROM t WHERE id = 7"
    assert "ival: 7" in str(other.result) and "ival: 5" not in str(other.result)
    assert classify("no SQL", offline(None)).tree_of("no SQL") is None
