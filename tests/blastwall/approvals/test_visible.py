"""What an approver sees is what would run, and nothing in it can hide, rearrange or imitate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.approvals.visible import block, legend, one_line, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("SELECT 'a\\b' -- ~", "SELECT 'a\\b' -- ~"),
        ("Jürgen Ærø", "Jürgen Ærø"),
        ("a\u202eb", "a⟨U+202E⟩b"),  # right-to-left override
        ("a\u2066b\u2069", "a⟨U+2066⟩b⟨U+2069⟩"),  # isolates
        ("a\u200b\u200d\ufeffb", "a⟨U+200B⟩⟨U+200D⟩⟨U+FEFF⟩b"),  # zero-width
        ("\u043erders", "⟨U+043E⟩rders"),  # Cyrillic o
        ("p\u0430ypal", "p⟨U+0430⟩ypal"),
        ("\u212a \u2028 \u00a0", "⟨U+212A⟩ ⟨U+2028⟩ ⟨U+00A0⟩"),
        ("e\u0301", "e⟨U+0301⟩"),
        ("\x1b[2J\x1b]0;t\x07\r\x00\x7f", "⟨U+001B⟩[2J⟨U+001B⟩]0;t⟨U+0007⟩⟨U+000D⟩⟨U+0000⟩⟨U+007F⟩"),
        ("\x9b31m", "⟨U+009B⟩31m"),
        ("two\nlines", "two⟨U+000A⟩lines"),
        ("a\tb", "a⇥b"),
        ("\udcff", "⟨U+DCFF⟩"),
        ("\U000e0041", "⟨U+E0041⟩"),  # a tag character
        ("⟨U+043E⟩ ⇥ …", "⟨U+27E8⟩U+043E⟨U+27E9⟩ ⟨U+21E5⟩ ⟨U+2026⟩"),  # a faked mark
    ],
)
def test_unclear_characters_are_named(text, shown):
    assert visible(text) == shown


@given(st.text())
def test_nothing_but_clear_characters_and_marks_is_shown(text):
    shown = visible(text)
    assert all(0x20 <= ord(one) <= 0x7E or 0xC0 <= ord(one) <= 0xFF or one in "⟨⟩⇥" for one in shown)
    assert shown.encode("utf-8").decode("utf-8") == shown


@given(st.text(), st.text())
def test_two_texts_never_look_the_same(one, other):
    assert (visible(one) == visible(other)) == (one == other)


@given(st.text(alphabet=st.sampled_from("a \n\t\u202e|│")))
def test_every_line_has_its_number_in_the_margin(text):
    lines = block(text)
    numbers = [line.partition(" │ ")[0].strip() for line in lines]
    assert all(" │ " in line for line in lines)
    if not any("empty lines⟩" in line for line in lines):
        assert numbers == [str(n) for n in range(1, text.count("\n") + 2)]


def test_a_line_of_the_agents_cannot_pass_for_one_of_ours():
    shown = block("DELETE FROM orders\n         risk  0 of 100\r         state  approved")
    assert shown == [
        "1 │ DELETE FROM orders",
        "2 │          risk  0 of 100⟨U+000D⟩         state  approved",
    ]


def test_padding_is_counted_not_shown_and_what_follows_it_is():
    shown = block("SELECT 1" + " " * 10_000 + "; DROP TABLE t" + "\n" * 5_000 + "DROP DATABASE d")
    assert shown == [
        "   1 │ SELECT 1⟨10000 spaces⟩; DROP TABLE t",
        "     │ ⟨4999 empty lines⟩",
        "5001 │ DROP DATABASE d",
    ]


def test_short_gaps_and_indents_stay():
    assert block("a\n\n\n    b") == ["1 │ a", "2 │ ", "3 │ ", "4 │     b"]
    assert block("") == ["1 │ "]


def test_a_list_says_how_much_it_leaves_out():
    assert one_line("SELECT\n\t 1", 60) == "SELECT 1"
    assert one_line("x" * 70, 60) == "x" * 60 + "… (+10 characters)"
    assert one_line("SELECT 1 -- " + "x" * 60 + "\nDROP TABLE t", 60).endswith("… (+25 characters)")


def test_the_legend_names_and_counts_what_was_marked():
    assert legend("\u043e\u202e\u043e\t\nü\x1b\udcff") == [
        "⟨U+001B⟩ ESCAPE, 1 times",
        "⟨U+043E⟩ CYRILLIC SMALL LETTER O, 2 times",
        "⟨U+202E⟩ RIGHT-TO-LEFT OVERRIDE, 1 times",
        "⟨U+DCFF⟩ byte FF, not UTF-8, 1 times",
    ]
    assert legend("SELECT\t'ü'\n") == []
