"""Every PostgreSQL row of the attack corpora against the facts, plain and wrapped in everything SQL wraps a statement in."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from blastwall.model import SEVERITY, Effect, Facts
from blastwall.policy.vocabulary import FLAGS
from blastwall.sql.parser import Unparsed, parse
from tests.blastwall.sql.judging import corpus, find, judged

HERE = Path(__file__).parent


def rows(name: str) -> list[dict[str, Any]]:
    lines = (HERE / name).read_text(encoding="utf-8").split("\n")  # payloads hold other line separators
    return [row for line in lines if line and (row := json.loads(line))["protocol"] == "postgres"]


SHARED = rows("bypass.jsonl")
OWN = rows("own.jsonl")
MASKING = [row for row in SHARED if row["id"].startswith("PGM")]
JUDGED = [row for row in SHARED if not row["id"].startswith("PGM")] + OWN


def payload(row: dict[str, Any]) -> str:
    """The row's text; "generator: 'a' + 'b'*3" spells a long one."""
    text = str(row["payload"])
    if not text.startswith("generator: "):
        return text
    return str(_spelled(ast.parse(text.removeprefix("generator: "), mode="eval").body))


def _spelled(node: ast.expr) -> Any:
    """The few operations that generators are made of: literals, +, *, and joining."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List):
        return [_spelled(each) for each in node.elts]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _spelled(node.left) + _spelled(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return _spelled(node.left) * _spelled(node.right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "join":
        return _spelled(node.func.value).join(_spelled(node.args[0]))
    raise ValueError(ast.dump(node))


def outcome(facts: Facts) -> str:
    """What the corpus' policy makes of facts: reads pass, changes wait for a person, the rest is refused."""
    if facts.effect in (Effect.SESSION, Effect.READ):
        return "deny" if facts.flags & {"reset", "read_write"} else "allow"
    return "approve" if facts.effect in (Effect.WRITE, Effect.DEFINE) else "deny"


def accepted(row: dict[str, Any]) -> set[str]:
    return {"allow" if each == "mask" else each for each in row["accept"]}


@pytest.mark.parametrize("row", JUDGED, ids=lambda row: row["id"])
def test_a_row_comes_out_as_it_must(row: dict[str, Any]) -> None:
    facts = judged(payload(row), corpus())
    assert outcome(facts) in accepted(row), (row["payload"], facts)
    assert facts.flags <= FLAGS
    if facts.effect not in (Effect.SESSION, Effect.READ):
        assert facts.reason.endswith(".") and len(facts.reason) >= 15, facts


@pytest.mark.parametrize("row", MASKING, ids=lambda row: row["id"])
def test_a_masking_row_is_judged_without_a_fault(row: dict[str, Any]) -> None:
    """Whether it leaks is for the masks to prevent; here it must have facts, and no change may look like a read."""
    facts = judged(payload(row), corpus())
    assert facts.verb
    if row["payload"].split()[0] in ("INSERT", "UPDATE", "DELETE"):
        assert SEVERITY[facts.effect] >= SEVERITY[Effect.WRITE]


WRAPS = {
    "prepare": "PREPARE wrapped AS {}",
    "declare": "DECLARE wrapped CURSOR FOR {}",
    "copy": "COPY ({}) TO STDOUT",
    "explain": "EXPLAIN ANALYZE {}",
    "with": "WITH wrapped AS ({}) SELECT 1",
    "sub-select": "SELECT * FROM ({}) AS wrapped",
    "scalar": "SELECT (SELECT count(*) FROM ({}) AS wrapped)",
    "union": "SELECT 1 UNION ALL ({})",
    "second": "SELECT 1; {}",
    "transaction": "BEGIN; {}; COMMIT",
    "comment": "/* a */ {} -- b",
    "table": "CREATE TABLE wrapped AS {}",
    "insert": "INSERT INTO products {}",
}


def legal(text: str) -> bool:
    try:
        return len(parse(text).statements) > 0
    except Unparsed:
        return False


@pytest.mark.parametrize("wrap", WRAPS)
def test_a_wrap_never_makes_a_statement_look_better(wrap: str) -> None:
    """EXPLAIN, COPY, PREPARE, cursors, WITH and sub-queries carry whatever they hold."""
    worse, tried = [], 0
    for row in JUDGED:
        text = payload(row).rstrip().rstrip(";")
        if len(text) > 20_000 or not legal(text) or ";" in text:
            continue
        wrapped = WRAPS[wrap].format(text)
        if not legal(wrapped):
            continue
        tried += 1
        plain, carried = judged(text), judged(wrapped)
        if SEVERITY[carried.effect] < SEVERITY[plain.effect]:
            worse.append((row["id"], plain.effect, carried.effect, wrapped))
        if not plain.bounded and carried.bounded and carried.effect is not Effect.UNKNOWN:
            worse.append((row["id"], "bounded", wrapped))
    assert not worse
    assert tried > 100, f"{wrap} was hardly tried"


@pytest.mark.parametrize("name", ["bypass.jsonl", "own.jsonl"])
def test_the_corpus_is_there_and_its_ids_are_its_own(name: str) -> None:
    ids = [row["id"] for row in rows(name)]
    assert len(ids) == len(set(ids)) > 150
    assert all(row["accept"] and row["expected"] in row["accept"] for row in rows(name))


def test_without_a_catalogue_nothing_that_is_refused_passes_but_names_of_the_database() -> None:
    """What only a catalogue can tell (a user's function behind a column's name) is marked, never silently trusted."""
    passed = []
    for row in JUDGED:
        facts = find(payload(row), corpus(catalogue=None)).facts
        if row["accept"] == ["deny"] and outcome(facts) == "allow" and "no_catalogue" not in facts.flags:
            passed.append((row["id"], row["payload"]))
    assert not passed
