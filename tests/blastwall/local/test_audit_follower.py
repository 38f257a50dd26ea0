"""The process that makes audit events is there for as long as its gateway, whatever ends it."""

from __future__ import annotations

import pytest

from blastwall.local.audit import LONGEST_PAUSE, AuditTrail, Follower
from blastwall.local.clock import SystemClock
from blastwall.local.recorder import LocalRecorder
from blastwall.model import Principal, Session, Target

SESSION = Session("session-1", Principal("iss", "sub", "agent-1"), "shop", 0.0, 1.0)
TARGET = Target("shop", "postgres", "db", 5432)


@pytest.fixture
def recorder(tmp_path):
    made = LocalRecorder(tmp_path, SystemClock())
    yield made
    made.close()


def test_a_follower_that_was_killed_is_started_anew_and_misses_nothing(tmp_path, recorder):
    follower = Follower(tmp_path)
    try:
        assert follower.look() == ""
        first = follower._process
        first.kill()
        first.wait()
        recording = recorder.open(SESSION, TARGET, "c", {})
        recording.event("cancel", {"statement": 1})
        recording.close("end")
        follower._begun = float("-inf")
        assert "status -9" in follower.look()
        assert follower._process is not first and follower.look() == ""
    finally:
        follower.close()
    found = list(AuditTrail(tmp_path).events())
    assert len(found) >= 2, found


def test_a_follower_that_ends_at_once_is_started_less_and_less_often(tmp_path):
    follower = Follower(tmp_path, "blastwall.no_such_module")
    try:
        starts = 0
        for _ in range(8):
            follower._process.wait()
            assert follower.look() == "", "not again right away"
            follower._begun -= follower._pause
            starts += bool(follower.look())
        assert starts == 8
        assert follower._pause == LONGEST_PAUSE
    finally:
        follower.close()
