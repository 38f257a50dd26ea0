"""The walk: no recursion, no class of node that nobody listed."""

from __future__ import annotations

import pytest

from blastwall.model import Effect
from blastwall.sql.facts import Ledger
from blastwall.sql.judge import judge
from blastwall.sql.parser import parse
from blastwall.sql.scope import Scope
from blastwall.sql.surroundings import Surroundings
from blastwall.sql.tree import MESSAGES
from blastwall.sql.walk import Walk, plain, rule_table
from tests.blastwall.sql.judging import corpus, effect, judged


def test_a_class_without_a_rule_makes_the_statement_unknown() -> None:
    tree = parse("SELECT 1 WHERE a IS NULL").statements[0].stmt.select_stmt
    walk = Walk(Surroundings(), Ledger("select"), {MESSAGES["SelectStmt"]: plain, MESSAGES["ResTarget"]: plain})
    walk.push(tree, Scope())
    walk.run()
    assert walk.ledger.effect is Effect.UNKNOWN
    assert "NullTest" in walk.ledger.reason
    assert "unlisted" in walk.ledger.flags


def test_the_list_of_judged_classes_and_the_rules_are_the_same() -> None:
    with pytest.raises(ValueError, match="FuncCall"):
        rule_table({})


def test_every_class_of_the_grammar_is_listed_or_refused() -> None:
    """Classes that only the planner or procedural languages make are in neither list; whoever adds one thinks about it."""
    import tomllib
    from importlib.resources import files

    table = tomllib.loads(files("blastwall.sql").joinpath("nodes.toml").read_text("utf-8"))
    listed = set(table["plain"]) | set(table["judged"])
    assert listed <= set(MESSAGES)
    assert not set(table["plain"]) & set(table["judged"])
    assert not {"FuncExpr", "OpExpr", "Query", "RangeTblEntry", "PLAssignStmt", "ReturnStmt", "Aggref"} & listed


@pytest.mark.parametrize(
    "text",
    [
        "SELECT " + "+".join(["1"] * 5000),
        "SELECT " + "||".join(["'a'"] * 5000),
        "SELECT 1" + "::int" * 5000,
        " UNION ALL ".join(["SELECT 1"] * 3000),
        "SELECT 1 WHERE " + " AND ".join(["1 = 1"] * 3000),
        "SELECT * FROM orders WHERE id IN (" + ",".join(map(str, range(10_000))) + ")",
        "INSERT INTO orders (status) VALUES " + ",".join(["('a')"] * 5000),
        "SELECT " + "(" * 150 + "1" + ")" * 150,
        "SELECT " + "(SELECT " * 60 + "1" + ")" * 60,
        "SELECT * FROM " + "(SELECT * FROM " * 60 + "orders" + ") x" * 60,
    ],
    ids=lambda text: text[:25],
)
def test_long_and_deep_statements_are_walked(text: str) -> None:
    assert judged(text).effect in (Effect.READ, Effect.WRITE)


def test_a_denied_call_is_found_at_the_end_of_a_long_chain() -> None:
    chain = "+".join(["1"] * 4000)
    assert effect(f"SELECT pg_sleep(1)::text::int + {chain}") is Effect.ADMINISTER
    assert effect(f"SELECT {chain} + length(pg_read_file('x'))") is Effect.ADMINISTER


def test_joins_in_a_long_chain() -> None:
    text = "SELECT 1 FROM orders o0 " + " ".join(f"JOIN orders o{n} ON o{n}.id = o{n - 1}.id" for n in range(1, 120))
    assert effect(text) is Effect.READ
    assert effect(text + " JOIN customers c ON c.wipe = o0.id") is Effect.UNKNOWN


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("MERGE INTO orders o USING products p ON o.id = p.id WHEN NOT MATCHED THEN INSERT (status) VALUES ('a')", 15),
        ("SELECT '{}' IS JSON", 16),
        ("SELECT JSON_OBJECT('a': 1)", 16),
        ("SELECT JSON_OBJECTAGG(status: id) FROM orders", 16),
        ("SELECT JSON_VALUE('{}'::jsonb, '$' RETURNING text)", 17),
        ("SELECT * FROM JSON_TABLE('{}'::jsonb, '$' COLUMNS (a text PATH '$'))", 17),
        ("SELECT JSON_SCALAR(1)", 18),
        ("SELECT JSON(1)", 18),
        ("SELECT JSON_VALUE('{}'::jsonb, '$')", 18),
        ("SELECT JSON_ARRAY(1, 2)", 18),
        ("SELECT system_user", 18),
    ],
)
def test_syntax_is_trusted_from_the_major_that_cannot_read_it_otherwise(text: str, since: int) -> None:
    for major in range(13, 19):
        facts = judged(text, corpus(server_version=major))
        assert (facts.effect is Effect.UNKNOWN) is (major < since), (major, facts)
        if major < since:
            assert "version_skew" in facts.flags


def test_functions_are_trusted_from_the_major_that_ships_them() -> None:
    assert effect("SELECT any_value(id) FROM orders", corpus(server_version=16)) is Effect.READ
    assert effect("SELECT any_value(id) FROM orders", corpus(server_version=15)) is Effect.UNKNOWN


def test_numbers_that_older_servers_read_otherwise() -> None:
    for text in ("SELECT 0x1F", "SELECT 1_000 FROM orders", "SELECT id FROM orders WHERE id = 0b1"):
        assert effect(text, corpus(server_version=15)) is Effect.UNKNOWN
        assert effect(text, corpus(server_version=16)) is Effect.READ


def test_an_unknown_statement_is_unknown() -> None:
    message = MESSAGES["Node"]()
    message.plassign_stmt.name = "x"
    found = judge(message, Surroundings())
    assert found.facts.effect is Effect.UNKNOWN
    assert judge(MESSAGES["Node"](), Surroundings()).facts.effect is Effect.UNKNOWN
