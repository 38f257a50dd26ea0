"""Reading is decided by policy and is itself recorded: who, which, how, and that somebody tried to."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading

import pytest

from blastwall.local.audit import AuditTrail
from blastwall.local.clock import SystemClock
from blastwall.local.recorder import LocalRecorder
from blastwall.local.recordings import Shelf
from blastwall.local.signer import load_signer
from blastwall.model import Effect, Facts, Permit, Principal, Session, Statement, Target
from cli.__main__ import run
from rig.issuer import LocalIssuer

FACTS = Facts(Effect.READ, "select", fingerprint="f" * 16)
ANA = Principal("i", "agent-7", "reporter", frozenset({"agents"}), "ana")


@pytest.fixture
def state(tmp_path, monkeypatch):
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    monkeypatch.setenv("BLASTWALL_STATE", str(state))
    monkeypatch.delenv("BLASTWALL_TOKEN", raising=False)
    monkeypatch.setenv("COLUMNS", "160")
    return state


@pytest.fixture
def config(tmp_path):
    shutil.copytree("config", tmp_path / "config")
    return tmp_path / "config"


def record(state, *, close=True, target="shop", principal=ANA, session="session-1"):
    recorder = LocalRecorder(state, SystemClock(), signer=load_signer(state / "keys"))
    recording = recorder.open(
        Session(session, principal, target, 0.0, 1.0), Target(target, "postgres", "db", 5432), "c", {}
    )
    recording.intent(Statement("SELECT secret_thing", number=1), FACTS, Permit("SELECT secret_thing"))
    recording.commit()
    if close:
        recording.close("client closed")
    return recording


def token(state, name, *groups, audience=None, **more):
    issuer = LocalIssuer.open(state)
    return issuer.mint(name, groups, aud=audience or issuer.audience + "/recordings", **more)


def readings(state):
    AuditTrail(state).catch_up()
    found = [
        event for event in AuditTrail(state).events() if event["unmapped"]["blastwall"].get("event") == "recording_read"
    ]
    return [
        (event["actor"]["user"]["name"], event["unmapped"]["blastwall"]["read"].get("how"), event["action_id"])
        for event in found
    ]


def call(capsys, *arguments):
    code = run(["recordings", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


READINGS = [
    ("play", ("play", "{id}", "--no-wait")),
    ("export asciicast", ("export", "{id}")),
    ("export csv", ("export", "{id}", "--format", "csv")),
    ("export html", ("export", "{id}", "--format", "html")),
    ("export json", ("export", "{id}", "--format", "json")),
    ("follow", ("follow", "{id}")),
]


@pytest.mark.parametrize(("how", "arguments"), READINGS)
def test_the_local_operator_reads_and_is_on_record(state, capsys, how, arguments):
    recording = record(state)
    code, out, _ = call(capsys, *(word.format(id=recording.id) for word in arguments), "--as", "bob")
    assert code == 0
    assert "secret_thing" in out
    assert readings(state) == [("bob", how, 1)]
    (event,) = [e for e in AuditTrail(state).events() if e["unmapped"]["blastwall"].get("event") == "recording_read"]
    assert event["unmapped"]["blastwall"]["read"] == {
        "recording": recording.id,
        "session": "session-1",
        "agent": "reporter",
        "how": how,
        "known_by": "the state directory",
    }
    assert event["dst_endpoint"]["name"] == "shop"


@pytest.mark.parametrize(("how", "arguments"), READINGS)
def test_who_may_not_read_sees_nothing_and_is_on_record(state, capsys, monkeypatch, how, arguments):
    recording = record(state)
    monkeypatch.setenv("BLASTWALL_TOKEN", token(state, "mallory", "agents"))
    code, out, err = call(capsys, *(word.format(id=recording.id) for word in arguments))
    assert code == 4
    assert "secret_thing" not in out + err
    assert "read-recording" in err
    assert readings(state) == [("mallory", how, 2)]


def test_a_token_file_says_who_reads(state, capsys, tmp_path):
    recording = record(state)
    file = tmp_path / "token"
    file.write_text(token(state, "eve", "auditors") + "\n")
    assert call(capsys, "play", recording.id, "--no-wait", "--token-file", str(file))[0] == 0
    assert readings(state) == [("eve", "play", 1)]


@pytest.mark.parametrize("audience", ["blastwall/approvals", "elsewhere"])
def test_a_token_for_something_else_reads_nothing(state, capsys, monkeypatch, audience):
    recording = record(state)
    monkeypatch.setenv("BLASTWALL_TOKEN", token(state, "eve", "auditors", audience=audience))
    code, out, _ = call(capsys, "play", recording.id, "--no-wait")
    assert (code, "secret_thing" in out) == (4, False)


def test_an_expired_or_forged_token_reads_nothing(state, capsys, monkeypatch):
    recording = record(state)
    good = token(state, "eve", "auditors")
    forged = good[:-4] + ("AAAA" if not good.endswith("AAAA") else "BBBB")
    for bad in (token(state, "eve", "auditors", iat=1_600_000_000, exp=1_600_003_600), forged, "nonsense"):
        monkeypatch.setenv("BLASTWALL_TOKEN", bad)
        code, out, _ = call(capsys, "play", recording.id, "--no-wait")
        assert (code, "secret_thing" in out) == (4, False)
    assert readings(state) == []


def test_an_agents_own_token_is_its_identity_and_policy_decides(state, capsys, monkeypatch, config):
    recording = record(state)
    monkeypatch.setenv("BLASTWALL_TOKEN", token(state, "ana", audience="blastwall"))
    assert call(capsys, "play", recording.id, "--no-wait", "--config", str(config))[0] == 4
    with (config / "policies" / "70-people.cedar").open("a") as file:
        file.write(
            '\n@id("own") permit (principal, action == Action::"read-recording", resource) when { context.own };\n'
        )
    assert call(capsys, "play", recording.id, "--no-wait", "--config", str(config))[0] == 0


def test_listing_shows_what_is_for_the_reader_and_is_on_record(state, capsys, monkeypatch, config):
    with (config / "policies" / "70-people.cedar").open("a") as file:
        file.write(
            '\n@id("not-the-bank") forbid (principal, action == Action::"read-recording", resource) when { resource.name == "bank" };\n'
        )
    mine, bank = record(state), record(state, target="bank")
    code, out, err = call(capsys, "ls", "--format", "json", "--config", str(config), "--as", "bob")
    assert code == 0
    assert [json.loads(line)["id"] for line in out.splitlines()] == [mine.id]
    assert "1 others are not for you" in err
    assert bank.id not in out + err
    assert readings(state) == [("bob", "list", 1)]
    _, out, _ = call(capsys, "ls", "--format", "json", "--all")
    assert len(out.splitlines()) == 3, "and the recording that says that somebody listed"


def test_what_cannot_be_put_on_record_is_not_shown(state, capsys):
    recording = record(state)
    place = Shelf(state).find(recording.id).path.parent
    place.rename(place.with_name("2020-01-01"))
    place.write_text("in the way")
    code, out, err = call(capsys, "play", recording.id, "--no-wait")
    assert (code, "secret_thing" in out) == (3, False)
    assert "could not be begun" in err


def test_audit_ls_tells_who_read_what(state, capsys):
    recording = record(state)
    call(capsys, "play", recording.id, "--no-wait", "--as", "bob")
    assert run(["audit", "ls", "--agent", "bob"]) == 0
    assert f"play {recording.id}" in capsys.readouterr().out


def test_verifying_needs_no_leave_and_leaves_no_trace(state, capsys, monkeypatch, tmp_path):
    recording = record(state)
    monkeypatch.setenv("BLASTWALL_TOKEN", "nonsense")
    assert call(capsys, "verify", recording.id)[0] == 0
    copied = tmp_path / f"{recording.id}.bwr"
    shutil.copy(Shelf(state).find(recording.id).path, copied)
    shutil.copy(state / "keys" / "recording.pub", tmp_path / "key.pem")
    monkeypatch.setenv("BLASTWALL_STATE", str(tmp_path / "nowhere"))
    code, out, _ = call(capsys, "verify", str(copied), "--key", str(tmp_path / "key.pem"))
    assert (code, "intact" in out) == (0, True)
    assert call(capsys, "verify", str(copied))[0] == 1, "without the key it is unsigned"
    assert call(capsys, "verify", str(tmp_path / "none.bwr"))[0] == 2
    assert readings(state) == []


def test_verifying_all_does_not_blame_what_is_still_written(state, capsys):
    record(state)
    live = record(state, close=False)
    code, out, _ = call(capsys, "verify", "--all")
    assert (code, "still being written" in out) == (0, True)
    assert call(capsys, "verify", live.id)[0] == 1


def test_following_a_session_of_another_process(state, capsys):
    """The writer is another process; its second connection comes while we look; the last words are shown."""
    script = (
        "import sys, pathlib; from tests.cli.test_reader import record\n"
        "state = pathlib.Path(sys.argv[1])\n"
        "one = record(state, close=False); print(one.id, flush=True); sys.stdin.readline()\n"
        "one.close('first left'); sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        id = writer.stdout.readline().strip()
        told = threading.Timer(0.6, lambda: (writer.stdin.write("\n"), writer.stdin.flush()))
        told.start()
        code, out, err = call(capsys, "follow", "session-1", "--format", "json")
        told.join()
        writer.stdin.write("\n")
        writer.stdin.flush()
        assert writer.wait(20) == 0
    assert (code, err) == (0, "")
    values = [json.loads(line) for line in out.splitlines()]
    assert [value["type"] for value in values] == ["opened", "asked", "ended"]
    assert values[-1]["reason"] == "first left"
    assert id
