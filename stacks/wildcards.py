"""Wildcards in policies: each stands in ``wildcards.toml`` with its reason, or nothing is synthesized.

A validation plugin, run before cdk-nag's: only then are references between stacks what they will be in the templates.
What the table knows is acknowledged for cdk-nag, with the table's reason, on the very policy.
"""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsii
from aws_cdk import (
    Acknowledgment,
    CfnResource,
    IPolicyValidationContext,
    IPolicyValidationPlugin,
    PolicyValidationPluginReport,
    PolicyViolatingResource,
    PolicyViolation,
    Stack,
    Validations,
)
from aws_cdk import aws_iam as iam

TABLE: Mapping[str, Mapping[str, Any]] = tomllib.loads(Path(__file__).with_name("wildcards.toml").read_text("utf-8"))
NAG = "AwsSolutions::AwsSolutions-IAM5"


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A wildcard in a statement. ``kind`` is Action or Resource; ``text`` has references as ``<Id.Attribute>``."""

    statement: str
    kind: str
    text: str

    @property
    def reason(self) -> str | None:
        """Why it is there, or None: nobody said."""
        row = TABLE.get(self.statement.rstrip("0123456789"), {})
        globs = row.get("resources" if self.kind == "Resource" else "actions", ())
        return str(row["reason"]) if any(fnmatch.fnmatchcase(self.text, glob) for glob in globs) else None


def wildcards(document: Mapping[str, Any]) -> Iterator[Wildcard]:
    """Those of the allowed actions and their resources in a resolved policy document."""
    for statement in document["Statement"]:
        if statement["Effect"] != "Allow":
            continue
        actions = _listed(statement["Action"])
        name = statement.get("Sid") or actions[0]
        for kind, texts in (("Action", actions), ("Resource", map(flattened, _listed(statement.get("Resource", []))))):
            yield from (Wildcard(name, kind, text) for text in texts if "*" in text)


def flattened(value: Any) -> str:  # noqa: ANN401  whatever stands for a string in a template
    """A template's string, intrinsics and all, as cdk-nag writes it."""
    if isinstance(value, str):
        return value
    ((function, argument),) = value.items()
    match function:
        case "Ref":
            return f"<{argument}>"
        case "Fn::GetAtt":
            return f"<{argument if isinstance(argument, str) else '.'.join(argument)}>"
        case "Fn::Join":
            return str(argument[0]).join(flattened(part) for part in argument[1])
        case "Fn::Sub":
            return str(argument if isinstance(argument, str) else argument[0]).replace("${", "<").replace("}", ">")
        case "Fn::ImportValue":
            return flattened(argument)
    return f"<{function}>"


def _listed(value: Any) -> list[Any]:  # noqa: ANN401  IAM lets one stand for a list of one
    return value if isinstance(value, list) else [value]


@jsii.implements(IPolicyValidationPlugin)
class Wildcards:
    """Acknowledges what the table knows, and reports the rest as findings of its own."""

    @property
    def name(self) -> str:
        return "Blastwall"

    @property
    def version(self) -> str:
        return "1"

    @property
    def rule_ids(self) -> list[str]:
        return ["wildcards"]

    def validate(self, context: IPolicyValidationContext) -> PolicyValidationPluginReport:
        unknown: list[PolicyViolation] = []
        for node in context.app_construct.node.find_all():
            if not isinstance(node, iam.CfnPolicy | iam.CfnManagedPolicy):
                continue
            document = Stack.of(node).resolve(node.policy_document)
            for wildcard in wildcards(document):
                unknown += self._judge(node, wildcard)
        return PolicyValidationPluginReport(success=not unknown, violations=unknown)

    def _judge(self, node: CfnResource, wildcard: Wildcard) -> Iterator[PolicyViolation]:
        if wildcard.reason is not None:
            id = f"{NAG}[{wildcard.kind}::{wildcard.text}]"
            Validations.of(node).acknowledge(Acknowledgment(id=id, reason=wildcard.reason))
            return
        place = PolicyViolatingResource(locations=["Properties"], construct_path=node.node.path)
        yield PolicyViolation(
            rule_name="wildcards",
            description=f"{wildcard.statement} allows {wildcard.text}: name it, or say why not in wildcards.toml",
            violating_resources=[place],
            severity="error",
        )
