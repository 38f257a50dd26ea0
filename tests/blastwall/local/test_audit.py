"""The local audit trail: whoever catches up, and however often, the events are those of the recordings."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from blastwall.audit.project import project_all
from blastwall.errors import OurFault
from blastwall.local.audit import NICE, AuditTrail, Follower, follow
from blastwall.local.clock import ManualClock, SystemClock
from blastwall.local.outbox import Outbox
from blastwall.local.recorder import LocalRecorder
from blastwall.local.recordings import Shelf, retire
from blastwall.model import Denial, DenialCode, Effect, Facts, Masked, Permit, Principal, Session, Statement, Target
from blastwall.recording.reader import Reader

FACTS = Facts(Effect.WRITE, "update", fingerprint="f" * 16)
SESSION = Session("session-1", Principal("iss", "sub", "agent-1"), "shop", 0.0, 1.0)
TARGET = Target("shop", "postgres", "db", 5432)


@pytest.fixture
def recorder(tmp_path):
    made = LocalRecorder(tmp_path, SystemClock())
    yield made
    made.close()


def work(recording, first, last):
    for number in range(first, last):
        denied = number % 3 == 0
        decision = Denial(DenialCode.POLICY, "no") if denied else Permit("UPDATE t SET a = 1")
        recording.intent(Statement("UPDATE t SET a = 1", number=number), FACTS, decision)
        recording.commit()
        if not denied:
            recording.relayed(Masked(b"C...", number, 0, "UPDATE 1"))


def reprojected(state):
    """The events of all recordings, made anew."""
    events = {}
    for entry in Shelf(state).entries():
        with entry.open() as file:
            for event in project_all(Reader(file).records()):
                events[event["metadata"]["uid"]] = event
    return events


def trail(state):
    return {event["metadata"]["uid"]: event for event in AuditTrail(state).events()}


def lines(state):
    return [text for path in sorted((state / "audit").glob("*.jsonl")) for text in path.read_text().splitlines()]


def test_catching_up_gives_the_identical_set_however_often_it_is_done(tmp_path, recorder):
    one, two = (recorder.open(SESSION, TARGET, f"c-{n}", {}) for n in range(2))
    keeper = AuditTrail(tmp_path)
    for step in range(1, 40, 7):
        work(one, step, step + 7)
        keeper.catch_up()
        work(two, step, step + 7)
        recorder.flush()
        if step % 2:
            AuditTrail(tmp_path).catch_up()  # another process, without the memory of the first
    one.close("client closed")
    keeper.catch_up()
    two.close("client closed")
    keeper.catch_up()
    assert keeper.catch_up() == 0
    assert AuditTrail(tmp_path).catch_up() == 0
    assert trail(tmp_path) == reprojected(tmp_path)
    assert len(lines(tmp_path)) == len(trail(tmp_path)) > 100


def test_lost_places_only_repeat_lines_with_the_same_ids(tmp_path, recorder):
    recording = recorder.open(SESSION, TARGET, "c", {})
    work(recording, 1, 20)
    recording.close("end")
    AuditTrail(tmp_path).catch_up()
    for place in (tmp_path / "audit" / ".places").iterdir():
        place.unlink()
    AuditTrail(tmp_path).catch_up()
    assert len(lines(tmp_path)) == 2 * len(trail(tmp_path))
    assert trail(tmp_path) == reprojected(tmp_path)


def test_half_a_line_left_by_a_crash_harms_no_other(tmp_path, recorder):
    recording = recorder.open(SESSION, TARGET, "c", {})
    work(recording, 1, 5)
    recorder.flush()
    AuditTrail(tmp_path).catch_up()
    (path,) = (tmp_path / "audit").glob("*.jsonl")
    with path.open("a") as file:
        file.write('{"time": 1, "metadata": {"uid": "half')
    work(recording, 5, 9)
    recording.close("end")
    AuditTrail(tmp_path).catch_up()
    assert trail(tmp_path) == reprojected(tmp_path)


def test_events_of_a_killed_writer_are_there(tmp_path, recorder):
    recording = recorder.open(SESSION, TARGET, "c", {})
    work(recording, 1, 6)
    recording._blocks.close()
    with Shelf(tmp_path).find(recording.id).path.open("ab") as file:
        file.write(b"\0\0\0\0torn")
    AuditTrail(tmp_path).catch_up()
    found = trail(tmp_path)
    assert found == reprojected(tmp_path)
    assert sum(event["class_uid"] == 6005 for event in found.values()) >= 5


def test_nothing_is_projected_beyond_tampering(tmp_path, recorder):
    recording = recorder.open(SESSION, TARGET, "c", {})
    work(recording, 1, 9)
    recording.close("end")
    path = Shelf(tmp_path).find(recording.id).path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    AuditTrail(tmp_path).catch_up()
    found = trail(tmp_path)
    assert found == reprojected(tmp_path)
    assert not any(event["class_uid"] == 3002 for event in found.values()), "the end lies behind the damage"


def test_what_a_full_disk_has_stopped_is_written_when_there_is_room(tmp_path, recorder, monkeypatch):
    one, two = (recorder.open(SESSION, TARGET, f"c-{n}", {}) for n in range(2))
    work(one, 1, 5)
    recorder.flush()
    keeper = AuditTrail(tmp_path)
    keeper.catch_up()
    work(one, 5, 9)
    work(two, 1, 5)
    three = recorder.open(SESSION, TARGET, "c-3", {})  # nobody has seen it before the disk is full
    for recording in (one, two, three):
        recording.close("end")
    with monkeypatch.context() as full:
        full.setattr("blastwall.local.audit._Days.append", _no_room)
        with pytest.raises(OurFault, match="No space left"):
            keeper.catch_up()
    keeper.catch_up()
    assert trail(tmp_path) == reprojected(tmp_path)


def _no_room(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_cannot_be_opened_now_is_read_the_next_time(tmp_path, recorder, monkeypatch):
    recording = recorder.open(SESSION, TARGET, "c", {})
    work(recording, 1, 5)
    recording.close("end")
    keeper = AuditTrail(tmp_path)

    def no_more_files(path, mode):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", no_more_files)
        assert keeper.catch_up() == 0
    assert keeper.catch_up() == len(reprojected(tmp_path)) > 0
    assert keeper.catch_up() == 0


def test_junk_among_recordings_is_passed_over(tmp_path, recorder):
    recording = recorder.open(SESSION, TARGET, "c", {})
    recording.close("end")
    day = Shelf(tmp_path).find(recording.id).path.parent
    (day / "junk.bwr").write_bytes(b"not a recording")
    (day / "empty.bwr").touch()
    AuditTrail(tmp_path).catch_up()
    assert trail(tmp_path) == reprojected_without(tmp_path, {"junk", "empty"})


def reprojected_without(state, names):
    for entry in list(Shelf(state).entries()):
        if entry.id in names:
            entry.path.unlink()
    return reprojected(state)


def test_the_files_are_for_their_owner_alone(tmp_path, recorder):
    old = os.umask(0)
    try:
        recorder.open(SESSION, TARGET, "c", {}).close("end")
        AuditTrail(tmp_path).catch_up()
    finally:
        os.umask(old)
    found = [tmp_path / "audit", *(tmp_path / "audit").rglob("*")]
    assert len(found) >= 4
    for path in found:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_place_that_cannot_be_written_is_a_fault(tmp_path, recorder):
    recorder.open(SESSION, TARGET, "c", {}).close("end")
    (tmp_path / "audit").write_text("a file where a directory should be")
    with pytest.raises(OurFault, match="could not be written"):
        AuditTrail(tmp_path).catch_up()


def test_two_processes_catching_up_at_once_write_each_event_once(tmp_path, recorder):
    recording = recorder.open(SESSION, TARGET, "c", {})
    work(recording, 1, 200)
    recording.close("end")
    threads = [threading.Thread(target=AuditTrail(tmp_path).catch_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines(tmp_path)) == len(trail(tmp_path)) == len(reprojected(tmp_path))


def test_the_follower_keeps_up_and_finishes_when_it_is_told(tmp_path, recorder):
    recording = recorder.open(SESSION, TARGET, "c", {})
    follower = Follower(tmp_path)
    try:
        work(recording, 1, 10)
        recorder.flush()
        deadline = time.monotonic() + 20
        while len(trail(tmp_path)) < 9 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(trail(tmp_path)) >= 9
        work(recording, 10, 20)
        recording.close("end")
    finally:
        follower.close()
    assert trail(tmp_path) == reprojected(tmp_path)
    assert follower._process.returncode == 0


ORPHAN = """
import os, sys
from pathlib import Path
from blastwall.local.audit import Follower
follower = Follower(Path(sys.argv[1]))
print(follower._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_the_follower_ends_with_a_killed_starter(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", ORPHAN, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        check=False,
        timeout=60,
    )
    # The follower holds our end of the pipe too: run() returned, so it has ended or let go of it.
    pid = int(run.stdout)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and _state(pid) != "Z" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists() or _state(pid) == "Z"


def _state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def test_lines_are_json(tmp_path, recorder):
    recording = recorder.open(SESSION, TARGET, "c\n{}", {})
    recording.intent(Statement("SELECT '\n{\"forged\": true}'", number=1), FACTS, Permit(""))
    recording.close("end")
    AuditTrail(tmp_path).catch_up()
    assert all(json.loads(text)["metadata"]["log_name"] == recording.id for text in lines(tmp_path))


class Far:
    """A sink that takes nothing until it is told to."""

    name = "far"

    def __init__(self):
        self.got = []
        self.up = False

    def put(self, batch):
        ids = [event["metadata"]["uid"] for event in batch]
        if not self.up:
            return set(ids)
        self.got += ids
        return set()


def test_sinks_get_what_others_projected_and_a_failing_one_is_told_and_an_audit_event(tmp_path, recorder, capsys):
    recording = recorder.open(SESSION, TARGET, "c", {})
    work(recording, 1, 5)
    recording.close("end")
    AuditTrail(tmp_path).catch_up()  # as `blastwall audit ls` does: the sinks must not miss what it took over
    far, clock = Far(), ManualClock(1_800_000_000.0)
    turns = iter(range(6))

    def gone(_):
        clock.advance(100)
        turn = next(turns)
        far.up = turn >= 4
        return turn == 5

    follow(tmp_path, gone, [far], clock)
    (told,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert (told["Sink"], told["UndeliveredAuditEvents"]) == ("far", 8)
    assert told["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Blastwall"
    found = trail(tmp_path)
    assert [event["unmapped"]["blastwall"].get("event") for event in found.values()].count("sink_failing") == 1
    assert sorted(far.got) == sorted(found)


def test_what_leaves_the_disk_is_read_first(tmp_path, recorder):
    """A recording is closed, kept elsewhere and taken off the disk before anybody has looked at it."""
    (tmp_path / "audit").mkdir()
    keeper = AuditTrail(tmp_path)
    begun = recorder.open(SESSION, TARGET, "c-1", {})
    work(begun, 1, 4)
    keeper.catch_up()
    unseen = recorder.open(SESSION, TARGET, "c-2", {})
    work(unseen, 1, 4)
    for recording in (begun, unseen):
        recording.close("end")
    expected = reprojected(tmp_path)
    for recording in (begun, unseen):
        retire(Shelf(tmp_path).find(recording.id).path)
    assert not list(Shelf(tmp_path).entries())
    keeper.catch_up()
    assert trail(tmp_path) == expected
    assert len(lines(tmp_path)) == len(expected)
    assert not list(tmp_path.rglob("*.bwr"))
    assert not list((tmp_path / "audit" / ".places").iterdir())


def test_a_disk_that_no_trail_follows_lets_go_at_once(tmp_path, recorder):
    recording = recorder.open(SESSION, TARGET, "c", {})
    recording.close("end")
    retire(Shelf(tmp_path).find(recording.id).path)
    assert not list(tmp_path.rglob("*.bwr"))
    assert not (tmp_path / "audit").exists()


def test_only_old_days_that_every_sink_has_read_are_removed(tmp_path, recorder):
    far, clock = Far(), ManualClock()
    boxes = [Outbox(tmp_path / "audit" / "outbox", far, clock, lambda alarm: None)]
    (tmp_path / "audit" / "2020-01-01.jsonl").write_text('{"metadata":{"uid":"r-1"},"time":1}\n')
    assert AuditTrail(tmp_path, boxes).prune(7) == 0, "nobody has read it"
    recorder.open(SESSION, TARGET, "c", {}).close("end")
    kept = AuditTrail(tmp_path, boxes)
    kept.catch_up()
    kept.deliver()
    assert AuditTrail(tmp_path).prune(7) == 0, "without a sink this is all there is"
    assert kept.prune(7) == 1
    assert [path.name for path in (tmp_path / "audit").glob("*.jsonl")] != []


def test_a_start_tries_again_what_was_set_aside(tmp_path, recorder):
    recorder.open(SESSION, TARGET, "c", {}).close("end")
    far = Far()
    far.up = True
    aside = tmp_path / "audit" / "outbox" / "far" / "undeliverable"
    aside.mkdir(parents=True)
    (aside / "x.json").write_text('{"metadata":{"uid":"r-poison"},"time":1}\n')
    follow(tmp_path, lambda _: True, [far], ManualClock())
    assert "r-poison" in far.got
    assert not list(aside.iterdir())


def test_what_another_completes_is_projected_to_its_end(tmp_path, recorder):
    """A writer that was killed leaves no end; its recording gets one later, and the trail with it."""
    recording = recorder.open(SESSION, TARGET, "c-1", {})
    work(recording, 0, 3)
    recording.commit()
    audit = AuditTrail(tmp_path)
    before = audit.catch_up()
    path = Shelf(tmp_path).find(recording.id).path
    half = path.read_bytes()
    recording.close("the client left")
    whole = path.read_bytes()
    path.write_bytes(half)  # as it stood when nobody held it any more
    assert audit.catch_up() == 0
    path.write_bytes(whole)
    assert audit.catch_up() > 0
    assert trail(tmp_path) == reprojected(tmp_path)
    assert before >= 3
    assert audit._open == {}


def test_the_follower_lets_the_data_path_go_first(tmp_path):
    follower = Follower(tmp_path)
    try:
        pid = follower._process.pid
        deadline = time.monotonic() + 30
        while (
            os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0) and time.monotonic() < deadline
        ):
            time.sleep(0.02)
        assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICE)
        while os.getsid(pid) != pid and time.monotonic() < deadline:
            time.sleep(0.02)
        assert os.getsid(pid) == pid, "a nice value counts only within a session where the kernel shares by session"
    finally:
        follower.close()
