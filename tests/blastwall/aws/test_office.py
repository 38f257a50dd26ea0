"""The offices' answers where no AWS is needed: shapes of ballots and faults. With AWS: tests/lambdas/test_approval_parts.py."""

from __future__ import annotations

import pytest

from blastwall.approvals import Ballot
from blastwall.aws.office import ballot_of, fault_of
from blastwall.errors import OurFault


def test_a_ballot_is_what_was_given() -> None:
    event = {"approve": True, "shown": "s", "note": "n", "grant_seconds": 60}
    assert ballot_of(event) == Ballot(True, "s", "n", 60.0)
    assert ballot_of({"approve": False, "shown": "s"}) == Ballot(False, "s")
    assert ballot_of(event | {"rows": 3}) == Ballot(True, "s", "n", 60.0, 3)
    assert ballot_of(event | {"rows": None}) == Ballot(True, "s", "n", 60.0)


@pytest.mark.parametrize(
    "event",
    [{}, {"approve": True}, {"approve": 1, "shown": "s"}, {"approve": True, "shown": "s", "grant_seconds": "x"}],
)
def test_what_is_no_ballot(event: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        ballot_of(event)


def test_a_fault_says_whose_it_is() -> None:
    assert fault_of("ours", OurFault("the disk"), "later") == {
        "fault": {"kind": "ours", "message": "the disk", "hint": "later"}
    }
