"""Who may decide a request, and who may read a recording."""

from __future__ import annotations

from dataclasses import replace

import pytest

from blastwall.model import ApprovalRequest, DenialCode, Effect, Facts, Principal, Target
from tests.blastwall.policy.asking import AGENT, OWNER, POLICY, TARGET, request


def test_an_owner_approves_what_was_routed_to_owners() -> None:
    assert POLICY.may_approve(OWNER, request(), TARGET) is None


@pytest.mark.parametrize(
    ("approver", "asked", "target", "expected"),
    [
        (OWNER, request(approvers=("dba",)), TARGET, "no rule permits"),
        (replace(OWNER, groups=frozenset({"dba"})), request(), TARGET, "no rule permits"),
        (OWNER, request(), replace(TARGET, labels={"environment": "sealed"}), "no rule permits"),
        (OWNER, request(), replace(TARGET, labels={}), "no rule permits"),
        (OWNER, request(facts=Facts(Effect.DESTROY, "drop")), TARGET, "never-approve-destruction"),
        (replace(AGENT, groups=frozenset({"owners"})), request(), TARGET, "an agent may not"),
        (
            replace(AGENT, groups=frozenset({"owners"}), on_behalf_of=None),
            request(),
            TARGET,
            "you may not decide your own",
        ),
        (replace(OWNER, subject="ADA@example.com "), request(), TARGET, "you may not decide your own"),
        (replace(OWNER, issuer="https://else", subject="ada@example.com"), request(), TARGET, "your own"),
        (replace(OWNER, subject="s-1"), request(), TARGET, "you may not decide your own"),
        (replace(OWNER, subject="reporter"), request(), TARGET, "you may not decide your own"),
        (replace(OWNER, agent="Reporter"), request(), TARGET, "you may not decide your own"),
        (replace(OWNER, on_behalf_of="boss@example.com"), request(), TARGET, "an agent may not"),
    ],
)
def test_who_may_not_approve(approver: Principal, asked: ApprovalRequest, target: Target, expected: str) -> None:
    denial = POLICY.may_approve(approver, asked, target)
    assert denial is not None
    assert denial.code is DenialCode.POLICY
    assert expected in denial.reason


def test_a_person_whose_token_names_them_twice_is_still_a_person() -> None:
    assert POLICY.may_approve(replace(OWNER, on_behalf_of="Olga@example.com"), request(), TARGET) is None


def test_recordings_are_for_auditors_and_those_they_are_about() -> None:
    auditor = Principal("https://idp", "ida", "console", frozenset({"auditors"}))
    ada = Principal("https://idp", "ada@example.com", "console")
    assert POLICY.may_read_recording(auditor, AGENT, TARGET) is None
    assert POLICY.may_read_recording(AGENT, AGENT, TARGET) is None
    assert POLICY.may_read_recording(ada, AGENT, TARGET) is None
    denial = POLICY.may_read_recording(OWNER, AGENT, TARGET)
    assert denial is not None
    assert "read-recording" in denial.reason
    nobody = replace(AGENT, subject="s-9", on_behalf_of=None)
    assert POLICY.may_read_recording(replace(OWNER, subject=""), nobody, TARGET) is not None
