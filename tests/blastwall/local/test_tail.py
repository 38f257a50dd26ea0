"""A live recording is read as it grows, in another thread than its writer's, to its end and no further."""

from __future__ import annotations

import threading

import pytest

from blastwall.errors import RecordingFault
from blastwall.local.clock import SystemClock
from blastwall.local.recorder import LocalRecorder
from blastwall.local.recordings import Shelf
from blastwall.local.tail import tail
from blastwall.model import Effect, Facts, Permit, Principal, Session, Statement, Target
from blastwall.recording.records import End, Header, Intent

FACTS = Facts(Effect.READ, "select", fingerprint="f" * 16)
SESSION = Session("s", Principal("i", "s", "agent"), "shop", 0.0, 1.0)
TARGET = Target("shop", "postgres", "db", 5432)


@pytest.fixture
def recorder(tmp_path):
    made = LocalRecorder(tmp_path, SystemClock())
    yield made
    made.close()


def ask(recording, number):
    recording.intent(Statement(f"SELECT {number}", number=number), FACTS, Permit(f"SELECT {number}"))
    recording.commit()


class Steps:
    """What happens while the reader waits: one step a wait, and a failure when it waits for nothing."""

    def __init__(self, *steps):
        self.steps = list(steps)

    def __call__(self, seconds):
        assert 0 < seconds <= 1
        assert self.steps, "it waits although nothing more will come"
        self.steps.pop(0)()


def texts(records):
    return [record.text for record in records if isinstance(record, Intent)]


def test_it_gives_what_is_there_then_what_comes_and_ends_with_the_recording(tmp_path, recorder):
    recording = recorder.open(SESSION, TARGET, "c", {})
    ask(recording, 1)
    steps = Steps(lambda: ask(recording, 2), lambda: None, lambda: ask(recording, 3), lambda: recording.close("left"))
    records = list(tail(Shelf(tmp_path).find(recording.id), steps))
    assert isinstance(records[0], Header)
    assert texts(records) == ["SELECT 1", "SELECT 2", "SELECT 3"]
    assert isinstance(records[-1], End)
    assert records[-1].reason == "left"
    assert not steps.steps


def test_each_record_comes_when_it_was_written_not_at_the_end(tmp_path, recorder):
    recording = recorder.open(SESSION, TARGET, "c", {})
    came = threading.Event()
    records = tail(Shelf(tmp_path).find(recording.id), Steps(lambda: ask(recording, 1), lambda: recording.close("x")))
    assert isinstance(next(records), Header)
    assert next(records).text == "SELECT 1"
    assert recording.live, "it was read while the writer had it open"
    came.set()
    assert [type(record) for record in records] == [End]


def test_a_writer_that_was_killed_is_said_to_be(tmp_path, recorder):
    recording = recorder.open(SESSION, TARGET, "c", {})
    ask(recording, 1)
    path = Shelf(tmp_path).find(recording.id).path

    def kill():
        recording._blocks.close()
        with path.open("ab") as file:
            file.write(b"\0\0\0\0torn")

    records = list(tail(Shelf(tmp_path).find(recording.id), Steps(kill)))
    assert texts(records) == ["SELECT 1"]
    assert "its writer was stopped" in records[-1].reason


def test_damage_ends_it_in_words(tmp_path, recorder):
    recording = recorder.open(SESSION, TARGET, "c", {})
    ask(recording, 1)
    path = Shelf(tmp_path).find(recording.id).path

    def damage():
        with path.open("ab") as file:
            file.write(b"\xff" * 200)

    records = list(tail(Shelf(tmp_path).find(recording.id), Steps(damage)))
    assert records[-1].reason.startswith("TAMPERED")
    recording._blocks.close()


def test_a_finished_recording_is_read_without_waiting(tmp_path, recorder):
    recording = recorder.open(SESSION, TARGET, "c", {})
    ask(recording, 1)
    recording.close("left")
    assert texts(tail(Shelf(tmp_path).find(recording.id), Steps())) == ["SELECT 1"]


def test_a_file_that_is_gone_is_a_fault(tmp_path, recorder):
    recording = recorder.open(SESSION, TARGET, "c", {})
    entry = Shelf(tmp_path).find(recording.id)
    entry.path.unlink()
    with pytest.raises(RecordingFault):
        next(tail(entry, Steps()))
    recording._blocks.close()
