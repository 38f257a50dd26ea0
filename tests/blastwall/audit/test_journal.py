"""What belongs to no connection is recorded like everything else, and projected from there."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from blastwall.audit.journal import BURST, GATEWAY, Journal, note
from blastwall.audit.project import project_all
from blastwall.errors import RecordingFault
from blastwall.local.recorder import LocalRecorder
from blastwall.local.recordings import Shelf
from blastwall.local.signer import load_signer, trusted_keys
from blastwall.local.spool import Disk
from blastwall.model import Principal
from blastwall.recording.reader import Reader
from blastwall.recording.verify import State


class Clock:
    at = 1000.0

    def now(self):
        return 1_800_000_000.0 + self.at

    def monotonic(self):
        return self.at


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def recorder(tmp_path, clock):
    made = LocalRecorder(tmp_path, clock, signer=load_signer(tmp_path / "keys"))
    yield made
    made.close()


def events(state):
    found = []
    for entry in Shelf(state).entries():
        if not entry.path.stat().st_size:
            continue  # a full disk took nothing of it
        with entry.open() as file:
            found += project_all(Reader(file).records())
    return found


async def test_a_note_is_one_signed_recording_and_one_event(tmp_path, recorder, clock):
    reader = Principal("https://idp", "ana", "ana", frozenset({"auditors"}))
    fields = {"recording": "0123", "how": "play", "agent": "reporter", "surprise": "x"}
    await note(recorder, clock, reader, "recording_read", fields, at="shop")
    (entry,) = Shelf(tmp_path).entries()
    trusted = trusted_keys(tmp_path / "keys" / "recording.pub")
    assert entry.verify(trusted).state is State.INTACT
    (event,) = events(tmp_path)
    assert (event["class_uid"], event["activity_id"], event["status_id"], event["action_id"]) == (6003, 2, 1, 1)
    assert (event["actor"]["user"]["name"], event["dst_endpoint"]["name"]) == ("ana", "shop")
    assert event["unmapped"]["blastwall"]["read"] == {"recording": "0123", "how": "play", "agent": "reporter"}
    assert "surprise" not in str(event)


async def test_a_refused_reader_is_denied_in_the_event(tmp_path, recorder, clock):
    await note(recorder, clock, GATEWAY, "recording_read", {"recording": "0123", "how": "play", "denial": "policy"})
    (event,) = events(tmp_path)
    assert (event["status_id"], event["action_id"], event["disposition_id"]) == (2, 2, 2)


async def test_refused_logins_are_failed_authentications(tmp_path, recorder, clock):
    journal = Journal(recorder, clock)
    await journal.refused_login("postgres", "shop", "10.0.0.7:5123", "the token has expired")
    journal.close("the gateway stops")
    (event,) = events(tmp_path)
    assert (event["class_uid"], event["activity_id"], event["status_id"]) == (3002, 1, 2)
    assert event["message"] == "the token has expired"
    assert event["unmapped"]["blastwall"]["asked_target"] == "shop"


async def test_a_flood_of_logins_fills_no_disk_and_is_counted_in_full(tmp_path, recorder, clock):
    journal = Journal(recorder, clock)
    for number in range(BURST * 50):
        clock.at += 0.01
        await journal.refused_login("postgres", "x" * 10_000, "c", "no")
        del number
    clock.at += 5
    await journal.refused_login("postgres", "shop", "c", "no")
    journal.close("end")
    found = [event["unmapped"]["blastwall"]["count"] for event in events(tmp_path)]
    assert sum(found) == BURST * 50 + 1
    assert BURST < len(found) <= BURST + 55


def counted(state):
    return [event["unmapped"]["blastwall"]["count"] for event in events(state)]


async def test_a_flood_that_is_over_is_told_to_its_last(tmp_path, recorder, clock):
    """The rest waited for the next login that was refused, and was lost when there was none before the end."""
    journal = Journal(recorder, clock)
    for _ in range(BURST * 2):
        await journal.refused_login("postgres", "shop", "c", "no")
    await journal.settle()
    clock.at += 5
    await journal.settle()
    await journal.refused_login("postgres", "shop", "c", "no")
    clock.at -= 5
    for _ in range(7):
        await journal.refused_login("postgres", "shop", "c", "no")
    journal.close("end")
    assert sum(counted(tmp_path)) == BURST * 2 + 8
    assert counted(tmp_path)[BURST] == BURST, counted(tmp_path)


async def test_a_disk_that_was_full_ends_no_journal(tmp_path, clock):
    """It did: nothing was recorded any more until the gateway was started anew, and what had failed was not counted."""
    full = []

    def write(descriptor, parts):
        if full:
            raise OSError(28, "No space left on device")
        return os.writev(descriptor, parts)

    recorder = LocalRecorder(tmp_path, clock, signer=load_signer(tmp_path / "keys"), disk=Disk(write=write))
    journal = Journal(recorder, clock)
    await journal.refused_login("postgres", "shop", "c", "no")
    full.append(True)
    for _ in range(3):
        with pytest.raises(RecordingFault):
            await journal.refused_login("postgres", "shop", "c", "no")
    full.clear()
    await journal.refused_login("postgres", "shop", "c", "no")
    journal.close("end")
    recorder.close()
    assert sum(counted(tmp_path)) == 5


async def test_it_is_begun_off_the_event_loop_and_once(tmp_path, recorder, clock, monkeypatch):
    real, threads = recorder.open, []

    def begin(*given):
        threads.append(threading.current_thread())
        return real(*given)

    monkeypatch.setattr(recorder, "open", begin)
    journal = Journal(recorder, clock)
    await asyncio.gather(*(journal.refused_login("postgres", "shop", "c", "no") for _ in range(5)))
    journal.close("end")
    assert len(threads) == 1 and threads[0] is not threading.main_thread()
    assert sum(counted(tmp_path)) == 5


async def test_nothing_happened_nothing_is_recorded(tmp_path, recorder, clock):
    Journal(recorder, clock).close("end")
    assert not list(Shelf(tmp_path).entries())


async def test_what_cannot_be_recorded_is_said(tmp_path, recorder, clock):
    (tmp_path / "recordings").write_text("in the way")
    with pytest.raises(RecordingFault):
        await note(recorder, clock, GATEWAY, "recording_read", {})
