"""A small IAM: what a request may do under policies (IAM User Guide, "Policy evaluation logic"; condition operators as
documented, those that are used here and no others)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

Context = Mapping[str, str]


def allowed(policies: Sequence[Mapping[str, Any]], action: str, resource: str, context: Context) -> bool:
    """Role policy and session policy: every one must allow, none may deny."""
    return all(_allows(policy, action, resource, context) for policy in policies) and not any(
        _matches(statement, action, resource, context)
        for policy in policies
        for statement in policy["Statement"]
        if statement["Effect"] == "Deny"
    )


def _allows(policy: Mapping[str, Any], action: str, resource: str, context: Context) -> bool:
    return any(
        statement["Effect"] == "Allow" and _matches(statement, action, resource, context)
        for statement in policy["Statement"]
    )


def _matches(statement: Mapping[str, Any], action: str, resource: str, context: Context) -> bool:
    return (
        any(_like(pattern.lower(), action.lower()) for pattern in _listed(statement["Action"]))
        and any(_like(pattern, resource) for pattern in _listed(statement["Resource"]))
        and all(
            _holds(operator, key, _listed(values), context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )


def _holds(operator: str, key: str, values: Sequence[str], context: Context) -> bool:
    name, if_exists = operator.removesuffix("IfExists"), operator.endswith("IfExists")
    given = context.get(key)
    if given is None:  # negated operators are true for a missing key, others false, and ...IfExists always true
        return if_exists or name in ("StringNotEquals", "NotIpAddress")
    return _OPERATORS[name](given, values)


_OPERATORS: Mapping[str, Callable[[str, Sequence[str]], bool]] = {
    "StringEquals": lambda given, values: given in values,
    "StringNotEquals": lambda given, values: given not in values,
    "Bool": lambda given, values: given.lower() in [value.lower() for value in values],
    "DateGreaterThan": lambda given, values: any(_moment(given) > _moment(value) for value in values),
    "IpAddress": lambda given, values: _inside(given, values),
    "NotIpAddress": lambda given, values: not _inside(given, values),
}


def _inside(given: str, values: Sequence[str]) -> bool:
    return any(ipaddress.ip_address(given) in ipaddress.ip_network(value) for value in values)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _like(pattern: str, text: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), text, re.DOTALL) is not None


def _listed(value: Any) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
