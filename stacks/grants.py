"""Who may do what: words of ``grants.toml`` to policy statements. Only stacks call this; constructs never grant."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from aws_cdk import aws_iam as iam

from stacks.values import Values

VOCABULARY: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_name("grants.toml").read_text("utf-8"))


def statements(words: Iterable[str], values: Values) -> list[iam.PolicyStatement]:
    """One statement for each word, its Sid made of the word; none for a word whose resources this deployment lacks.

    Raises LookupError for an unknown word or resource.
    """
    return [_statement(row, word, resources) for word, row, resources in _resolved(words, values) if resources]


def grant(role: iam.Role, words: Iterable[str], values: Values) -> None:
    """Add the words' statements to the role's own policy. Raises LookupError as :func:`statements`."""
    for statement in statements(words, values):
        role.add_to_policy(statement)


def _resolved(words: Iterable[str], values: Values) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
    for word in words:
        if word not in VOCABULARY:
            raise LookupError(f"grants.toml has no {word!r}; known are {', '.join(sorted(VOCABULARY))}")
        row = VOCABULARY[word]
        yield word, row, values.resolve(row["resources"])


def _statement(row: dict[str, Any], word: str, resources: list[str]) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid="".join(part.capitalize() for part in word.split("-")),
        actions=row["actions"],
        resources=resources,
        conditions=row.get("conditions"),
    )
