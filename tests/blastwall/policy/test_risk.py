"""Risk adds up what the table says, shows why, and stays between 0 and 100."""

from __future__ import annotations

import pytest

from blastwall.errors import ConfigFault
from blastwall.model import Effect, Facts, ObjectRef, Risk
from blastwall.policy.risk import Hours, RiskTable
from blastwall.policy.vocabulary import FLAGS

TABLE = """
[effects]
session = 0
read = 5
write = 30
define = 40
destroy = 70
administer = 80
unknown = 60
[verbs]
truncate = 7
[unbounded]
weight = 25
[objects]
"*.customers" = 10
"public.c*" = 12
"*.free" = -50
[environments]
production = 15
unknown = 3
[[hours]]
from = 20
to = 6
weight = 9
[[hours]]
from = 12
to = 13
weight = 1
[flags]
reset = 2
cartesian = 4
"""


def score(facts: Facts, environment: str = "production", hour: int = 10) -> Risk:
    return RiskTable.load(TABLE, "risk.toml").score(facts, environment=environment, hour=hour)


def refs(*names: str) -> tuple[ObjectRef, ...]:
    return tuple(ObjectRef("table", name, "read") for name in names)


def test_the_score_is_the_sum_of_its_reasons() -> None:
    flags = frozenset({"reset", "cartesian"})
    facts = Facts(Effect.WRITE, "truncate", refs("public.customers", "x.customers"), flags, bounded=False)
    assert score(facts, hour=23) == Risk(
        100,
        (
            ("effect write", 30),
            ("verb truncate", 7),
            ("unbounded", 25),
            ("object public.customers", 12),
            ("environment production", 15),
            ("hour 23", 9),
            ("flag cartesian", 4),
            ("flag reset", 2),
        ),
    )


@pytest.mark.parametrize(
    ("facts", "environment", "hour", "expected"),
    [
        (Facts(Effect.SESSION, "begin"), "production", 10, 15),
        (Facts(Effect.READ, "select"), "production", 10, 20),
        (Facts(Effect.READ, "select"), "unknown", 10, 8),
        (Facts(Effect.READ, "select"), "nowhere", 10, 8),  # not listed counts as unknown
        (Facts(Effect.READ, "select", refs("x.CUSTOMERS")), "production", 10, 30),  # globs ignore case
        (Facts(Effect.READ, "select", refs("a", "x.customers", "public.c")), "production", 10, 32),  # the heaviest only
        (Facts(Effect.READ, "select", refs("x.free")), "production", 10, 0),  # never below 0
        (Facts(Effect.READ, "select"), "production", 12, 21),
        (Facts(Effect.READ, "select"), "production", 13, 20),  # a range ends before its last hour
        (Facts(Effect.ADMINISTER, "x", bounded=False), "production", 0, 100),  # never above 100
    ],
)
def test_weights(facts: Facts, environment: str, hour: int, expected: int) -> None:
    assert score(facts, environment, hour).score == expected


@pytest.mark.parametrize("hour", range(24))
def test_a_range_of_hours_may_pass_midnight(hour: int) -> None:
    assert Hours(20, 6, 1).cover(hour) == (hour >= 20 or hour < 6)
    assert Hours(6, 20, 1).cover(hour) == (6 <= hour < 20)
    assert Hours(0, 24, 1).cover(hour)


def test_an_effect_that_the_table_forgot_is_as_risky_as_can_be() -> None:
    table = RiskTable.load("[effects]\nread = 1\n", "risk.toml")
    assert table.score(Facts(Effect.UNKNOWN, "?"), environment="x", hour=0).score == 100


def test_the_shipped_table_orders_effects_by_severity_and_knows_every_one() -> None:
    table = RiskTable.shipped()
    assert set(table.effects) == {effect.value for effect in Effect}
    scores = [
        table.score(Facts(effect, ""), environment="demo", hour=12).score
        for effect in (Effect.SESSION, Effect.READ, Effect.WRITE, Effect.DEFINE, Effect.DESTROY, Effect.ADMINISTER)
    ]
    assert scores == sorted(set(scores))
    assert set(table.flags) <= FLAGS


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("[effects]\nraed = 5", 2, "unknown name 'raed'"),
        ("[flags]\nreset = 1\nresets = 5", 3, "unknown name 'resets'"),
        ("[effects]\nread = 500", 2, "whole number from -100 to 100, not 500"),
        ("[effects]\nread = true", 2, "not True"),
        ("[environments]\nunknown = 1\n[effects]\nunknown = 'x'", 4, "not 'x'"),
        ("[colour]\nred = 1", 1, "unknown section [colour]"),
        ("[unbounded]\nheavy = 1", 2, "unknown name 'heavy'"),
        ("[[hours]]\nfrom = 24\nto = 3\nweight = 1", 2, "'from' in [hours] must be a whole number from 0 to 23"),
        ("[[hours]]\nfrom = 2\nuntil = 3\nweight = 1", 1, "exactly the keys"),
        ("hours = 3", 1, "[[hours]] tables"),
        ("effects = 3", 1, "must be a table"),
        ("a = [", 1, "not valid TOML"),
        ("[verbs]\nx = \ny = 1", 2, "not valid TOML"),
    ],
)
def test_mistakes_have_their_line(text: str, line: int, expected: str) -> None:
    with pytest.raises(ConfigFault) as caught:
        RiskTable.load(text, "risk.toml")
    (problem,) = caught.value.problems
    assert expected in problem.message
    assert (problem.file, problem.line) == ("risk.toml", line)


def test_all_mistakes_come_at_once() -> None:
    with pytest.raises(ConfigFault) as caught:
        RiskTable.load("[effects]\nraed = 5\nread = 1000\n[verbs]\nx = 'y'\n[colour]\n", "risk.toml")
    assert len(caught.value.problems) == 4
