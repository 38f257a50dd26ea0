"""How a credential's end is told: one recording, an event for each credential, and never a fault for who ended it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from blastwall.credentials.telling import outliving, record_revocations
from blastwall.errors import RecordingFault
from blastwall.model import Credential, Principal, Revocation, Session, Target

SESSION = Session("s-1", Principal("iss", "bot", "bot"), "shop", 0.0, 1.0)
TARGET = Target("shop", "postgres", "db", 5432)
DEAD = Revocation("bw_s_1", "role", True, "the target refuses it", 0.0321, 2, ("1 objects in shop belong to x now",))


@dataclass
class Recorder:
    """A recorder, and the recording that it gives."""

    fails: bool = False
    header: Mapping[str, object] = field(default_factory=dict)
    events: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    def open(self, session: Session, target: Target, connection: str, header: Mapping[str, object]) -> Any:
        if self.fails:
            raise RecordingFault("full")
        assert connection.startswith("r-")
        self.header = header
        return self

    def event(self, name: str, fields: Mapping[str, Any]) -> None:
        self.events.append((name, fields))

    def close(self, reason: str) -> None:
        self.closed.append(reason)


def tell(recorder: Recorder, *revocations: Revocation, target: Target | None = TARGET) -> None:
    port: Any = recorder
    record_revocations(port, SESSION, target, "killed by carol", revocations)


def test_each_kind_of_end_has_its_event() -> None:
    recorder = Recorder()
    tell(
        recorder,
        DEAD,
        Revocation("b", "role", False, "it still opens", 1.0),
        outliving(Credential("c", None, "iam", 0)),
    )
    assert [name for name, _ in recorder.events] == ["revocation_verified", "revocation_failed", "credential_expires"]
    fields = recorder.events[0][1]
    assert fields["proof"] == "revocation verified at T+0.032 s: the target refuses it"
    assert (fields["seconds"], fields["connections"], fields["left"]) == (0.0321, 2, list(DEAD.left))
    assert "seconds" not in recorder.events[1][1], "nothing was shown at any time"
    assert recorder.header["purpose"] == "revocation" and recorder.closed == ["killed by carol"]


def test_what_cannot_be_taken_back_says_until_when_it_lives() -> None:
    told = outliving(Credential("app", None, "iam", 1_800_000_000.0))
    assert told.proof == "it cannot be revoked: it expires at 2027-01-15 08:00:00 UTC" and not told.verified


def test_what_cannot_be_recorded_is_logged_at_least(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tell(Recorder(fails=True), DEAD)
    assert "could not be recorded: full" in caplog.text and "bw_s_1 of session s-1" in caplog.text


def test_nothing_is_begun_for_a_target_that_is_gone_or_for_no_credential() -> None:
    recorder = Recorder()
    tell(recorder, DEAD, target=None)
    tell(recorder)
    assert recorder.header == {} and recorder.closed == []
