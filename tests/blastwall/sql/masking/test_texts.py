"""The text that goes upstream: it says what the tree says, or there is none."""

from __future__ import annotations

from blastwall.sql.masking.texts import masked_text
from blastwall.sql.parser import Tree, parse
from blastwall.sql.tree import MESSAGES
from tests.blastwall.sql.masking.masks import found


def test_a_tree_is_written_and_read_back() -> None:
    tree = parse("SELECT 1 AS a")
    tree.statements[0].stmt.select_stmt.target_list[0].res_target.name = "b"
    assert masked_text(tree) == "SELECT 1 AS b"


def test_a_tree_that_no_text_says_has_none() -> None:
    tree = parse("SELECT 1 FROM t")
    relation = tree.statements[0].stmt.select_stmt.from_clause[0].range_var
    relation.relpersistence = "t"  # no text of FROM says that
    assert masked_text(tree) is None
    assert masked_text(Tree("SELECT 1", MESSAGES["ParseResult"]())) in (None, "")


def test_long_texts_are_written_by_the_worker() -> None:
    text = f"SELECT ssn FROM customers WHERE id IN ({', '.join(map(str, range(5000)))})"
    finding = found(text)
    assert finding.masked is not None and "'***'" in finding.masked and finding.masked.endswith("4999)")


def test_several_statements_stay_one_text() -> None:
    finding = found("BEGIN; SELECT ssn FROM customers; SELECT 1; COMMIT")
    assert finding.masked is not None and finding.masked.count(";") == 3
    assert [each.touches for each in finding.treatments] == [False, True, False, False]
