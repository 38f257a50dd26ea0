"""Nodes of expressions: what is certainly a column, what may be a call, and what is read beside."""

from __future__ import annotations

import pytest

from blastwall.model import Effect
from tests.blastwall.sql.judging import corpus, judged

R, A, U = Effect.READ, Effect.ADMINISTER, Effect.UNKNOWN


@pytest.mark.parametrize(
    ("text", "effect", "flag"),
    [
        ("SELECT c.name FROM customers c", R, None),
        ("SELECT c.wipe FROM customers c", U, "attribute_call"),
        ("SELECT (c).wipe FROM customers c", U, "attribute_call"),
        ("SELECT (c).name FROM customers c", R, None),
        ("SELECT ('x'::text).upper", U, "attribute_call"),
        ("SELECT ('/etc/passwd'::text).pg_read_file", A, "attribute_call"),
        ("SELECT d.name FROM customers c", U, "unresolved"),
        ("SELECT public.customers.name FROM customers", R, None),
        ("SELECT other.customers.name FROM customers", U, "unresolved"),
        ("SELECT corpus.public.customers.name FROM customers", R, None),
        ("SELECT s.wipe FROM (SELECT id FROM customers) s", U, "attribute_call"),
        ("SELECT s.id FROM (SELECT id FROM customers) s", R, None),
        ("SELECT c.ctid FROM customers c", R, None),
    ],
)
def test_a_qualified_name_is_a_column_or_may_be_a_call(text: str, effect: Effect, flag: str | None) -> None:
    database = corpus().catalogue.database
    facts = judged(text.replace("corpus.", f'"{database}".'))
    assert facts.effect is effect, facts
    assert flag is None or flag in facts.flags


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("SELECT c FROM customers c", True),
        ("SELECT c.* FROM customers c", True),
        ("SELECT to_jsonb(c) FROM customers c", True),
        ("SELECT (c).* FROM customers c", True),
        ("SELECT * FROM customers c", False),
        ("SELECT c.name FROM customers c", False),
    ],
)
def test_whole_rows_are_told(text: str, whole: bool) -> None:
    assert ("whole_row" in judged(text).flags) is whole


@pytest.mark.parametrize(
    ("text", "effect", "flag"),
    [
        ("SELECT ssn(c) FROM customers c", U, "projection_call"),
        ("SELECT to_jsonb(c) FROM customers c", R, None),
        ("SELECT upper(name) FROM customers c", R, None),
    ],
)
def test_a_function_of_a_row_may_be_a_column(text: str, effect: Effect, flag: str | None) -> None:
    facts = judged(text)
    assert facts.effect is effect
    assert ("projection_call" in facts.flags) is (flag is not None)


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("SELECT current_setting('server_version')", R),
        ("SELECT current_setting('hba_file')", A),
        ("SELECT current_setting('server_' || 'version')", A),
        ("SELECT current_setting($1)", A),
        ("SELECT 1 FROM pg_am am WHERE am.amname <> current_setting($1)", R),
        ("SELECT 1 FROM orders o WHERE o.status <> current_setting($1)", A),
        ("SELECT 1 FROM pg_am am WHERE am.amname < current_setting($1)", A),
    ],
)
def test_settings_are_read_by_listed_names_only(text: str, effect: Effect) -> None:
    facts = judged(text)
    assert facts.effect is effect, facts
    assert "function:guc_read" in facts.flags


@pytest.mark.parametrize(
    "place",
    [
        "SELECT {}",
        "SELECT 1 WHERE {} IS NULL",
        "SELECT CASE WHEN true THEN {} END",
        "SELECT coalesce({}, '')",
        "SELECT ARRAY[{}]",
        "SELECT ROW({})",
        "SELECT {}::int",
        "SELECT -length({})",
        "SELECT 1 IN (SELECT length({}))",
        "SELECT EXISTS (SELECT {})",
        "SELECT (ARRAY[1])[length({})]",
        "SELECT count(*) FILTER (WHERE {} = '')",
        "SELECT sum(1) OVER (PARTITION BY {})",
        "SELECT 1 ORDER BY {}",
        "SELECT JSON_OBJECT('a': {} RETURNING text)",
        "SELECT xmlelement(name a, {})",
        'SELECT {} COLLATE "C"',
        "SELECT greatest({}, '')",
    ],
)
def test_calls_are_found_wherever_they_stand(place: str) -> None:
    around = corpus(server_version=180000)
    assert judged(place.format("pg_read_file('x')"), around).effect is A
    assert judged(place.format("lower('x')"), around).effect is R


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("SELECT 'a' ### 'b'", U),
        ("SELECT 'a' || 'b'", R),
        ("SELECT 'a' OPERATOR(public.###) 'b'", U),
        ("SELECT 'a' OPERATOR(pg_catalog.||) 'b'", R),
        ("SELECT 'x' ### ANY (ARRAY['y'])", U),
        ("SELECT 1 ORDER BY 1 USING ###", U),
        ("SELECT 1 ORDER BY 1 USING <", R),
        ("SELECT 'x'::evil_domain", U),
        ("SELECT 'x'::text", R),
        ("SELECT XMLSERIALIZE(CONTENT '<a/>'::xml AS evil_domain)", U),
    ],
)
def test_operators_and_types_are_judged_by_name(text: str, effect: Effect) -> None:
    assert judged(text).effect is effect


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("SELECT MERGE_ACTION()", U),
        (
            "MERGE INTO orders o USING customers c ON o.id = 5 WHEN MATCHED THEN DELETE RETURNING merge_action()",
            Effect.WRITE,
        ),
    ],
)
def test_merge_action_belongs_to_merge(text: str, effect: Effect) -> None:
    assert judged(text, corpus(server_version=180000)).effect is effect


def test_a_cursor_in_where_must_be_the_sessions() -> None:
    text = "DELETE FROM orders WHERE CURRENT OF c"
    assert judged(text).effect is U
    assert judged(text, corpus(cursors={"c": judged("SELECT id FROM orders")})).effect is Effect.WRITE
