"""The door to the grammar: what is refused before it, what must pass, and that nothing but Unparsed comes out."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.sql import parser, worker
from blastwall.sql.limits import LIMITS
from blastwall.sql.parser import Unparsed, deparse, parse, parse_async

CORPUS = Path(__file__).parents[2] / "corpus" / "bypass.jsonl"


def corpus() -> list[dict[str, object]]:
    rows = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").split("\n") if line]
    return [row for row in rows if row["protocol"] == "postgres"]


#: The corpus spells its largest texts as generators.
HOSTILE = {
    "generator: 'SELECT ' + '+'.join(['1']*30000)": "SELECT " + "+".join(["1"] * 30000),
    "generator: 'SELECT 1' + '::int'*40000": "SELECT 1" + "::int" * 40000,
    "generator: 'SELECT ' + '('*9000 + '1' + ')'*9000": "SELECT " + "(" * 9000 + "1" + ")" * 9000,
    "generator: 'SELECT ' + ','.join(['1']*2000000)": "SELECT " + ",".join(["1"] * 2000000),
}


def test_every_generator_of_the_corpus_is_known_here() -> None:
    generators = {row["payload"] for row in corpus() if str(row["payload"]).startswith("generator")}
    assert generators == set(HOSTILE)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=["plus", "casts", "parentheses", "megabytes"])
def test_texts_that_would_kill_a_parser_are_refused(text: str) -> None:
    with pytest.raises(Unparsed) as caught:
        parse(text)
    assert caught.value.code == "54000"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1 UNION ALL " * 91 + "SELECT 1",
        "SELECT * FROM orders WHERE id IN (" + ",".join(map(str, range(500))) + ")",
        "SELECT " + "||".join(["'a'"] * 300),
        "INSERT INTO t (a, b, c) VALUES " + ",".join(f"({i}, 'name {i}', now())" for i in range(1000)),
        "INSERT INTO t VALUES " + ",".join("(" + ",".join(["1"] * 20) + ")" for _ in range(1000)),
        "SELECT 1 WHERE " + " OR ".join(f"a = {i}" for i in range(2000)),
        "SELECT '" + "x" * 1_000_000 + "'",
    ],
    ids=["union", "in", "concatenation", "insert", "wide insert", "or", "long literal"],
)
def test_long_ordinary_statements_parse(text: str) -> None:
    tree = parse(text)
    assert len(tree.statements) == 1
    assert len(tree.fingerprint) == 16


def test_every_other_payload_of_the_corpus_is_parsed_or_refused() -> None:
    rows = corpus()
    parsed = 0
    for row in rows:
        payload = str(row["payload"])
        try:
            parse(HOSTILE.get(payload, payload))
            parsed += 1
        except Unparsed as fault:
            assert row["class"] != "safe_read", (row["id"], fault.message)
    assert parsed > 0.9 * len(rows)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SELECT 1\0; DROP TABLE orders", "22021"),
        ("\0", "22021"),
        ("SELECT '\ud800'", "22021"),
        ("\ufeffDELETE FROM orders", "42601"),
        ("\u017fELECT 1", "42601"),
        ("SELECT \\gexec", "42601"),
        ("SELECT 1" + "é" * (LIMITS.text_bytes // 2), "54000"),
    ],
)
def test_what_is_no_statement_is_refused(text: str, code: str) -> None:
    with pytest.raises(Unparsed) as caught:
        parse(text)
    assert caught.value.code == code


def test_a_nul_is_also_refused_in_a_text_for_the_worker() -> None:
    with pytest.raises(Unparsed):
        parse("SELECT 1" + " " * 10_000 + "\0; DROP TABLE orders")


def test_statements_come_with_their_places() -> None:
    text = "SELECT 'é'; DROP TABLE orders ;"
    tree = parse(text)
    raw = text.encode()
    places = [(each.stmt_location, each.stmt_len) for each in tree.statements]
    assert [raw[at : at + length] for at, length in places] == ["SELECT 'é'".encode(), b"DROP TABLE orders "]
    assert [each.stmt.WhichOneof("node") for each in tree.statements] == ["select_stmt", "drop_stmt"]


@pytest.mark.parametrize("text", ["", " ;; ", "-- nothing", "/* nothing */"])
def test_an_empty_text_has_no_statements(text: str) -> None:
    assert parse(text).statements == ()


@pytest.mark.parametrize("padding", [0, 2 * LIMITS.parse_inline_bytes], ids=["in process", "worker"])
def test_both_ways_give_the_same_tree(padding: int) -> None:
    tree = parse("SELECT a, 0x1F FROM t WHERE b = 'x'" + " " * padding)
    assert deparse(tree) == "SELECT a, 31 FROM t WHERE b = 'x'"
    assert tree.fingerprint == parse("SELECT a, 1 FROM t WHERE b = 'y'").fingerprint
    assert tree.modern_numbers
    assert not parse("SELECT 31" + " " * padding).modern_numbers


@pytest.mark.parametrize("padding", [0, 2 * LIMITS.parse_inline_bytes], ids=["in process", "worker"])
def test_a_syntax_error_reads_the_same_both_ways(padding: int) -> None:
    with pytest.raises(Unparsed) as caught:
        parse("SELECT 'é' FORM t x y" + " " * padding)
    fault = caught.value
    assert (fault.message, fault.position, fault.code) == ('syntax error at or near "t"', 17, "42601")


def test_small_texts_never_start_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> worker.Pool:
        raise AssertionError("a small text went to the worker")

    monkeypatch.setattr(worker, "shared", refuse)
    assert parse("SELECT 1" + " " * (LIMITS.parse_inline_bytes - 8)).statements
    with pytest.raises(AssertionError):
        parse("SELECT 1" + " " * (LIMITS.parse_inline_bytes - 7))


def test_the_deepest_small_texts_parse_in_a_megabyte_of_stack() -> None:
    """Threads have 8 MiB; what limits.toml claims of the inline limit must stay true when the library changes."""
    budget = LIMITS.parse_inline_bytes
    texts = ["SELECT " + link * ((budget - 8) // len(link)) + "1" for link in ("1+", "~ ", "NOT ", "- ")]
    texts.append("SELECT 1" + "::a" * ((budget - 8) // 3))
    trees = parser.grammar.deep(lambda: [parse(text) for text in texts], 1 << 20)
    assert all(tree.statements for tree in trees)


def test_deparse_follows_changes_to_the_tree() -> None:
    tree = parse("SELECT a FROM t")
    tree.statements[0].stmt.select_stmt.from_clause[0].range_var.relname = "Other"
    assert deparse(tree) == 'SELECT a FROM "Other"'


def test_deparse_of_a_large_tree_does_not_hurt_this_process() -> None:
    text = "SELECT " + "||".join(["'a'"] * 9000)
    tree = parse(text)
    assert deparse(tree).replace("(", "").replace(")", "") == text.replace("||", " || ")


async def test_parse_async_leaves_the_loop_free() -> None:
    worker.shared().start()
    large = "SELECT " + "||".join(["'a'"] * 9000)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    spinning = asyncio.create_task(turn())
    tree = await parse_async(large)
    spinning.cancel()
    assert tree.statements and turns > 10
    assert (await parse_async("SELECT 1")).statements
    with pytest.raises(Unparsed):
        await parse_async("SELECT 1 FROM" + " " * 10_000)


@given(st.text(max_size=60))
def test_any_text_is_a_tree_or_unparsed(text: str) -> None:
    try:
        tree = parse(text)
    except Unparsed as fault:
        assert fault.reason and fault.code
        return
    assert tree.text == text
