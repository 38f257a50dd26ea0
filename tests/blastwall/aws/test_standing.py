"""When a session's time is up, by its item alone; what the table does about it is in tests/contracts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from blastwall.aws.standing import EXPIRED, IDLE, REASONS, as_of, over, standing_of
from blastwall.aws.tables import number, text

NOW = 1000.0
PRINCIPAL = {"issuer": "iss", "subject": "bot", "agent": "bot", "groups": ["b", "a"], "on_behalf_of": None}
ITEM: dict[str, Any] = {
    "id": text("s-1"),
    "principal": text(json.dumps(PRINCIPAL | {"token_id": "t", "issued_at": 0.0, "expires_at": 2000.0})),
    "target": text("shop"),
    "started_at": number(900.0),
    "expires_at": number(2000.0),
    "linger": number(60.0),
    "alive_until": number(NOW + 60),
    "used_rows": number(12),
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"expires_at": number(NOW)}, EXPIRED),
        ({"idle_since": number(NOW - 59)}, None),
        ({"idle_since": number(NOW - 60)}, IDLE),
        ({"alive_until": number(NOW - 59)}, None),
        ({"alive_until": number(NOW - 60)}, IDLE),
        ({"alive_until": number(NOW - 60), "idle_since": number(NOW)}, None),
    ],
)
def test_time_idleness_and_a_lost_task_end_a_session(changes: dict[str, Any], expected: str | None) -> None:
    item = ITEM | changes
    assert over(item, NOW) == expected
    seen = standing_of(as_of(item, NOW))
    assert (seen.ended_at is not None) == (expected is not None)
    assert seen.reason == (REASONS[expected] if expected else "")


def test_what_has_ended_stays_as_it_ended() -> None:
    item = ITEM | {"ended_at": number(950.0), "reason": text("killed by carol"), "expires_at": number(10.0)}
    seen = standing_of(as_of(item, NOW))
    assert (seen.ended_at, seen.reason, seen.usage) == (950.0, "killed by carol", {"rows": 12})
    assert seen.session.principal.groups == {"a", "b"} and seen.session.break_glass is None
