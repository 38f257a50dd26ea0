"""Answers of a condition on a sample row, and the terms they are computed from.

There are eight answers, from the best evidence that a row is spared to none: MATCHED (false, because a row of another
relation matches), FALSE, NULL, UNLINKED (false, but only because no such row matches), ANY (nobody knows: an adversary
chooses), LINKED (true because such a row matches), TRUE, UNMATCHED (true because none does). MATCHED and UNMATCHED are
what NOT makes of LINKED and UNLINKED, and it makes those of them again.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from zlib import crc32

from blastwall.sql.tree import Message, everything_within
from blastwall.sql.values import ANYTHING, FUTURE, NOW, OLDEST, Free, Pool, Sample, Value, Variable, flag_in

MATCHED, FALSE, NULL, UNLINKED, ANY, LINKED, TRUE, UNMATCHED = range(-1, 7)
OPPOSITE = {
    MATCHED: LINKED,
    FALSE: TRUE,
    NULL: NULL,
    UNLINKED: UNMATCHED,
    ANY: ANY,
    LINKED: MATCHED,
    TRUE: FALSE,
    UNMATCHED: UNLINKED,
}
BY_A_MATCH = frozenset({MATCHED, UNLINKED, LINKED, UNMATCHED})
AS_VALUE: dict[int, Value] = {
    MATCHED: ANYTHING,
    UNMATCHED: ANYTHING,
    FALSE: False,
    NULL: None,
    UNLINKED: ANYTHING,
    ANY: ANYTHING,
    LINKED: ANYTHING,
    TRUE: True,
}
SAMPLES = 160
TARGET, OTHER = "target", "other"

Truth = Callable[[Sample], int]


@dataclass(frozen=True, slots=True)
class Term:
    """A compiled scalar. ``of`` tells whose columns it holds; ``plain`` that it varies as a column does; ``link`` is
    what an equality with another relation's column means: 0 nothing, 1 a link, 2 a link to rows that are limited
    themselves. ``wild`` tells that an adversary may choose the value.
    """

    key: str
    value: Callable[[Sample], Value]
    of: frozenset[str] = frozenset()
    plain: bool = False
    link: int = 0
    variable: Variable | None = None
    truth: Truth | None = None
    wild: bool = False
    columns: frozenset[str] = frozenset()
    guessed: bool = False
    single: bool = False  # wild, but the same in every row


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose column a name is, and the variable that stands for it. ``nullable`` is True only where the catalogue says
    so.
    """

    of: str  # target, other
    variable: Variable
    nullable: bool = False
    link: int = 0


@dataclass(slots=True)
class Words:
    """The lists of predicates.toml."""

    spreading: frozenset[str]
    unfolding: frozenset[str]
    multiplying: frozenset[str]
    tests: frozenset[str]
    test_operators: frozenset[str]
    never_empty: frozenset[str]
    field_operators: frozenset[str]
    whole_types: frozenset[str]
    telling: frozenset[str]
    telling_parts: frozenset[str]
    matching_everything: frozenset[str]
    key_names: tuple[str, ...]
    past_names: tuple[str, ...]
    parts: Mapping[str, tuple[int, int]]
    results: Mapping[str, tuple[int, int]]

    def is_key(self, name: str) -> bool:
        """Whether a column of that name holds keys."""
        return any(fnmatchcase(name.lower(), pattern) for pattern in self.key_names)

    def is_past(self, name: str) -> bool:
        """Whether a column of that name holds times that are over."""
        return any(fnmatchcase(name.lower(), pattern) for pattern in self.past_names)


def result_of(name: str, key: str, terms: Sequence[Term], first: Value, literals: Sequence[Value]) -> Variable:
    """The variable for what a function of that name gives: within its bounds, and not empty where it never is.

    ``first`` is its first argument and ``literals`` are all of them, where they are literals.
    """
    if name in ("date_part", "extract"):
        moment = next((each.variable for each in terms if each.variable is not None), None)
        part = first.lower() if isinstance(first, str) else ""
        if moment is not None and part in ("epoch", "year", "isoyear"):
            ends = [OLDEST, NOW if moment.past else FUTURE]
            seconds, years = [int(each * 86400) for each in ends], [int(1970 + each / 365.2425) for each in ends]
            least, most = seconds if part == "epoch" else years
            return Variable(key, "number", least, most)
        least, most = words().parts.get(part, (-(2**63), 2**63 - 1))
        if moment is not None and moment.kind == "time" and part in ("century", "day", "month"):
            least = 1  # an interval may have none
        return Variable(key, "number", least, most)
    if name in words().results:
        least, most = words().results[name]
        return Variable(key, "number", least, most)
    texts = [each for each in literals if isinstance(each, str)]
    filled = name in words().never_empty or (
        name == "format" and bool(texts) and re.sub(r"%[-0-9$*]*[sIL]", "", texts[0]) != ""
    )
    return Variable(key, positive=filled)


@cache
def words() -> Words:
    """The lists, loaded once."""
    table = tomllib.loads(files("blastwall.sql").joinpath("predicates.toml").read_text("utf-8"))
    keys, past = tuple(table.pop("key_names")), tuple(table.pop("past_names"))
    parts, results = (
        {name: (int(least), int(most)) for name, (least, most) in table.pop(which).items()}
        for which in ("parts", "results")
    )
    lists = {name: frozenset(names) for name, names in table.items()}
    return Words(**lists, key_names=keys, past_names=past, parts=parts, results=results)


def shape(node: Message) -> str:
    """A text equal for equal expressions, wherever they stand in the statement."""
    parts = []
    for message in everything_within(node):
        scalars = [
            f"{spec.name}={value!r}"
            for spec, value in message.ListFields()
            if spec.message_type is None and spec.name not in ("location", "list_start", "list_end")
        ]
        parts.append(f"{type(message).__name__}({','.join(scalars)})")
    return "".join(parts)


def anybody(sample: Sample) -> int:
    """The answer of what is not understood: it never counts as a limit."""
    return ANY


def always(truth: int) -> Truth:
    """The same answer for every row."""
    return lambda sample: truth


def bit(key: str, wanted: bool = True) -> Truth:
    """True in about half of the rows, and the same for the same key."""
    return lambda sample: TRUE if bool(sample.chance(key) >> 3 & 1) == wanted else FALSE


def wild(key: str, of: frozenset[str] = frozenset()) -> Term:
    """A value an adversary may choose."""
    return Term(key, lambda sample: ANYTHING, of, wild=True)


def token(key: str) -> Term:
    """A value nobody computes, but the same for every row, and none that a row was made to match."""
    chance = crc32(key.encode())
    value = Free(key, 500_009 + chance % 1000, f"v{chance}", NOW - 1000.5 - chance % 100, bool(chance & 1))
    return Term(key, lambda sample: value)


def spread(key: str, terms: Sequence[Term], link: int, within: Variable | None = None) -> Term:
    """A value made up from columns, as varied as they are, ``within`` the bounds of a variable called ``key``."""
    past = any(each.variable is not None and each.variable.past for each in terms)
    variable = Variable(key, past=past) if within is None else replace(within, past=past)
    made = derived(key, terms, lambda sample: sample.value(variable), plain=True, link=link)
    return replace(made, variable=variable, wild=False, guessed=True)


def derived(
    key: str, terms: Sequence[Term], value: Callable[[Sample], Value], *, plain: bool = False, link: int = 0
) -> Term:
    """A value computed from those of ``terms``."""
    return Term(
        key,
        value,
        frozenset().union(*(each.of for each in terms)),
        plain=plain,
        link=link,
        wild=any(each.wild for each in terms),
        columns=frozenset().union(*(each.columns for each in terms)),
        guessed=any(each.guessed for each in terms),
    )


def truth_of(term: Term) -> Truth:
    """A scalar as a condition."""
    if term.truth is not None:
        return term.truth
    if OTHER in term.of and TARGET not in term.of:
        return anybody
    value = term.value
    of_target = TARGET in term.of

    def test(sample: Sample) -> int:
        found = value(sample)
        if isinstance(found, bool):
            return TRUE if found else FALSE
        if found is None:
            return NULL
        if isinstance(found, Free) and of_target:
            return TRUE if found.flag else FALSE
        if isinstance(found, str):
            return TRUE if flag_in(found) else FALSE
        return ANY

    return test


def linked(key: str, strength: int) -> Truth:
    """A row that matches a row of another relation, or not. ``strength`` is Term.link (not 0)."""
    yes, no = (TRUE, FALSE) if strength > 1 else (LINKED, UNLINKED)
    return lambda sample: yes if sample.chance(key) >> 5 & 1 else no


def both(answers: Iterable[int]) -> int:
    """AND. NULL AND ANY may be false, and its opposite then true: nobody knows."""
    found = set(answers)
    for answer in (FALSE, MATCHED, UNLINKED, ANY, NULL, LINKED, UNMATCHED):
        if answer in found:
            return answer
    return TRUE


def either(answers: Iterable[int]) -> int:
    """OR."""
    found = set(answers)
    for answer in (TRUE, UNMATCHED, LINKED, ANY, UNLINKED, NULL, MATCHED):
        if answer in found:
            return answer
    return FALSE


def all_of(truths: Sequence[Truth]) -> Truth:
    """AND of conditions."""
    return lambda sample: both(truth(sample) for truth in truths)


def any_of(truths: Sequence[Truth]) -> Truth:
    """OR of conditions."""
    return lambda sample: either(truth(sample) for truth in truths)


def negated(truth: Truth) -> Truth:
    """NOT."""
    return lambda sample: OPPOSITE[truth(sample)]


def least(truths: Sequence[Truth], pool: Pool) -> int:
    """The least answer over all samples to conditions that must all hold: the best evidence that not every row is
    meant.
    """
    found = TRUE
    for index in range(SAMPLES):
        sample = Sample(index, pool)
        found = min(found, both(truth(sample) for truth in truths))
        if found <= NULL:
            break
    return found


def possible(truth: Truth, pool: Pool) -> bool:
    """Whether a condition can be true for some row."""
    return any(truth(Sample(index, pool)) >= ANY for index in range(SAMPLES))
