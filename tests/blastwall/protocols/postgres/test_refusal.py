"""Refusals: every kind of denial has a SQLSTATE and says what, why and what next."""

from __future__ import annotations

import pytest

from blastwall.model import Denial, DenialCode
from blastwall.protocols.postgres import replies
from blastwall.protocols.postgres.refusal import SQLSTATES, refusal


@pytest.mark.parametrize("code", list(DenialCode))
def test_every_kind_of_denial_is_told(code: DenialCode) -> None:
    fields = replies.error_fields(refusal(Denial(code, "why", "what next", ("rule-a", "rule-b"))))
    assert fields["S"] == "ERROR"
    assert fields["C"] == SQLSTATES[code]
    assert len(fields["C"]) == 5
    assert "rule-a, rule-b" in fields["M"]
    assert (fields["D"], fields["H"]) == ("why", "what next")


def test_what_people_and_time_decide_is_told_apart_by_code() -> None:
    apart = [SQLSTATES[c] for c in (DenialCode.POLICY, DenialCode.PENDING, DenialCode.DENIED, DenialCode.EXPIRED)]
    assert len(set(apart)) == 4
    assert SQLSTATES[DenialCode.POLICY] == "42501"
    assert SQLSTATES[DenialCode.UNREACHABLE] == "57P03", "what drivers try again later, or at another host"
    assert SQLSTATES[DenialCode.CROWD] == "53300", "what pools know as too many connections"


def test_a_ticket_is_named_and_a_fatal_one_ends_the_connection() -> None:
    fields = replies.error_fields(refusal(Denial(DenialCode.PENDING, "r", ticket="a-123"), fatal=True))
    assert "a-123" in fields["M"]
    assert fields["S"] == "FATAL"
