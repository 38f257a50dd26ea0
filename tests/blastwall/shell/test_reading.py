"""Lines, as a shell takes them apart: what joins commands, what stands in what, and where names may be given."""

from __future__ import annotations

import pytest

from blastwall.shell.grammar import Choice, Command, Group, Unreadable, Word, commands, write
from blastwall.shell.reading import DEEPEST, parse


def names(text: str) -> list[str]:
    return [command.name for command in commands(parse(text))]


def test_what_joins_pipelines_stands_in_the_steps() -> None:
    line = parse("a && b || c; d\ne | f")
    assert [step.operator for step in line] == [";", "&&", "||", ";", ";"]
    assert [len(step.pipeline.parts) for step in line] == [1, 1, 1, 1, 2]
    (negated,) = parse("! a | b")
    assert negated.pipeline.negated and len(negated.pipeline.parts) == 2


def test_groups_and_choices_hold_lines_and_redirections() -> None:
    (step,) = parse("{ a; b; } >f 2>&1")
    (group,) = step.pipeline.parts
    assert isinstance(group, Group) and not group.apart and len(group.line) == 2 and len(group.redirections) == 2
    (step,) = parse("( a )")
    (group,) = step.pipeline.parts
    assert isinstance(group, Group) and group.apart
    (step,) = parse("if a; then b; elif c; then d; else e; fi")
    (choice,) = step.pipeline.parts
    assert isinstance(choice, Choice) and len(choice.branches) == 2 and choice.otherwise
    assert names("if a; then b; elif c; then d; else e; fi") == ["a", "b", "c", "d", "e"]


def test_a_loop_is_its_body_for_each_of_its_words() -> None:
    assert write(parse('for f in a "b c"; do x "$f"; done; y')) == "{ x a; x 'b c'; }; y"
    with pytest.raises(Unreadable, match="does not set"):
        parse('for f in a; do x; done; y "$f"')


@pytest.mark.parametrize(
    "text",
    [
        "false && a=/etc; cat $a/x",  # perhaps it is not given
        "( a=/etc ); cat $a/x",
        "if x; then a=/etc; fi; cat $a/x",
        "a=/etc | b; cat $a/x",
        "a=/etc cat $a/x",  # given to the program alone
    ],
)
def test_a_name_is_given_only_where_it_is_in_any_case(text: str) -> None:
    with pytest.raises(Unreadable):
        parse(text)
    assert write(parse("a=/etc; cat $a/x")) == "cat /etc/x"


@pytest.mark.parametrize("name", ["PATH", "IFS", "LD_PRELOAD", "GIT_DIR", "BASH_ENV", "LC_ALL", "path", "NODE_OPTIONS"])
def test_names_that_mean_something_to_programs_are_not_given(name: str) -> None:
    with pytest.raises(Unreadable, match="means something"):
        parse(f"{name}=x; a")


def test_variables_of_one_program_stand_before_it() -> None:
    (command,) = commands(parse("LANG=C TZ=UTC date -u"))
    assert command.environment == (Word("LANG=C"), Word("TZ=UTC")) and command.name == "date"


def test_brackets_are_a_test() -> None:
    (command,) = commands(parse("[ -f x ]"))
    assert isinstance(command, Command) and [word.text for word in command.words] == ["test", "-f", "x"]
    with pytest.raises(Unreadable, match="ends with"):
        parse("[ -f x")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a & b", "behind one's back"),
        ("a ;; b", "ends nothing"),
        ("a |& b", "plain pipe"),
        ("a &&", "nothing follows &&"),
        ("while a; do b; done", "the shell's own"),
        ("((a))", "arithmetic"),
        ("{ a; } b", "follows a group"),
        ("if a; then b", "stands where"),
        ("a <<E", "Here-documents"),
        ("a )", "not part of a line"),
        ("", "empty"),
        ("a\x07", "not printable"),
        ("( " * (DEEPEST + 1) + "a" + " )" * (DEEPEST + 1), "in one another"),
    ],
)
def test_what_is_no_line_says_why(text: str, says: str) -> None:
    with pytest.raises(Unreadable, match=says):
        parse(text)
