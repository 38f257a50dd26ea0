"""The restoring text: values are literals of their types whatever they hold, and what is not there is not written."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from blastwall.sql.parser import parse
from blastwall.undo.capsule import Capsule, Part
from blastwall.undo.restore import literal, restoring

COLUMNS = (("id", "pg_catalog.int4"), ('na"me', "pg_catalog.text"))


def capsule(*parts: Part) -> Capsule:
    return Capsule("c", "a-1", "shop", "shop", "delete", 0.0, parts)


def test_a_value_cannot_leave_its_quotes() -> None:
    assert literal("it's \\ '; DROP TABLE t; --", "text") == "'it''s \\ ''; DROP TABLE t; --'::text"
    assert literal(None, "text") == "NULL::text"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_value_neither_changes_nor_moves_the_cursor_of_who_prints_it(value: str) -> None:
    text = literal(value, "text")
    assert all(sign == "\n" or unicodedata.category(sign) not in ("Cc", "Zl", "Zp") for sign in text)
    assert not set(text) & set("\u202e\u2066\u200b\ufeff")
    constant = parse(f"SELECT {text}").statements[0].stmt.select_stmt.target_list[0].res_target.val.type_cast.arg
    assert constant.a_const.sval.sval == value


def test_rows_that_are_gone_are_inserted_with_the_values_the_database_would_make() -> None:
    text = restoring(capsule(Part('"public"."t"', True, 0, COLUMNS, (("1", "a"), ("2", None)))))
    assert text.startswith('INSERT INTO "public"."t" ("id", "na""me") OVERRIDING SYSTEM VALUE VALUES')
    assert len(parse(text).statements) == 1


def test_rows_that_were_set_are_set_back_in_one_statement_that_looks_first() -> None:
    text = restoring(capsule(Part('"public"."t"', False, 1, COLUMNS, (("1", "a'b"),), ("77",))))
    (statement,) = parse(text).statements
    assert statement.stmt.WhichOneof("node") == "update_stmt"
    assert 'SET "na""me" = k.v1' in text and "FOR UPDATE OF t" in text and "'77'" in text


def test_several_tables_are_one_text_and_nothing_is_nothing() -> None:
    gone = Part('"public"."t"', True, 0, COLUMNS, (("1", "a"),))
    empty = Part('"public"."u"', True, 0, COLUMNS, ())
    assert len(parse(restoring(capsule(gone, empty, gone))).statements) == 2
    assert restoring(capsule(empty)) == ""
