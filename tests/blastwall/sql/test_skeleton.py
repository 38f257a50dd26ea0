"""Skeletons: equal only for texts that differ in plain integers, and then with equal facts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blastwall.protocols.postgres.classify import Surroundings, classify
from blastwall.sql.catalogue_file import load
from blastwall.sql.parser import Unparsed, parse
from blastwall.sql.skeleton import LONGEST, fits, pieces, skeleton

ROOT = Path(__file__).parents[2]
CATALOGUE = load(ROOT / "fixtures" / "corpus" / "catalogue.json")
AROUND = Surroundings(catalogue=CATALOGUE, server_version=CATALOGUE.server_version)
ROWS = [json.loads(line) for line in (ROOT / "corpus" / "bypass.jsonl").read_text().split("\n") if line]
TEXTS = [row["payload"] for row in ROWS if row["protocol"] == "postgres" and isinstance(row["payload"], str)]
PLAIN = [
    "SELECT * FROM orders WHERE id = 1",
    "SELECT * FROM orders WHERE id IN (1, 2, 3) ORDER BY 1 LIMIT 5",
    "SELECT total FROM orders ORDER BY 2 OFFSET 3",
    "SELECT * FROM generate_series(1, 10)",
    "SELECT repeat(status, 10) FROM orders",
    "DELETE FROM orders WHERE id = 1",
    "DELETE FROM orders WHERE id > 0",
    "DELETE FROM orders WHERE 1 = 1",
    "UPDATE orders SET total = 5 WHERE id = 7",
    "SELECT 1; SELECT 2",
    "SELECT status FROM orders GROUP BY 1 HAVING count(*) > 3",
    "SELECT * FROM orders LIMIT 1000000",
    "FETCH 5 FROM c",
    "SET statement_timeout = 5",
    "SELECT lpad(status, 5) FROM orders TABLESAMPLE bernoulli(10)",
]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT '1'",
        'SELECT "a1"',
        "SELECT 1 -- 2",
        "SELECT /* 1 */ 2",
        "SELECT $1",
        "SELECT E'\\1'",
        "SELECT \u0661",
        "x" * 3000,
    ],
)
def test_what_is_not_plain_has_no_skeleton(text: str) -> None:
    assert skeleton(text) is None


PLAIN_TEXT = re.compile(r"[A-Za-z0-9_ \t\n,.()=<>*;+]*")
INTEGER = re.compile(r"(?<![A-Za-z0-9_.])[0-9]{1,9}(?![A-Za-z0-9_.])")


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.text(alphabet="a_.1 0,(\t", max_size=30), st.text(max_size=12), st.text(alphabet="19 .", max_size=40))
)
def test_it_is_what_these_two_expressions_say(text: str) -> None:
    assert skeleton(text) == (INTEGER.sub("0", text).encode() if PLAIN_TEXT.fullmatch(text) else None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 12 FROM t1", "SELECT 0 FROM t1"),
        ("SELECT 1.5, 1e5, 0x1F, 1_000", "SELECT 1.5, 1e5, 0x1F, 1_000"),
        ("SELECT 1234567890", "SELECT 1234567890"),
        ("SELECT(7)", "SELECT(0)"),
        ("SELECT a.1", "SELECT a.1"),
    ],
)
def test_only_plain_integers_are_taken_out(text: str, expected: str) -> None:
    assert skeleton(text) == expected.encode()


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(PLAIN + [text for text in TEXTS if skeleton(text) is not None]), st.data())
def test_where_no_literal_counts_other_integers_give_the_same_facts(text: str, data: st.DataObject) -> None:
    """The one promise that the cache rests on."""
    number = st.one_of(st.integers(0, 20), st.integers(0, 999_999_999)).map(str)
    other = re.sub(r"(?<![A-Za-z0-9_.])[0-9]{1,9}(?![A-Za-z0-9_.])", lambda _: data.draw(number), text)
    assert skeleton(other) == skeleton(text)
    one, two = classify(text, AROUND), classify(other, AROUND)
    if one.literal_independent or two.literal_independent:
        assert one.literal_independent == two.literal_independent
        assert [part.facts for part in one.statements] == [part.facts for part in two.statements]


@settings(max_examples=200, deadline=None)
@given(st.text("SELECTFROMWHR abct01239_.,()=<>*;+\n", max_size=60))
def test_texts_of_one_skeleton_are_all_of_one_shape_to_the_parser(text: str) -> None:
    """What parses with one set of integers parses with another, to the same kinds of nodes."""

    def shape(words: str) -> list[str]:
        try:
            return [raw.stmt.WhichOneof("node") for raw in parse(words).statements]
        except Unparsed:
            return ["unparsed"]

    bare = skeleton(text)
    assert bare is not None
    assert shape(text) == shape(bare.decode())


@st.composite
def _pairs(draw: st.DrawFn) -> tuple[str, str]:
    """A text, and one that is like it but for something small: a number, a sign, a letter, what is cut or added."""
    text = draw(
        st.one_of(st.sampled_from(PLAIN), st.text("SELa_.105 ,=(\t", max_size=40), st.text("19 .", max_size=40))
    )
    number = st.one_of(st.integers(0, 20), st.integers(0, 99_999_999_999)).map(str)
    other = re.sub(r"[0-9]+", lambda found: draw(st.one_of(number, st.just(found[0]))), text)
    place = draw(st.integers(0, len(other)))
    change = draw(st.sampled_from(["", "", "", "0", "1", "12345678", " ", "a", ".", "'", "\u0661", "\x00"]))
    return text, other[:place] + change + other[place + draw(st.sampled_from([0, 0, 1, 9])) :]


@settings(max_examples=600, deadline=None)
@given(_pairs())
def test_a_text_fits_exactly_where_its_skeleton_is_the_same(pair: tuple[str, str]) -> None:
    text, other = pair
    parts = pieces(text)
    if parts is not None:
        assert fits(parts, text.encode())
        assert fits(parts, other.encode()) == (skeleton(other) == skeleton(text))


def test_a_text_that_is_too_long_fits_nowhere() -> None:
    text = "SELECT 1" + " " * (LONGEST - 8)
    parts = pieces(text)
    assert parts is not None
    assert fits(parts, text.encode())
    assert not fits(parts, text.replace("1", "11").encode())
    assert skeleton(text.replace("1", "11")) is None
