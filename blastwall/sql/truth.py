"""Answers of a condition on a sample row, and the terms they are computed from.

There are six answers, from the best evidence that a row is spared to none: FALSE, NULL, UNLINKED (false, but
only because no row of another relation matches), ANY (nobody knows: an adversary chooses), LINKED (true because such a
row matches), TRUE.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from zlib import crc32

from blastwall.sql.tree import Message, everything_within
from blastwall.sql.values import ANYTHING, NOW, Free, Pool, Sample, Value, Variable

FALSE, NULL, UNLINKED, ANY, LINKED, TRUE = range(6)
OPPOSITE = {FALSE: TRUE, NULL: NULL, UNLINKED: TRUE, ANY: ANY, LINKED: FALSE, TRUE: FALSE}
AS_VALUE: dict[int, Value] = {
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
    field_operators: frozenset[str]
    matching_everything: frozenset[str]
    key_names: tuple[str, ...]
    past_names: tuple[str, ...]

    def is_key(self, name: str) -> bool:
        """Whether a column of that name holds keys."""
        return any(fnmatchcase(name.lower(), pattern) for pattern in self.key_names)

    def is_past(self, name: str) -> bool:
        """Whether a column of that name holds times that are over."""
        return any(fnmatchcase(name.lower(), pattern) for pattern in self.past_names)


@cache
def words() -> Words:
    """The lists, loaded once."""
    table = tomllib.loads(files("blastwall.sql").joinpath("predicates.toml").read_text("utf-8"))
    keys, past = tuple(table.pop("key_names")), tuple(table.pop("past_names"))
    return Words(**{name: frozenset(names) for name, names in table.items()}, key_names=keys, past_names=past)


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


def spread(key: str, terms: Sequence[Term], link: int) -> Term:
    """A value made up from columns, as varied as they are."""
    variable = Variable(key, past=any(each.variable is not None and each.variable.past for each in terms))
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
            return TRUE if found.strip().lower() in ("t", "true", "y", "yes", "on", "1") else FALSE
        return ANY

    return test


def linked(key: str, strength: int) -> Truth:
    """A row that matches a row of another relation, or not. ``strength`` is Term.link (not 0)."""
    yes, no = (TRUE, FALSE) if strength > 1 else (LINKED, UNLINKED)
    return lambda sample: yes if sample.chance(key) >> 5 & 1 else no


def both(answers: Iterable[int]) -> int:
    """AND. NULL AND ANY may be false, and its opposite then true: nobody knows."""
    found = set(answers)
    for answer in (FALSE, UNLINKED, ANY, NULL, LINKED):
        if answer in found:
            return answer
    return TRUE


def either(answers: Iterable[int]) -> int:
    """OR."""
    found = set(answers)
    for answer in (TRUE, LINKED, ANY):
        if answer in found:
            return answer
    return UNLINKED if UNLINKED in found else NULL if NULL in found else FALSE


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
