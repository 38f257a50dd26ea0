"""Recordings on disk are found by day and id, and summed up by what is there, not by what ought to be."""

from __future__ import annotations

import os
import stat

import pytest

from blastwall.errors import RecordingFault
from blastwall.local.clock import ManualClock
from blastwall.local.recorder import LocalRecorder
from blastwall.local.recordings import MAX_MANIFEST, Entry, Shelf
from blastwall.local.signer import load_signer, trusted_keys
from blastwall.model import Denial, DenialCode, Effect, Facts, Masked, Permit, Principal, Session, Statement, Target
from blastwall.recording.codec import FormatFault
from blastwall.recording.verify import State

FACTS = Facts(Effect.READ, "select", fingerprint="f" * 16)
SESSION = Session("session-1", Principal("iss", "sub", "agent-1", on_behalf_of="ana"), "shop", 0.0, 1.0)
TARGET = Target("shop", "postgres", "db", 5432)


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def recorder(state):
    made = LocalRecorder(state, ManualClock(), signer=load_signer(state / "keys"))
    yield made
    made.close()


def recorded(recorder) -> object:
    """A recording still open: two statements, one of them denied, five rows."""
    recording = recorder.open(SESSION, TARGET, "c-1", {})
    recording.intent(Statement("SELECT 1", number=1), FACTS, Permit("SELECT 1"))
    recording.relayed(Masked(b"rows", 1, 5, "SELECT 5"))
    recording.intent(Statement("DROP", number=2), FACTS, Denial(DenialCode.POLICY, "no"))
    recording.commit()
    return recording


def lay(state, *files: str) -> Shelf:
    for number, file in enumerate(files):
        path = state / "recordings" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        os.utime(path, (1_000 + number, 1_000 + number))
    return Shelf(state)


def test_newest_day_first_and_newest_file_first(state):
    shelf = lay(state, "2027-01-14/a.bwr", "2027-01-15/b.bwr", "2027-01-15/c.bwr", "2026-12-31/d.bwr")
    assert [entry.id for entry in shelf.entries()] == ["c", "b", "a", "d"]
    assert [entry.id for entry in shelf.entries(days=2)] == ["c", "b", "a"]


def test_what_is_no_recording_is_not_listed(state):
    shelf = lay(
        state,
        "2027-01-15/good.bwr",
        "2027-01-15/good.manifest.json",
        "2027-01-15/bad name.bwr",
        f"2027-01-15/{'x' * 65}.bwr",
        "2027-01-15/.bwr",
        "trash/other.bwr",
        "stray.bwr",
    )
    assert [entry.id for entry in shelf.entries()] == ["good"]
    assert list(Shelf(state / "nowhere").entries()) == []


@pytest.mark.parametrize("id", ["", "../up", "a/b", "a b", "x" * 65, "a\n"])
def test_an_id_cannot_leave_its_place(state, id):
    with pytest.raises(RecordingFault, match="1 to 64 letters"):
        Shelf(state).place("2027-01-15", id)
    assert not (state / "recordings").exists()


def test_a_place_is_made_for_its_owner_alone(state):
    path = Shelf(state).place("2027-01-15", "a_b-1", durable=True)
    assert path == state / "recordings" / "2027-01-15" / "a_b-1.bwr"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()


@pytest.mark.parametrize(
    ("prefix", "says"),
    [("b", None), ("a", "2 recordings begin"), ("z", "No recording"), ("", "No recording"), ("*", "No recording")],
)
def test_a_prefix_means_one_recording_or_none(state, prefix, says):
    shelf = lay(state, "2027-01-15/a1.bwr", "2027-01-14/a2.bwr", "2027-01-14/b1.bwr")
    if says is None:
        assert shelf.find(prefix).id == "b1"
        return
    with pytest.raises(RecordingFault, match=says):
        shelf.find(prefix)


def test_live_means_that_the_writer_still_holds_it(recorder, state):
    recording = recorded(recorder)
    entry = Shelf(state).find(recording.id)
    assert entry.live()
    recording.close("end")
    assert not entry.live()


def test_totals_are_counted_until_the_manifest_tells_them(recorder, state):
    recording = recorded(recorder)
    entry = Shelf(state).find(recording.id)
    live = entry.summary()
    recording.close("end")
    complete = entry.summary()
    for summary, is_now in ((live, "live"), (complete, "complete")):
        assert summary["state"] == is_now
        assert [summary[name] for name in ("statements", "denied", "rows")] == [2, 1, 5]
        assert [summary[name] for name in ("agent", "on_behalf_of", "target", "session", "connection")] == [
            "agent-1",
            "ana",
            "shop",
            "session-1",
            "c-1",
        ]


def test_a_file_that_is_no_recording_is_listed_as_unreadable(state):
    lay(state, "2027-01-15/bad.bwr")
    entry = Shelf(state).find("bad")
    entry.path.write_bytes(b"not a recording, whatever its name says")
    summary = entry.summary()
    assert (summary["id"], summary["state"]) == ("bad", "unreadable")
    assert "magic" in summary["problem"]
    with pytest.raises(FormatFault):
        entry.verify({})


def test_a_file_that_is_gone_is_a_fault_with_its_id(tmp_path):
    entry = Entry(tmp_path / "gone.bwr")
    with pytest.raises(RecordingFault, match="The recording gone cannot be read: No such file"):
        entry.open()
    assert entry.beside() is None
    entry.manifest_path.mkdir()
    with pytest.raises(RecordingFault, match="The manifest of gone cannot be read"):
        entry.beside()


def test_verifying_takes_the_manifest_beside_the_file_into_account(recorder, state):
    recording = recorded(recorder)
    recording.close("end")
    trusted = trusted_keys(state / "keys" / "recording.pub")
    entry = Shelf(state).find(recording.id)
    assert entry.verify(trusted).state is State.INTACT
    good = entry.manifest_path.read_bytes()
    entry.manifest_path.write_bytes(good.replace(b'"rows":5', b'"rows":4'))
    assert entry.verify(trusted).state is not State.INTACT
    entry.manifest_path.write_bytes(good)
    data = bytearray(entry.path.read_bytes())
    data[len(data) // 2] ^= 1
    entry.path.write_bytes(data)
    assert entry.verify(trusted).state is State.TAMPERED


def test_a_manifest_is_read_up_to_its_limit(tmp_path):
    entry = Entry(tmp_path / "a.bwr")
    entry.manifest_path.write_bytes(b" " * (MAX_MANIFEST + 1))
    assert len(entry.beside()) == MAX_MANIFEST
