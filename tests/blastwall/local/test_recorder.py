"""The local recorder on a real disk: modes, kills, full disks."""

from __future__ import annotations

import io
import os
import random
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from blastwall.errors import RecordingFault
from blastwall.local.clock import ManualClock
from blastwall.local.recorder import FileSink, LocalRecorder
from blastwall.local.recordings import Entry, Shelf
from blastwall.local.signer import load_signer, trusted_keys
from blastwall.model import Effect, Facts, Masked, Permit, Principal, Secret, Session, Statement, Target
from blastwall.recording.codec import FormatFault
from blastwall.recording.reader import Reader
from blastwall.recording.records import Intent, Relayed
from blastwall.recording.verify import State

FACTS = Facts(Effect.READ, "select", fingerprint="f" * 16)
SESSION = Session("session-1", Principal("iss", "sub", "agent-1"), "shop", 0.0, 1.0)
TARGET = Target("shop", "postgres", "db", 5432)


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def recorder(state):
    made = LocalRecorder(
        state, ManualClock(), signer=load_signer(state / "keys"), known=lambda session: [Secret("topsecret")]
    )
    yield made
    made.close()


@pytest.fixture
def trusted(state, recorder):
    return trusted_keys(state / "keys" / "recording.pub")


def ask(recording, number, text="SELECT 1"):
    recording.intent(Statement(text, number=number), FACTS, Permit(text))


def test_recordings_are_for_their_owner_alone(state, recorder):
    old = os.umask(0)
    try:
        recording = recorder.open(SESSION, TARGET, "c-1", {})
        recording.close("end")
    finally:
        os.umask(old)
    root = state / "recordings"
    found = {path.relative_to(root).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in [root, *root.rglob("*")]}
    assert found == {
        ".": 0o700,
        "2027-01-15": 0o700,
        f"2027-01-15/{recording.id}.bwr": 0o600,
        f"2027-01-15/{recording.id}.manifest.json": 0o600,
    }


def test_a_closed_recording_is_intact_and_listed(recorder, trusted, state):
    recording = recorder.open(SESSION, TARGET, "c-1", {"policy_version": "p"})
    ask(recording, 1, "SELECT 'topsecret'")
    recording.commit()
    recording.relayed(Masked(b"rows", 1, 4, "SELECT 4"))
    entry = Shelf(state).find(recording.id[:6])
    assert entry.summary()["state"] == "live"
    recording.close("client closed")
    assert entry.verify(trusted).state is State.INTACT
    assert b"topsecret" not in entry.path.read_bytes()
    (listed,) = recorder.list()
    assert listed["state"] == "complete"
    assert (listed["agent"], listed["target"], listed["statements"], listed["rows"]) == ("agent-1", "shop", 1, 4)


def test_what_was_not_closed_is_truncated_and_counted(recorder, trusted, state):
    recording = recorder.open(SESSION, TARGET, "c-1", {})
    for number in range(1, 4):
        ask(recording, number)
    recording.relayed(Masked(b"rows", 3, 2))
    recording.commit()
    recording._blocks.close()  # as the kernel does for a killed process: the lock goes, no end is written
    entry = Shelf(state).find(recording.id)
    summary = entry.summary()
    assert (summary["state"], summary["statements"], summary["rows"]) == ("truncated", 3, 2)
    assert entry.verify(trusted).state is State.TRUNCATED


async def test_reading_gives_the_files_bytes(recorder, state):
    recording = recorder.open(SESSION, TARGET, "c-1", {})
    recording.relayed(Masked(os.urandom(700_000), 1))
    recording.close("end")
    read = b"".join([chunk async for chunk in recorder.read(recording.id)])
    assert read == Shelf(state).find(recording.id).path.read_bytes()
    with pytest.raises(RecordingFault, match="begins with"):
        async for _ in recorder.read("nothing"):
            pass


@pytest.mark.parametrize("prefix", ["", "../../etc", "*", "0000000000000000000000"])
def test_a_prefix_finds_one_recording_or_says_why_not(state, prefix):
    ids = iter(["aa11", "aa22", "ab", "aa1"])
    recorder = LocalRecorder(state, ManualClock(), new_id=lambda: next(ids))
    for _ in range(4):
        recorder.open(SESSION, TARGET, "c", {}).close("end")
    shelf = Shelf(state)
    assert shelf.find("ab").id == "ab"
    assert shelf.find("aa1").id == "aa1", "a whole id is never ambiguous"
    with pytest.raises(RecordingFault, match="3 recordings begin with"):
        shelf.find("aa")
    with pytest.raises(RecordingFault):
        shelf.find(prefix)
    recorder.close()


def test_an_id_is_used_once(state):
    recorder = LocalRecorder(state, ManualClock(), new_id=lambda: "same")
    recorder.open(SESSION, TARGET, "c", {})
    with pytest.raises(RecordingFault, match="could not be begun"):
        recorder.open(SESSION, TARGET, "c", {})
    recorder.close()


def test_flush_writes_what_no_commit_wrote(recorder, state):
    recording = recorder.open(SESSION, TARGET, "c-1", {})
    recording.relayed(Masked(b"answer", 1))
    path = Shelf(state).find(recording.id).path
    assert b"answer" not in path.read_bytes()
    recorder.flush()
    assert b"answer" in path.read_bytes()


WRITER = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from blastwall.local.recorder import LocalRecorder
    from blastwall.local.clock import SystemClock
    from blastwall.model import *
    state, compress = Path(sys.argv[1]), sys.argv[2] == "zstd"
    recorder = LocalRecorder(state, SystemClock(), compress=compress)
    session = Session("s", Principal("i", "s", "agent"), "shop", 0.0, 1.0)
    recording = recorder.open(session, Target("shop", "postgres", "h", 1), "c", {})
    facts = Facts(Effect.READ, "select")
    number = 0
    while True:
        number += 1
        text = f"SELECT {number}"
        recording.intent(Statement(text, number=number), facts, Permit(text))
        recording.commit()
        sys.stdout.write(f"{number}\\n"); sys.stdout.flush()
        recording.relayed(Masked(b"x" * (number * 7919 % 90_000), number))
    """
)


@pytest.mark.parametrize("attempt", range(10))
def test_a_killed_writer_leaves_a_prefix_with_every_committed_intent(state, trusted, attempt):
    """REC-012: the loss is at most what was not committed, and the file says truncated, not tampered."""
    wait = random.Random(attempt)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(state), "zstd" if attempt % 2 else "plain"],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
        bufsize=0,
    ) as process:
        stop_after = wait.randint(1, 150)
        seen = b""
        while seen.count(b"\n") < stop_after:
            piece = os.read(process.stdout.fileno(), 65_536)
            assert piece, "the writer died by itself"
            seen += piece
        # A moment of no meaning, so that kills land inside writes too; nothing is awaited here.
        time.sleep(wait.random() / 500)
        process.send_signal(signal.SIGKILL)
        seen += process.stdout.read()
    committed = int(seen[: seen.rindex(b"\n")].split(b"\n")[-1])
    (entry,) = Shelf(state).entries()
    verdict = entry.verify(trusted)
    assert verdict.state is State.TRUNCATED, verdict
    with entry.open() as file:
        reader = Reader(file)
        found = list(reader.records())
    intents = [record.statement for record in found if isinstance(record, Intent)]
    assert intents[:committed] == list(range(1, committed + 1))
    assert all(len(record.data) == record.statement * 7919 % 90_000 for record in found if isinstance(record, Relayed))
    assert entry.summary()["state"] == "truncated"


FULL = textwrap.dedent(
    """
    import resource, signal, sys
    from pathlib import Path
    from blastwall.errors import RecordingFault
    from blastwall.local.recorder import LocalRecorder
    from blastwall.local.clock import SystemClock
    from blastwall.model import *
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    recorder = LocalRecorder(Path(sys.argv[1]), SystemClock())
    session = Session("s", Principal("i", "s", "agent"), "shop", 0.0, 1.0)
    recording = recorder.open(session, Target("shop", "postgres", "h", 1), "c", {})
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    written = 0
    try:
        while True:
            recording.intent(Statement("x" * 900, number=written + 1), Facts(Effect.READ, "select"), Permit(""))
            recording.commit()
            written += 1
    except RecordingFault as fault:
        print(written, fault)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    try:
        recording.commit()
    except RecordingFault:
        print("still refused")
    recording.close("end")
    """
)


def test_a_disk_that_takes_only_half_of_a_block_stops_the_recording(state, trusted):
    """RLIMIT_FSIZE makes the kernel take a part of the last write: a short write, then EFBIG."""
    run = subprocess.run(
        [sys.executable, "-c", FULL, str(state)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        timeout=60,
        check=True,
    )
    first, again = run.stdout.splitlines()
    written, said = first.split(" ", 1)
    assert "could not be written" in said
    assert "Nothing runs unrecorded" in said
    assert again == "still refused"
    (entry,) = Shelf(state).entries()
    assert entry.path.stat().st_size == 20_000
    verdict = entry.verify(trusted)
    assert verdict.state is State.TRUNCATED
    with entry.open() as file:
        intents = [record for record in Reader(file).records() if isinstance(record, Intent)]
    assert len(intents) == int(written)


def test_a_full_device_is_a_fault_that_names_it(tmp_path):
    sink = FileSink(tmp_path / "x")
    device = os.open("/dev/full", os.O_WRONLY)
    os.dup2(device, sink._file)
    os.close(device)
    with pytest.raises(OSError, match="No space left"):
        sink.write((b"head", b"payload"), 11)
    sink.close()


def test_a_directory_that_cannot_be_written_is_a_fault(tmp_path):
    (tmp_path / "recordings").write_text("a file where a directory should be")
    recorder = LocalRecorder(tmp_path, ManualClock())
    with pytest.raises(RecordingFault, match="could not be begun") as caught:
        recorder.open(SESSION, TARGET, "c", {})
    assert str(tmp_path) not in str(caught.value), "an agent reads it"
    recorder.close()


def test_other_files_among_recordings_do_no_harm(state, recorder):
    recorder.open(SESSION, TARGET, "c", {}).close("end")
    day = next((state / "recordings").iterdir())
    (day / "notes.txt").write_text("x")
    (day / "zz.bwr").write_bytes(b"not a recording at all")
    (day / "yy.bwr").write_bytes(b"")
    (state / "recordings" / "lost+found").mkdir()
    found = {entry["id"]: entry["state"] for entry in recorder.list()}
    assert found.pop("zz") == "unreadable"
    assert found.pop("yy") == "unreadable"
    assert list(found.values()) == ["complete"]
    with pytest.raises(FormatFault):
        Shelf(state).find("zz").verify({})
    assert isinstance(Shelf(state).find("zz").open(), io.BufferedReader)


def test_a_recording_is_live_from_the_moment_it_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever finds one that nobody holds believes that nothing more will come."""
    found: list[bool] = []
    link = os.link

    def looked_at(source: Path, target: Path) -> None:
        assert not [file for file in tmp_path.iterdir() if file.name.endswith(".bwr")]
        link(source, target)
        found.append(Entry(target).live())

    monkeypatch.setattr(os, "link", looked_at)
    FileSink(tmp_path / "0123456789abcdef.bwr").close()
    assert found == [True]
    assert [file.name for file in tmp_path.iterdir()] == ["0123456789abcdef.bwr"]


def test_a_recording_is_never_made_over_another(tmp_path: Path) -> None:
    path = tmp_path / "0123456789abcdef.bwr"
    path.write_bytes(b"what was recorded")
    with pytest.raises(FileExistsError):
        FileSink(path)
    assert path.read_bytes() == b"what was recorded"
    assert list(tmp_path.iterdir()) == [path]


def test_a_manifest_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing may look while a recording is closed: it must not find half a manifest."""
    seen: list[bytes] = []
    link = os.link

    def looked_at(source: Path, target: Path) -> None:
        assert not Path(target).exists()
        link(source, target)
        seen.append(Path(target).read_bytes())

    sink = FileSink(tmp_path / "0123456789abcdef.bwr")
    monkeypatch.setattr(os, "link", looked_at)
    sink.seal(b"the whole manifest")
    sink.close()
    assert seen == [b"the whole manifest"]
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "0123456789abcdef.bwr",
        "0123456789abcdef.manifest.json",
    ]
