"""Who may do what: words of ``grants.toml`` to policy statements. Only stacks call this; constructs never grant."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aws_cdk import aws_iam as iam

from stacks.values import Values

VOCABULARY: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_name("grants.toml").read_text("utf-8"))


def statements(words: Iterable[str], values: Values) -> list[iam.PolicyStatement]:
    """One statement for each word, its Sid made of the word; none for a word whose resources this deployment lacks.

    A word that says ``by`` gives a statement for each value of that condition key, for the resources that go with it.
    Raises LookupError for an unknown word or resource.
    """
    found = []
    for word in words:
        if word not in VOCABULARY:
            raise LookupError(f"grants.toml has no {word!r}; known are {', '.join(sorted(VOCABULARY))}")
        row = VOCABULARY[word]
        sid = "".join(part.capitalize() for part in word.split("-"))
        if "by" in row:
            (name,) = row["resources"]
            for number, (value, arns) in enumerate(sorted(values.shared(name).items())):
                only = {"StringEquals": {row["by"]: value}}
                found.append(_statement(f"{sid}{number}", row["actions"], list(arns), only))
        elif resources := values.resolve(row["resources"]):
            found.append(_statement(sid, row["actions"], resources, row.get("conditions")))
    return found


def grant(role: iam.Role, words: Iterable[str], values: Values) -> None:
    """Add the words' statements to the role's own policy. Raises LookupError as :func:`statements`."""
    for statement in statements(words, values):
        role.add_to_policy(statement)


def _statement(
    sid: str, actions: list[str], resources: list[str], conditions: dict[str, Any] | None
) -> iam.PolicyStatement:
    return iam.PolicyStatement(sid=sid, actions=actions, resources=resources, conditions=conditions)
