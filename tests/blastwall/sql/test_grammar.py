"""The C library's edge: NUL, positions, oversize trees, numbers of newer servers."""

from __future__ import annotations

import threading

import pytest

from blastwall.sql import grammar
from blastwall.sql.grammar import Unparsed


def test_a_nul_is_refused_and_not_the_end_of_the_text() -> None:
    with pytest.raises(Unparsed) as caught:
        grammar.parse(b"SELECT 1\0; DROP TABLE orders")
    assert caught.value.code == "22021"


def test_a_syntax_error_carries_the_servers_words_and_a_position_in_characters() -> None:
    with pytest.raises(Unparsed) as caught:
        grammar.parse("SELECT 'ü' FORM t x y".encode())
    fault = caught.value
    assert (fault.message, fault.position, fault.code) == ('syntax error at or near "t"', 17, "42601")
    assert "FORM" not in fault.reason and "t x" not in fault.reason


def test_a_long_message_is_cut() -> None:
    with pytest.raises(Unparsed) as caught:
        grammar.parse(b"SELECT 'secret" + b"x" * 5000)
    assert len(caught.value.message) == 200


def test_fingerprints_ignore_literals_and_nothing_near() -> None:
    one, two = grammar.fingerprint(b"SELECT a FROM t WHERE b = 1"), grammar.fingerprint(b"SELECT a FROM t WHERE b = 2")
    assert one == two != grammar.fingerprint(b"SELECT a FROM t WHERE c = 1")
    assert len(one) == 16 and int(one, 16)


@pytest.mark.parametrize("terms", [48, 1000, 9000])
def test_trees_of_any_depth_decode(terms: int) -> None:
    data = grammar.deep(lambda: grammar.parse(b"SELECT " + b"||".join([b"'a'"] * terms)))
    node = grammar.decode(data).stmts[0].stmt.select_stmt.target_list[0].res_target.val
    depth = 0
    while node.WhichOneof("node") == "a_expr":
        node, depth = node.a_expr.lexpr, depth + 1
    assert depth == terms - 1


@pytest.mark.parametrize("text", ["SELECT 0x1F", "SELECT 1_000", "SELECT 0b1", "SELECT 0O17", "SELECT 1_0.5"])
def test_numbers_that_older_servers_read_differently(text: str) -> None:
    assert grammar.modern_numbers(text.encode())


@pytest.mark.parametrize("text", ["SELECT 1.5e-3, 10", "SELECT '0x1F', a1_0", "SELECT 1 -- 0x1F", 'SELECT "0b1"'])
def test_numbers_that_all_servers_read_alike(text: str) -> None:
    assert not grammar.modern_numbers(text.encode())


def test_structure_counts_what_can_add_depth() -> None:
    assert (
        grammar.structure(grammar.scan(b"INSERT INTO t VALUES (1, 'a', NULL, $1), (2, 'b', DEFAULT, $2) /* x */")) == 4
    )
    assert grammar.structure(grammar.scan(b"SELECT 1 ISNULL ISNULL")) == 3


def test_deparse_gives_text_that_parses_to_the_same_statement() -> None:
    data = grammar.parse(b"select  \"A b\" , 'it''s' from t where x=any($1)")
    text = grammar.deparse(data)
    assert text == "SELECT \"A b\", 'it''s' FROM t WHERE x = ANY($1)"


def test_deep_hands_on_results_and_faults_and_leaves_stack_sizes_alone() -> None:
    before = threading.stack_size()
    assert grammar.deep(lambda: threading.current_thread().name) == "deep stack"
    with pytest.raises(KeyError):
        grammar.deep(lambda: {}["x"])
    assert threading.stack_size() == before
