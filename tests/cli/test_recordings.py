"""The verbs on recordings, as a user types them."""

from __future__ import annotations

import csv
import io
import json
import re
import struct

import pytest

from blastwall.local.clock import SystemClock
from blastwall.local.recorder import LocalRecorder
from blastwall.local.recordings import Shelf
from blastwall.local.signer import load_signer
from blastwall.model import Denial, DenialCode, Effect, Facts, Masked, Permit, Principal, Session, Statement, Target
from cli.__main__ import run

HOSTILE_AGENT = "agent\x1b[31m[bold]x"
FACTS = Facts(Effect.READ, "select", fingerprint="f" * 16)


def frame(kind, body):
    return kind + struct.pack(">I", len(body) + 4) + body


RESULT = (
    frame(b"T", b"\0\1id\0" + struct.pack(">IhIhih", 0, 0, 23, 4, -1, 0))
    + b"".join(frame(b"D", b"\0\1\0\0\0\1%d" % n) for n in range(5))
    + frame(b"C", b"SELECT 5\0")
)


def record(state, protocol="postgres", close=True, signed=True, agent=HOSTILE_AGENT):
    recorder = LocalRecorder(state, SystemClock(), signer=load_signer(state / "keys") if signed else None)
    session = Session("session-1", Principal("i", "s", agent), "shop", 0.0, 1.0)
    recording = recorder.open(session, Target("shop", protocol, "db", 5432), "c-1", {})
    recording.intent(Statement("SELECT id FROM orders", number=1), FACTS, Permit("SELECT id FROM orders"))
    recording.relayed(Masked(RESULT, 1, 5, "SELECT 5"))
    recording.intent(Statement("DROP TABLE x", number=2), FACTS, Denial(DenialCode.POLICY, "Not allowed."))
    recording.commit()
    if close:
        recording.close("client closed")
    return recording


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("BLASTWALL_STATE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


def call(capsys, *arguments):
    code = run(["recordings", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_ls_tells_what_there_is(state, capsys):
    done = record(state)
    live = record(state, close=False)
    code, out, _ = call(capsys, "ls")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines()[1:] if line[:1].strip()}
    assert re.search(r"shop +\d{4}-\d\d-\d\d \d\d:\d\dZ +0\.\d s +2 +1 +complete +session-1", lines[done.id])
    assert "live" in lines[live.id]
    assert "\x1b" not in out
    assert "\\x1b[31m[bold]x" in out.replace("\n", "").replace(" ", "")
    code, out, _ = call(capsys, "ls", "--format", "json", "--limit", "1")
    (only,) = map(json.loads, out.splitlines())
    assert (only["id"], only["agent"], only["denied"], only["state"]) == (live.id, HOSTILE_AGENT, 1, "live")


def test_ls_of_nothing_says_where_it_looked(state, capsys):
    code, out, err = call(capsys, "ls")
    assert (code, out, "no recordings in" in err, str(state) in err) == (0, "", True, True)


def test_ls_of_a_state_directory_that_is_none_is_a_mistake(state, capsys):
    code, out, err = call(capsys, "ls", "--state", str(state / "mistyped"))
    assert (code, out) == (4, "")
    assert "there is no state directory" in err and "give --state" in err


def test_lines_are_whole_in_a_pipe_and_narrow_on_a_narrow_terminal(state, capsys, monkeypatch):
    done = record(state)
    monkeypatch.delenv("COLUMNS", raising=False)
    _, out, _ = call(capsys, "ls")
    assert any(done.id in line and "session-1" in line for line in out.splitlines())
    monkeypatch.setenv("COLUMNS", "60")
    _, out, _ = call(capsys, "ls")
    assert done.id not in out and done.id[:12] in out
    assert "shop" in out and "complete" in out and "[bold]x" in out.replace("\n", "").replace(" ", "")
    assert all(len(line) <= 60 for line in out.splitlines())


def test_verify_knows_the_local_key(state, capsys):
    one, two = record(state), record(state)
    assert call(capsys, "verify", one.id[:8])[0] == 0
    code, out, _ = call(capsys, "verify", "--all")
    assert (code, out.count("intact")) == (0, 2)
    path = Shelf(state).find(two.id).path
    data = bytearray(path.read_bytes())
    data[-200] ^= 1
    path.write_bytes(data)
    code, out, _ = call(capsys, "verify", "--all", "--format", "json")
    found = {item["id"]: item for item in map(json.loads, out.splitlines())}
    assert code == 1
    assert (found[one.id]["state"], found[two.id]["state"]) == ("intact", "tampered")
    assert found[two.id]["offset"] > 0
    code, out, _ = call(capsys, "verify", two.id)
    assert (code, "tampered" in out, "at byte" in out) == (1, True, True)


def test_verify_with_another_key_is_tampering(state, capsys, tmp_path_factory):
    recording = record(state)
    other = tmp_path_factory.mktemp("other")
    load_signer(other)
    code, out, _ = call(capsys, "verify", recording.id, "--key", str(other / "recording.pub"))
    assert (code, "not trusted" in out) == (1, True)


def test_verify_of_what_is_not_whole_is_no(state, capsys):
    unsigned, live = record(state, signed=False), record(state, close=False)
    code, out, _ = call(capsys, "verify", unsigned.id)
    assert (code, "unsigned" in out) == (1, True)
    code, out, _ = call(capsys, "verify", live.id)
    assert (code, "truncated" in out, "still being written" in out) == (1, True, True)


@pytest.mark.parametrize(
    "arguments", [("verify", "--all"), ("verify", "x"), ("play", "x"), ("follow", "x"), ("export", "x")]
)
def test_a_wrong_state_directory_is_not_one_where_all_is_well(state, capsys, arguments):
    code, out, err = call(capsys, *arguments, "--state", str(state / "typo"))
    assert (code, out, "there is no state directory" in err) == (4, "", True)
    assert not (state / "typo").exists()


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_is_no_recording_is_said_and_the_others_are_still_verified(state, capsys, form):
    first, broken, last = record(state), record(state), record(state)
    (file,) = state.glob(f"recordings/*/{broken.id}.bwr")
    file.write_bytes(b"{}" + file.read_bytes())
    code, out, err = call(capsys, "verify", "--all", "--format", form)
    assert (code, err) == (1, "")
    lines = {line.split('"id": "')[-1][:16]: line for line in out.splitlines()}
    assert "unreadable" in lines[broken.id] and "magic" in lines[broken.id]
    assert "intact" in lines[first.id] and "intact" in lines[last.id]


def test_what_cannot_be_opened_hides_nothing_else(state, capsys):
    whole, gone = record(state), record(state)
    (file,) = state.glob(f"recordings/*/{gone.id}.bwr")
    file.unlink()
    file.mkdir()
    code, out, _ = call(capsys, "verify", "--all")
    assert code == 1 and f"{whole.id}  intact" in out and f"{gone.id}  unreadable" in out
    code, out, _ = call(capsys, "ls", "--format", "json")
    assert code == 0
    assert {line["id"]: line["state"] for line in map(json.loads, out.splitlines())} == {
        whole.id: "complete",
        gone.id: "unreadable",
    }


def test_verifying_nothing_says_that_it_was_nothing(state, capsys):
    code, out, err = call(capsys, "verify", "--all")
    assert (code, out, "nothing was verified" in err) == (0, "", True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("verify",), 2, "--all"),
        (("ls", "--limit", "99999999999999999999"), 2, "--limit"),
        (("verify", "x", "--all"), 2, "--all"),
        (("play", "nothing"), 1, "No recording's id begins with"),
        (("follow", "nothing"), 1, "No recording's id begins with"),
        (("export", "nothing"), 1, "No recording's id begins with"),
        (("verify", "nothing"), 1, "No recording's id begins with"),
        (("play", "x", "--speed", "0"), 2, "speed"),
        (("export", "x", "--format", "mp4"), 2, "asciicast"),
    ],
)
def test_mistakes_are_explained(state, capsys, arguments, code, said):
    found, _, err = call(capsys, *arguments)
    assert (found, said in err) == (code, True), err


def test_play_shows_statements_verdicts_and_results(state, capsys):
    recording = record(state)
    code, out, _ = call(capsys, "play", recording.id[:6], "--no-wait", "--rows", "2")
    assert code == 0
    for expected in (
        "#1 permit",
        "│ SELECT id FROM orders",
        "… 3 more",
        "SELECT 5",
        "#2 denied",
        "Not allowed.",
        "■ client closed",
    ):
        assert expected in out
    assert "\x1b" not in out


def test_play_as_json_gives_one_value_a_line(state, capsys):
    recording = record(state)
    _, out, _ = call(capsys, "play", recording.id, "--format", "json")
    values = [json.loads(line) for line in out.splitlines()]
    assert [value["type"] for value in values] == ["opened", "asked", "table", "done", "asked", "ended"]
    assert values[2]["rows"] == [["0"], ["1"], ["2"], ["3"], ["4"]]
    assert values[4]["verdict"] == "denied"


@pytest.mark.parametrize("protocol", ["nosuch", "../postgres", "postgres.replay", "", "__pycache__"])
def test_a_recording_cannot_choose_what_is_imported(state, capsys, protocol):
    recording = record(state, protocol=protocol)
    code, out, _ = call(capsys, "play", recording.id, "--no-wait")
    assert code == 0
    assert "no decoder for playback" in out


def test_exports(state, capsys, tmp_path):
    recording = record(state)
    _, out, _ = call(capsys, "export", recording.id)
    header, *events = map(json.loads, out.splitlines())
    assert header["version"] == 2
    assert len(events) == 6
    target = tmp_path / "out.csv"
    assert call(capsys, "export", recording.id, "--format", "csv", "-o", str(target))[0] == 0
    rows = list(csv.reader(io.StringIO(target.read_text(), newline="")))
    assert [row[3] for row in rows] == ["verdict", "permit", "denied"]
    code, _, err = call(capsys, "export", recording.id, "--format", "csv", "-o", str(target))
    assert (code, "exists already" in err) == (2, True)
    _, out, _ = call(capsys, "export", recording.id, "--format", "html")
    assert out.startswith("<!doctype html>")
    assert "SELECT id FROM orders" in out


def test_what_is_no_recording_is_said_to_be_none(state, capsys):
    recording = record(state)
    Shelf(state).find(recording.id).path.with_name("junk.bwr").write_bytes(b"GIF89a....................")
    code, _, err = call(capsys, "play", "junk")
    assert (code, "not a Blastwall recording" in err) == (3, True)
