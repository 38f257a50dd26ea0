"""A synthesized deployment, as the tests ask about it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

Resource = dict[str, Any]


@dataclass
class Deployment:
    """One synthesized deployment; stacks by the last part of their names (``Data``)."""

    folder: Path

    @cached_property
    def templates(self) -> Mapping[str, dict[str, Any]]:
        files = sorted(self.folder.glob("*.template.json"))
        return {file.name.removesuffix(".template.json").split("-")[-1]: json.loads(file.read_text()) for file in files}

    def all(self, type_: str, stack: str | None = None) -> dict[str, Resource]:
        """Resources of a type, by their logical ids without the hash: in a stack, or anywhere."""
        return {
            plain(id): resource
            for name, template in self.templates.items()
            if stack in (None, name)
            for id, resource in template.get("Resources", {}).items()
            if resource["Type"] == type_
        }

    def properties(self, type_: str, stack: str | None = None) -> dict[str, dict[str, Any]]:
        return {id: resource.get("Properties", {}) for id, resource in self.all(type_, stack).items()}

    @cached_property
    def roles(self) -> Mapping[str, list[dict[str, Any]]]:
        """Allowed statements by the role that has them (``ApprovalDecideRole``, ``TaskRole``)."""
        found: dict[str, list[dict[str, Any]]] = {id: [] for id in self.all("AWS::IAM::Role")}
        for policy in self.properties("AWS::IAM::Policy").values():
            for role in policy["Roles"]:
                found[plain(role["Ref"])] += policy["PolicyDocument"]["Statement"]
        for id, role in self.properties("AWS::IAM::Role").items():
            for inline in role.get("Policies", []):
                found[id] += inline["PolicyDocument"]["Statement"]
        return found

    def holders(self, prefix: str) -> set[str]:
        """Roles that may do an action that begins so."""
        return {
            role
            for role, statements in self.roles.items()
            for statement in statements
            if any(action.startswith(prefix) for action in listed(statement["Action"]))
        }

    def actions(self, role: str) -> set[str]:
        return {action for statement in self.roles[role] for action in listed(statement["Action"])}


def plain(id: str) -> str:
    """``ApprovalDecideRole8003BD04`` is ApprovalDecideRole."""
    return re.sub(r"[0-9A-F]{8}$", "", id)


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
