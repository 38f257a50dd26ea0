"""Words, as a shell reads them: quotes, escapes, what dollar signs stand for, patterns, the home directory."""

from __future__ import annotations

import pytest

from blastwall.shell.grammar import PRINTED, STATUS, Command, Unreadable, Word, commands, write
from blastwall.shell.reading import parse


def only(line: str) -> Word:
    """The word that ``line`` hands to echo at the end."""
    *_, last = commands(parse(line))
    assert isinstance(last, Command)
    (word,) = last.words[1:]
    return word


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("ab", "ab"),
        ("a'b c'd", "ab cd"),
        ('"a\\"b\\$c\\d"', 'a"b$c\\d'),
        ("a\\ b", "a b"),
        ("a\\\nb", "ab"),
        ('""', ""),
        ("{}", "{}"),
        ("a#b", "a#b"),
        ('"$"', "$"),
        ("a~b", "a~b"),
        ("']'", "]"),
    ],
)
def test_what_a_word_says(written: str, text: str) -> None:
    word = only(f"echo {written}")
    assert (word.text, word.home, word.pattern, word.live) == (text, False, "", False)


@pytest.mark.parametrize(("written", "text"), [("~", "."), ("~/a", "./a"), ("$HOME/a", "./a"), ('"${HOME}"', ".")])
def test_the_home_directory_begins_a_word(written: str, text: str) -> None:
    word = only(f"echo {written}")
    assert (word.text, word.home) == (text, True)


@pytest.mark.parametrize(("written", "says"), [("x$HOME", "inside a word"), ('"${HOME}"x', "without a slash")])
def test_and_stands_nowhere_else(written: str, says: str) -> None:
    with pytest.raises(Unreadable, match=says):
        only(f"echo {written}")


@pytest.mark.parametrize(
    ("written", "pattern"),
    [
        ("*.log", "*.log"),
        ("'*'.log", ""),
        ("'*'?", "\\*?"),
        ("[a-c]\\*", "[a-c]\\*"),
        ("a]*", "a\\]*"),
        ('"["*', "\\[*"),
    ],
)
def test_only_what_is_not_quoted_is_a_pattern(written: str, pattern: str) -> None:
    assert only(f"echo {written}").pattern == pattern


def test_a_name_stands_for_what_the_line_gave_it_and_for_nothing_else() -> None:
    assert only('a="x y"; echo "-$a-"').text == "-x y-"
    assert only("a=x; echo ${a}b").text == "xb"
    assert only("a=x; echo '$a'").text == "$a"
    for text, says in (
        ("echo $a", "does not set"),
        ("a='x y'; echo $a", "take apart"),
        ("a='*'; echo $a", "take apart"),
    ):
        with pytest.raises(Unreadable, match=says):
            parse(text)


def test_what_only_the_host_knows_is_marked() -> None:
    printed = only('echo "a$(cat b)$?"')
    assert printed.text == f"a{PRINTED}{STATUS}" and printed.live
    assert [write(line) for line in printed.printed] == ["cat b"]
    for text in ('echo "$(cat b)"*', 'echo ~/"$?"'):
        with pytest.raises(Unreadable, match="only the host knows"):
            parse(text)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("$(cat b)", "split into words"),
        ('"`cat b`"', "inside double quotes"),
        ("'a", "not closed"),
        ('"a\\', "not closed"),
        ("a\\", "escapes nothing"),
        ("~b", "follows a tilde"),
        ("a=~", "some shells"),
        ("$((1))", "meaning to the shell"),
        ("$1", "meaning to the shell"),
        ("'a\nb'", "line break"),
        ("3>a", "not 0, 1 or 2"),
    ],
)
def test_what_is_no_word_says_why(written: str, says: str) -> None:
    with pytest.raises(Unreadable, match=says):
        parse(f"echo {written}")
