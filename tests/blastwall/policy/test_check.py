"""What is wrong with a policy is found when it is loaded, all of it, each at its line."""

from __future__ import annotations

import json

import cedarpy
import pytest

from blastwall.errors import ConfigFault, Problem
from blastwall.policy.check import SCHEMA, Rule, compile_policies, split_policies
from blastwall.policy.vocabulary import EFFECTS, FLAGS

SOUND = '@id("read") permit (principal, action == Action::"read", resource);'


def problems(text: str, **more: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigFault) as caught:
        compile_policies({"a.cedar": text, **more})
    return caught.value.problems


def messages(text: str) -> str:
    return "\n".join(problem.message for problem in problems(text))


def when(condition: str, head: str = '@id("x") forbid', scope: str = 'action in Action::"statement"') -> str:
    return f"{head} (principal, {scope}, resource) when {{ {condition} }};"


def test_a_sound_set_keeps_its_rules_by_id_with_their_places() -> None:
    checked = compile_policies(
        {
            "a.cedar": f"// why\n\n{SOUND}\n",
            "b.cedar": '@id("hold")\n@approvers("owners, dba")\n@quorum("2")\n@hint("ask")\n'
            'permit (principal, action == Action::"write", resource == Target::"shop")\nwhen { context.approved };\n'
            '@id("stop") @code("budget") forbid (principal, action, resource == Target::"bank");',
        }
    )
    assert checked.rules == {
        "read": Rule("read", "a.cedar", 3, False, actions=("read",)),
        "hold": Rule("hold", "b.cedar", 1, False, ("owners", "dba"), 2, "ask", "", ("shop",), ("write",)),
        "stop": Rule("stop", "b.cedar", 7, True, code="budget", targets=("bank",)),
    }
    assert len(checked.policies) == 3


def test_an_unguarded_optional_attribute_is_refused() -> None:
    assert "optional attribute `blast`" in messages(when("context.blast.rows > 1000"))
    compile_policies({"a.cedar": when("context has blast && context.blast.rows > 1000")})


def test_an_unguarded_label_is_refused() -> None:
    condition = 'resource.getTag("team") == "shop"'
    assert 'access to tag `"team"`' in messages(when(condition))
    compile_policies({"a.cedar": when(f'resource.hasTag("team") && {condition}')})


@pytest.mark.parametrize(
    ("condition", "word"),
    [
        ('context.flags.contains("resets")', "resets"),
        ('context.flags.containsAny(["reset", "cartesain"])', "cartesain"),
        ('context.flags.containsAll(["copyin"])', "copyin"),
        ('["reset", "no_such"].containsAll(context.flags)', "no_such"),
        ('!(context.verb == "x") && (context.risk > 3 || context.flags.contains("deep"))', "deep"),
        ('context.flags == ["rest"]', "rest"),
        ('context.exhausted.contains("row")', "row"),
        ('context.effect == "wirte"', "wirte"),
        ('"delete" != context.effect', "delete"),
        ('["read", "see"].contains(context.effect)', "see"),
        ('context.kind == "run"', "run"),
        ('context["kind"] == "run"', "run"),
    ],
)
def test_a_word_outside_its_vocabulary_is_refused(condition: str, word: str) -> None:
    (found,) = problems(when(condition))
    assert f"never holds {word!r}" in found.message
    assert found.line == 1


def test_words_inside_the_vocabularies_and_open_ones_pass() -> None:
    flags = ", ".join(f'"{flag}"' for flag in sorted(FLAGS))
    effects = " || ".join(f'context.effect == "{effect}"' for effect in sorted(EFFECTS))
    conditions = f'context.flags.containsAny([{flags}]) || {effects} || context.verb == "anything at all"'
    compile_policies({"a.cedar": when(conditions)})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("permit (principal, action, resource);", "needs an @id"),
        ('@id("Has Spaces") permit (principal, action, resource);', "needs an @id"),
        ('@id("x") @aprovers("owners") permit (principal, action, resource);', "unknown annotation @aprovers"),
        (when("context.approved", '@id("x") permit'), "routes to nobody"),
        (when("context.approved", '@id("x") @approvers(" , ") permit'), "routes to nobody"),
        ('@id("x") @approvers("owners") permit (principal, action, resource);', "nobody would be asked"),
        (when("context.approved", '@id("x") @approvers("o") @quorum("0") permit'), "@quorum must be a number"),
        (when("context.approved", '@id("x") @approvers("o") @quorum("two") permit'), "@quorum must be a number"),
        ('@id("x") @quorum("2") permit (principal, action, resource);', "@quorum without @approvers"),
        ('@id("x") @code("budget") permit (principal, action, resource);', "@code belongs to a forbid"),
        ('@id("x") @code("oops") forbid (principal, action, resource);', "@code belongs to a forbid"),
        ('@id("x") @code forbid (principal, action, resource);', "@code belongs to a forbid"),
        ('@id("x") permit (principal in ?principal, action, resource);', "templates"),
        (when("context == context", '@id("x") permit', 'action == Action::"read"'), "one by one"),
        (when("context.verb == 3"), "not compatible"),
        (when("context.flagz.contains(1)"), "attribute `flagz` in context not found"),
        (when("true", scope='action == Action::"raed"'), "raed"),
        ('@id("x") permit (principal == Group::"g", action, resource);', "unable to find an applicable action"),
        (SOUND[:-1], "unexpected end of input"),
        ("", "no policy found"),
        (";", "not a Cedar policy"),
        ('@id("x") permit (principal, action, resource) when { "unended };', "not a Cedar policy"),
    ],
)
def test_each_mistake_is_named(text: str, expected: str) -> None:
    assert expected in messages(text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('@id("a")\npermit (principal, action, resource)\nwhen {\n  true &&& false\n};', 4),
        ('@id("a")\n@description("x")\n@id("b")\npermit (principal, action, resource);', 3),
        ('@id("a")\npermit (principal, action, resource)\nwheq {\n  true\n};', 3),
        ('@id("a")\npermit (principal, action, resource)\nwhen {\n  maximum(1)\n};', 4),
        ('@id("a")\npermit (principal, action, resource)\n\n@id("b")\npermit (principal, action, resource);', 4),
        ('@id("a")\npermit (principal, action, resource)\nwhen {\n  true\n', 4),
        (
            '@id("a")\npermit (principal, action == Action::"read", resource)\nwhen {\n  true &&\n  context.boundd\n};',
            5,
        ),
    ],
    ids=["token", "annotation", "condition", "function", "semicolon", "end", "attribute"],
)
def test_a_mistake_inside_a_policy_has_the_line_where_it_stands(text: str, line: int) -> None:
    """The engine says what, and never where: a policy is a dozen lines long."""
    (problem,) = problems(f"// first\n{SOUND}\n{text}")
    assert problem.line == line + 2, problem


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (
            '@id("a") permit (principal, action == Action::"raed", resource) when { context.risk < 3 };',
            "did you mean 'read'?",
        ),
        (
            '@id("a") permit (principal, action == Action::"zzz", resource);',
            "known are statement, session, read, write",
        ),
        ('@id("a") permit (principal in Grup::"x", action == Action::"read", resource);', "did you mean 'Group'?"),
        (when("context.boundd"), "did you mean 'bounded'?"),
        (when("context.blast.rows > 1"), "ask whether it is there first (... has blast && ...)"),
    ],
)
def test_what_cedar_does_not_know_comes_with_what_to_write(text: str, advice: str) -> None:
    (problem,) = problems(text)
    assert advice in problem.message


def test_all_problems_come_at_once_each_with_file_and_line() -> None:
    unknown = when('context.flags.contains("nope")')
    unguarded = when("context.blast.rows > 1", '@id("two") forbid')
    found = problems(
        f'{SOUND}\n\n// a comment; with "semicolons"\n@id("one") permit (principal, action, resource) when {{ 1 + }};'
        f"\n{unknown}\n",
        **{"b.cedar": f"\n{SOUND}\n{unguarded}"},
    )
    places = [(problem.file, problem.line) for problem in found]
    # does not parse; a flag that is none; an id that is taken; an unguarded attribute
    assert places == [("a.cedar", 4), ("a.cedar", 5), ("b.cedar", 2), ("b.cedar", 3)]


def test_an_id_is_used_once_over_all_files() -> None:
    (found,) = problems(SOUND, **{"b.cedar": "\n" + SOUND})
    assert (found.file, found.line) == ("b.cedar", 2)
    assert "already used at a.cedar:1" in found.message


def test_semicolons_in_text_and_comments_do_not_split() -> None:
    text = 'a "x;\\";y" // one; two\n;\n// only; a comment\n  b\n/ c;\n// end;'
    assert list(split_policies(text)) == [(1, 'a "x;\\";y" \n;'), (4, "b\n/ c;")]


def test_what_follows_the_last_semicolon_is_not_lost() -> None:
    assert list(split_policies("a;\nforbid")) == [(1, "a;"), (2, "forbid")]


@pytest.mark.parametrize(
    "condition",
    ["(" * 100_000 + "true" + ")" * 100_000, "[" * 60 + "]" * 60 + " == 1", "if true then " * 20_000 + "true"],
    ids=["parentheses", "sets", "conditionals"],
)
def test_nesting_that_would_overflow_the_parser_never_reaches_it(condition: str) -> None:
    assert "split the policy" in messages(when(condition))


def test_long_but_shallow_conditions_are_fine() -> None:
    any_of = " || ".join(f'context.verb == "v{number}"' for number in range(300))
    brackets = ", ".join(f'"((({number}"' for number in range(300))
    compile_policies(
        {"a.cedar": when(any_of), "b.cedar": when(f"[{brackets}].contains(context.verb)", '@id("y") forbid')}
    )


def test_the_engine_numbers_policies_as_we_do() -> None:
    text = "\n".join(f'@id("rule-{number}") forbid (principal, action, resource);' for number in range(12))
    checked = compile_policies({"a.cedar": text})
    trees = json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"]
    assert {name: tree["annotations"]["id"] for name, tree in trees.items()} == {
        name: rule.id for name, rule in checked.numbered.items()
    }


def test_every_effect_is_an_action_of_the_schema() -> None:
    for effect in EFFECTS:
        compile_policies({"a.cedar": f'@id("x") permit (principal, action == Action::"{effect}", resource);'})
        assert effect in SCHEMA
