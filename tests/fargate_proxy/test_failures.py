"""A failed recording is told in the log and as an audit event of its own; best effort goes on without it."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest

from blastwall.audit.project import project_all
from blastwall.errors import RecordingFault
from blastwall.local.clock import SystemClock
from blastwall.local.recorder import LocalRecorder
from blastwall.local.recordings import Shelf
from blastwall.model import Effect, Facts, Masked, Permit, Principal, Secret, Session, Statement, Target
from blastwall.recording.reader import Reader
from fargate_proxy.failures import TALLY, BestEffort, tell
from fargate_proxy.pulse import Pulse

SESSION = Session("s-1", Principal("issuer", "sub", "robot"), "shop", 0.0, 1.0)
TARGET = Target("shop", "postgres", "h", 1)


def test_the_failure_becomes_an_audit_event_of_the_session(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = LocalRecorder(tmp_path, SystemClock())
    tell(recorder, SESSION, TARGET, "c-1", "0123", "the bucket does not take it")
    recorder.close()
    (line,) = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    said = json.loads(line)
    assert (said["event"], said["recording"], said["session"]) == ("recording_failed", "0123", "s-1")
    (entry,) = Shelf(tmp_path).entries()
    with entry.open() as file:
        events = list(project_all(Reader(file).records()))
    (told,) = [event for event in events if event["unmapped"]["blastwall"].get("event") == "recording_failed"]
    assert told["message"] == "the bucket does not take it"
    assert told["actor"]["session"]["uid"] == "s-1"
    assert told["unmapped"]["blastwall"]["recording_mode"] == "strict"


def test_where_nothing_can_be_recorded_the_log_remains(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "recordings").write_text("in the way")
    recorder = LocalRecorder(tmp_path, SystemClock())
    tell(recorder, SESSION, TARGET, "c-1", "0123", "full")
    recorder.close()
    assert len(caplog.records) == 2
    assert "could not be recorded either" in caplog.records[1].message


class Broken:
    id = "0123"

    def __init__(self) -> None:
        self.protected: list[Secret] = []

    def protect(self, *secrets: Secret) -> None:
        self.protected += secrets

    def __getattr__(self, name: str) -> object:
        def fail(*_: object) -> None:
            raise RecordingFault("full")

        return fail


async def test_best_effort_goes_on_and_tells_once() -> None:
    told: list[str] = []
    broken = Broken()
    recording = BestEffort(broken, told.append)  # type: ignore[arg-type]
    recording.intent(Statement("SELECT 1"), Facts(Effect.READ, "select"), Permit("SELECT 1"))
    assert recording.relayed(Masked(b"x")) is None
    assert recording.commit() is None
    recording.event("a", {})
    recording.flush()
    recording.protect(Secret("planted"))
    recording.close("end")
    assert told == ["full"]
    assert broken.protected == [Secret("planted")]


async def test_a_wait_that_fails_is_told_too() -> None:
    async def failing() -> None:
        raise RecordingFault("too late")

    class Slow(Broken):
        def commit(self) -> object:
            return failing()

    told: list[str] = []
    pending = BestEffort(Slow(), told.append).commit()  # type: ignore[arg-type]
    assert pending is not None
    await pending
    assert told == ["too late"]


async def test_the_alarm_counts_each_failure_once(tmp_path: Path) -> None:
    TALLY.take()
    recorder = LocalRecorder(tmp_path, SystemClock())
    for number in range(3):
        tell(recorder, SESSION, TARGET, f"c-{number}", "0123", "full")
    recorder.close()
    out = io.StringIO()
    pulse = Pulse(lambda: 0, lambda: 1.0, out, happened=TALLY.take)
    await pulse.beat()
    await pulse.beat()
    assert [json.loads(line)["RecordingFailed"] for line in out.getvalue().splitlines()] == [3.0, 0.0]
