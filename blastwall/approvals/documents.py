"""Approval requests as plain JSON values, and back."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar, cast

from blastwall.approvals.rules import Vote
from blastwall.model import (
    ApprovalRequest,
    ApprovalState,
    ApprovalStatus,
    Demand,
    Effect,
    Facts,
    ObjectRef,
    Parameter,
    Principal,
    Risk,
    Statement,
    StatementKind,
)

T = TypeVar("T", Demand, Parameter, ObjectRef, Principal, Statement, Facts, Risk, ApprovalRequest, ApprovalStatus, Vote)


def to_document(request: ApprovalRequest) -> dict[str, Any]:
    """The request as plain JSON values, complete: text, parameters (base64) and facts."""
    document = asdict(request)
    document["statement"] = request.statement._asdict()
    document["statement"]["parameters"] = [parameter._asdict() for parameter in request.statement.parameters]
    document["statement"]["results"] = base64.b64encode(request.statement.results).decode("ascii")
    document["principal"]["groups"] = sorted(request.principal.groups)
    document["facts"]["flags"] = sorted(request.facts.flags)
    document["facts"]["masked_columns"] = sorted(request.facts.masked_columns)
    for parameter in document["statement"]["parameters"]:
        value = parameter["value"]
        parameter["value"] = None if value is None else base64.b64encode(value).decode("ascii")
    return document


def from_document(document: Mapping[str, Any]) -> ApprovalRequest:
    """The inverse of :func:`to_document`. Raises ValueError, KeyError or TypeError for anything else."""
    statement, facts = document["statement"], document["facts"]
    parameters = tuple(
        _exact(Parameter, one, value=None if one["value"] is None else base64.b64decode(one["value"], validate=True))
        for one in statement["parameters"]
    )
    objects = tuple(_exact(ObjectRef, one) for one in facts["objects"])
    reasons = tuple((why, weight) for why, weight in document["risk"]["reasons"])
    return _exact(
        ApprovalRequest,
        document,
        principal=_exact(Principal, document["principal"], groups=frozenset(document["principal"]["groups"])),
        statement=_exact(
            Statement,
            statement,
            kind=StatementKind(statement["kind"]),
            parameters=parameters,
            results=base64.b64decode(statement["results"], validate=True),
        ),
        facts=_exact(
            Facts,
            facts,
            effect=Effect(facts["effect"]),
            objects=objects,
            flags=frozenset(facts["flags"]),
            masked_columns=frozenset(facts["masked_columns"]),
        ),
        risk=_exact(Risk, document["risk"], reasons=reasons),
        approvers=tuple(document["approvers"]),
        escalation=tuple(document["escalation"]),
        demands=_demands(document["demands"]),
    )


def _demands(documents: Iterable[Mapping[str, Any]]) -> tuple[Demand, ...]:
    return tuple(_exact(Demand, one, groups=tuple(one["groups"])) for one in documents)


def _exact(shape: type[T], members: Mapping[str, Any], /, **converted: object) -> T:
    """``shape`` from exactly its own fields: one left out would take its default, and defaults are for new values."""
    expected = set(cast(Any, shape).__match_args__)
    if set(members) != expected:
        raise ValueError(
            f"not the document of an approval request: {shape.__name__} wants {', '.join(sorted(expected))}"
        )
    return shape(**{**members, **converted})


def principal_document(principal: Principal) -> dict[str, Any]:
    """A principal as plain JSON values."""
    return asdict(principal) | {"groups": sorted(principal.groups)}


def principal_of(document: Mapping[str, Any]) -> Principal:
    """The inverse of :func:`principal_document`. Raises ValueError, KeyError or TypeError for anything else."""
    return _exact(Principal, document, groups=frozenset(document["groups"]))


def status_document(status: ApprovalStatus) -> dict[str, Any]:
    """A status as plain JSON values."""
    return asdict(status) | {"state": str(status.state), "by": list(status.by)}


def status_of(document: Mapping[str, Any]) -> ApprovalStatus:
    """The inverse of :func:`status_document`. Raises ValueError, KeyError or TypeError for anything else."""
    state, by, met = ApprovalState(document["state"]), tuple(document["by"]), _demands(document["met"])
    return _exact(ApprovalStatus, document, state=state, by=by, met=met)


def vote_document(vote: Vote) -> dict[str, Any]:
    """A vote as plain JSON values."""
    return asdict(vote) | {"approver": principal_document(vote.approver)}


def vote_of(document: Mapping[str, Any]) -> Vote:
    """The inverse of :func:`vote_document`. Raises ValueError, KeyError or TypeError for anything else."""
    return _exact(Vote, document, approver=principal_of(document["approver"]))
