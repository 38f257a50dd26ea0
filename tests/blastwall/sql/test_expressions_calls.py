"""Every function that is no plain read, spelled in every way SQL has: no spelling looks better than the plain call."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blastwall.model import SEVERITY, Effect
from blastwall.sql.functions import function_table
from tests.blastwall.sql.judging import corpus, judged

TABLE = function_table()
DENIED = sorted(
    name for name, found in TABLE.builtins.items() if found.category.effect is not Effect.READ and found.exists_in(17)
)
BY_ATTRIBUTE = [name for name in DENIED if TABLE.builtins[name].attribute]

# Each takes a scalar expression and gives a statement that holds it.
PLACES = [
    "SELECT {}",
    "SELECT 1 WHERE {} IS NULL",
    "SELECT 1 ORDER BY {}",
    "SELECT 1 LIMIT ({})::int",
    "VALUES (1, {})",
    "SELECT * FROM (SELECT {} AS a) b",
    "SELECT (SELECT {})",
    "SELECT * FROM (VALUES ({})) v",
    "WITH w AS (SELECT {} AS a) SELECT * FROM w",
    "SELECT 1 UNION ALL SELECT ({})::int",
    "SELECT CASE WHEN true THEN {} END",
    "SELECT ARRAY[{}]",
    "SELECT coalesce({}, NULL)",
    "SELECT count(*) FILTER (WHERE {} IS NULL)",
    "SELECT 1 FROM orders o JOIN products p ON {} IS NULL",
    "SELECT * FROM orders, LATERAL (SELECT {}) l",
    "INSERT INTO orders (status) VALUES (({})::text)",
    "UPDATE orders SET status = ({})::text WHERE id = 1",
    "DELETE FROM orders WHERE id = 1 AND {} IS NULL",
    "EXPLAIN SELECT {}",
    "COPY (SELECT {}) TO STDOUT",
    "PREPARE p AS SELECT {}",
    "DECLARE c CURSOR FOR SELECT {}",
    "SELECT 1; SELECT {}",
]


def quoted(name: str) -> str:
    return '"' + name + '"'


def escaped(name: str) -> str:
    return 'U&"' + "".join(f"\\{ord(letter):04x}" for letter in name) + '"'


def spelled(draw: st.DrawFn, name: str) -> str:
    """The name in one of the ways that mean the same to the server."""
    way = draw(st.sampled_from(["plain", "upper", "mixed", "quoted", "escaped"]))
    lower = name == name.lower()  # a name with capitals must be quoted
    if way == "quoted" or not lower:
        return quoted(name)
    if way == "escaped":
        return escaped(name)
    return {"plain": name, "upper": name.upper(), "mixed": name.title()}[way]


SPACES = ["", " ", "\n", "\t", "/**/", "/* /* nested */ */", " -- to the end\n", "\r"]


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, str]:
    """(function name, an expression that calls it)."""
    attribute = draw(st.booleans())
    name = draw(st.sampled_from(BY_ATTRIBUTE if attribute else DENIED))
    word, space = spelled(draw, name), draw(st.sampled_from(SPACES))
    argument = draw(st.sampled_from(["'x'", "1", "NULL", "'x'::text", "(SELECT 'x')", "$1", "status"]))
    if attribute:
        value = draw(
            st.sampled_from(["('x')", "('x'::text)", "(lower('X'))", "(ARRAY['x'])[1]", "(SELECT 'x')", "($1)"])
        )
        return name, f"{value}{space}.{space}{word}"
    schema = draw(st.sampled_from(["", "pg_catalog.", '"pg_catalog".', "PG_CATALOG."]))
    arguments = ", ".join([argument] * draw(st.integers(0, 3)))
    return name, f"{schema}{word}{space}({space}{arguments}{space})"


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(calls(), st.sampled_from(PLACES), st.sampled_from(SPACES))
def test_no_spelling_and_no_place_makes_a_call_look_better(call: tuple[str, str], place: str, space: str) -> None:
    name, expression = call
    wanted = TABLE.builtins[name].category.effect
    text = space + place.format(expression) + space
    facts = judged(text, corpus())
    assert SEVERITY[facts.effect] >= SEVERITY[wanted], (text, facts)


@pytest.mark.parametrize("name", DENIED)
def test_each_of_them_says_what_it_does(name: str) -> None:
    facts = judged(f"SELECT {quoted(name)}(1)")
    category = TABLE.builtins[name].category
    assert SEVERITY[facts.effect] >= SEVERITY[category.effect]
    assert category.flag in facts.flags
    if facts.effect is category.effect:
        assert facts.reason == f"Calls {name}, which {category.says}."


@pytest.mark.parametrize("name", BY_ATTRIBUTE)
def test_each_of_them_is_seen_in_attribute_notation(name: str) -> None:
    facts = judged(f"SELECT ('x').{quoted(name)}")
    assert SEVERITY[facts.effect] >= SEVERITY[TABLE.builtins[name].category.effect]
    assert "attribute_call" in facts.flags


@pytest.mark.parametrize("name", [name for name in BY_ATTRIBUTE if TABLE.builtins[name].attribute == "row"])
def test_each_of_them_is_seen_on_a_row(name: str) -> None:
    for text in (f"SELECT c.{quoted(name)} FROM customers c", f"SELECT (c).{quoted(name)} FROM customers c"):
        facts = judged(text)
        assert SEVERITY[facts.effect] >= SEVERITY[TABLE.builtins[name].category.effect], text
