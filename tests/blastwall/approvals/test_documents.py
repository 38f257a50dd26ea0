"""Requests, statuses and votes survive their documents; other documents are refused."""

from __future__ import annotations

import dataclasses
import json

import pytest

from blastwall.approvals import Vote, from_document, to_document
from blastwall.approvals.documents import status_document, status_of, vote_document, vote_of
from blastwall.model import ApprovalState, ApprovalStatus, Effect, Facts, Parameter, Risk
from tests.blastwall.approvals.asking import AGENT, REQUEST, STATEMENT, person


def statement(**changes: object) -> dict[str, object]:
    return {"statement": STATEMENT._replace(**changes)}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        statement(parameters=(Parameter(None), Parameter(b"\x00\xff", True, 17), Parameter(b""))),
        statement(text="SELECT '\u202e\x00\n'"),
        {"principal": dataclasses.replace(AGENT, on_behalf_of=None, groups=frozenset())},
        {"facts": Facts(Effect.UNKNOWN, "")},
        {"risk": Risk(0), "approvers": (), "quorum": 1},
        {"escalation": ("security",), "escalate_at": 9.0, "shape": "s", "canonical": "c", "blast": {"rows": 3}},
        {"facts": Facts(Effect.READ, "select", masked_columns=frozenset({"a.b.c"}), filters_masked=True)},
        {"statement": STATEMENT._replace(results=b"\x01\x00")},
    ],
)
def test_a_request_survives_its_document(changes):
    request = dataclasses.replace(REQUEST, **changes)
    assert from_document(json.loads(json.dumps(to_document(request)))) == request


@pytest.mark.parametrize("spoil", [{"quorum": ...}, {"more": 1}, {"facts": {}}, {"principal": None}])
def test_a_document_of_another_shape_is_refused(spoil):
    document = {name: value for name, value in (to_document(REQUEST) | spoil).items() if value is not ...}
    with pytest.raises((ValueError, KeyError, TypeError)):
        from_document(document)


def test_statuses_and_votes_survive_theirs() -> None:
    status = ApprovalStatus("a-1", ApprovalState.APPROVED, ("bob", "carol"), "ok", 5.0, 1000, 3, True, 99.0)
    assert status_of(json.loads(json.dumps(status_document(status)))) == status
    vote = Vote(person("bob"), True, "n\u202e", 7.0, 600.0)
    assert vote_of(json.loads(json.dumps(vote_document(vote)))) == vote
    with pytest.raises(ValueError, match="not the document"):
        status_of({**status_document(status), "more": 1})
