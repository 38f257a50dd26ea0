"""Recorded text cannot steer a terminal or an eye."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.recording.terminal import MAX_MARKS, neutral, neutral_lines


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J\x1b[H", "\\x1b[2J\\x1b[H"),
        ("\x1b]52;c;ZXZpbA==\x07", "\\x1b]52;c;ZXZpbA==\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("safe\rOVERWRITTEN", "safe\\x0dOVERWRITTEN"),
        ("a\x08b", "a\\x08b"),
        ("\u202eexe.txt", "\\u202eexe.txt"),
        ("\u2066hidden\u2069", "\\u2066hidden\\u2069"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("line\u2028separator", "line\\u2028separator"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("private\ue000", "private\\ue000"),
        ("lone\udcff", "lone\\udcff"),
        ("filler\u3164", "filler\\u3164"),
        ("one\ntwo", "one\\x0atwo"),
    ],
)
def test_what_steers_becomes_visible(hostile, shown):
    assert neutral(hostile) == shown


@pytest.mark.parametrize(
    "text", ["", "plain", "Grüße, 漢字, 🦊", "e\u0301 accented", "नमस्ते", "tab-free [red]not markup[/red]"]
)
def test_harmless_text_is_left_alone(text):
    assert neutral(text) == text


def test_towers_of_combining_marks_are_cut():
    shown = neutral("Z" + "\u0300" * 40)
    assert sum(unicodedata.category(character) == "Mn" for character in shown) == MAX_MARKS


@given(st.text(alphabet=st.characters()))
def test_nothing_unprintable_ever_gets_through(text):
    shown = neutral(text)
    assert all(character.isprintable() for character in shown)
    shown.encode()  # no lone surrogate is left
    assert all(character.isprintable() for line in neutral_lines(text) for character in line)


def test_limits_cut_with_an_ellipsis():
    assert neutral("x" * 50, 10) == "x" * 10 + "…"
    assert neutral("x" * 10, 10) == "x" * 10
    assert neutral_lines("a\nb\tc\rd", 100) == ["a", "b    c\\x0dd"]
    assert neutral_lines("abc\ndef", 5) == ["abc", "d…"]
