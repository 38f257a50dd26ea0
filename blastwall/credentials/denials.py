"""The managed policy of one role that denies ended sessions everything, by their SourceIdentity.

IAM cannot say who may write which inline policy, so per-session denials stand in one managed policy for each role; one
revoker at a time rewrites it. A session's entry is needed until its last credentials have expired, then it is dropped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

LARGEST: Final = 6144  # characters of a managed policy, white space not counted
STEP: Final = 900  # entries are kept in groups that expire together (seconds), to spare characters
_SID: Final = "Until"


class Full(ValueError):
    """No more sessions fit: they end by the time in their own policies only."""


def read_denials(document: Mapping[str, Any]) -> dict[int, tuple[str, ...]]:
    """SourceIdentities by when they may be forgotten. Raises ValueError for a policy that is not of this make."""
    found: dict[int, tuple[str, ...]] = {}
    for statement in document.get("Statement", ()):
        sid = str(statement.get("Sid", ""))
        if sid == "Nobody":
            continue
        if not sid.startswith(_SID) or statement.get("Effect") != "Deny":
            raise ValueError("the policy holds statements that are not the revoker's: give it one of its own")
        found[int(sid.removeprefix(_SID))] = tuple(statement["Condition"]["StringEquals"]["aws:SourceIdentity"])
    return found


def add_denial(
    denied: Mapping[int, tuple[str, ...]], identity: str, until: float, now: float
) -> dict[int, tuple[str, ...]]:
    """With one more, and without those whose credentials have expired."""
    kept = {when: who for when, who in denied.items() if when > now}
    if any(identity in who for when, who in kept.items() if when >= until):
        return kept
    when = int(-(-until // STEP) * STEP)
    kept[when] = tuple(sorted({*kept.get(when, ()), identity}))
    return kept


def write_denials(denied: Mapping[int, tuple[str, ...]]) -> str:
    """The policy's text; never empty, because IAM wants a statement. Raises Full."""
    statements = [_statement(f"{_SID}{when}", denied[when]) for when in sorted(denied)] or [
        _statement("Nobody", ("-",))
    ]
    text = json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
    if len(text) > LARGEST:
        raise Full(
            f"{sum(map(len, denied.values()))} ended sessions do not fit into one policy of {LARGEST} characters"
        )
    return text


def _statement(sid: str, identities: tuple[str, ...]) -> dict[str, Any]:
    condition = {"StringEquals": {"aws:SourceIdentity": list(identities)}}
    return {"Sid": sid, "Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition}
