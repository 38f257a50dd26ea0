"""The lists of PostgreSQL's own names: what is on them, and that statements are judged by them."""

from __future__ import annotations

import pytest

from blastwall.model import Effect
from blastwall.sql.builtins import builtins, system_relations
from tests.blastwall.sql.judging import effect, judged


@pytest.mark.parametrize(
    ("listed", "present", "absent"),
    [
        ("operators", {"=", "<>", "||", "->>", "@>"}, {"###", "==>"}),
        ("types", {"int4", "text", "jsonb", "timestamptz"}, {"evil_domain", "customers", "_int4"}),
        ("index_methods", {"btree", "gin"}, {"rum", "bloom"}),
        ("table_methods", {"heap"}, {"columnar"}),
        ("sampling_methods", {"bernoulli", "system"}, {"system_rows"}),
    ],
)
def test_lists_hold_what_postgresql_ships_and_nothing_added(listed: str, present: set[str], absent: set[str]) -> None:
    names = getattr(builtins(), listed)
    assert present <= names
    assert not absent & names


@pytest.mark.parametrize(
    ("schema", "name", "known"),
    [
        ("pg_catalog", "pg_class", True),
        ("pg_catalog", "pg_authid", True),
        ("pg_catalog", "pg_new_thing", False),
        ("information_schema", "columns", True),
        ("information_schema", "pg_class", False),
        ("pg_catalog", "columns", False),
    ],
)
def test_a_system_relation_is_known_in_its_own_schema(schema: str, name: str, known: bool) -> None:
    assert system_relations().known(schema, name) is known


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT relname FROM pg_class", Effect.READ),
        ("SELECT rolpassword FROM pg_authid", Effect.ADMINISTER),
        ("SELECT * FROM pg_stat_activity", Effect.ADMINISTER),
        ("SELECT table_name FROM information_schema.tables", Effect.READ),
        ("SELECT * FROM pg_catalog.pg_new_thing", Effect.UNKNOWN),
        ("SELECT 1 FROM orders TABLESAMPLE bernoulli (1)", Effect.READ),
        ("SELECT 1 FROM orders TABLESAMPLE system_rows (1)", Effect.UNKNOWN),
    ],
)
def test_statements_are_judged_by_the_lists(text: str, expected: Effect) -> None:
    assert effect(text) is expected


def test_sensitive_relations_say_why() -> None:
    table = system_relations()
    assert all(len(why.split()) >= 2 for why in (*table.sensitive.values(), *table.extension.values()))
    assert table.sensitive["pg_authid"] in judged("TABLE pg_authid").reason
    assert not table.sensitive.keys() & (table.pg_catalog | table.information_schema), "a relation is on one list"
