"""What belongs to no connection is recorded like everything else, and projected from there."""

from __future__ import annotations

import pytest

from blastwall.audit.journal import BURST, GATEWAY, Journal, note
from blastwall.audit.project import project_all
from blastwall.errors import RecordingFault
from blastwall.local.recorder import LocalRecorder
from blastwall.local.recordings import Shelf
from blastwall.local.signer import load_signer, trusted_keys
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


async def test_nothing_happened_nothing_is_recorded(tmp_path, recorder, clock):
    Journal(recorder, clock).close("end")
    assert not list(Shelf(tmp_path).entries())


async def test_what_cannot_be_recorded_is_said(tmp_path, recorder, clock):
    (tmp_path / "recordings").write_text("in the way")
    with pytest.raises(RecordingFault):
        await note(recorder, clock, GATEWAY, "recording_read", {})
