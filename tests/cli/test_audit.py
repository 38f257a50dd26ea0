"""``blastwall audit ls``: complete without anybody having run anything before, filtered, harmless."""

from __future__ import annotations

import csv
import io
import json
import re
import time

import click
import pytest

from blastwall.local.clock import ManualClock, SystemClock
from blastwall.local.recorder import LocalRecorder
from blastwall.model import Denial, DenialCode, Effect, Facts, Permit, Principal, Session, Statement, Target
from cli.__main__ import run
from cli.audit import moment

FACTS = Facts(Effect.READ, "select", fingerprint="f" * 16)


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("BLASTWALL_STATE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "140")
    return tmp_path


def record(state, agent="agent-1", target="shop", clock=None, text="SELECT 1"):
    recorder = LocalRecorder(state, clock or SystemClock())
    session = Session("s", Principal("i", "s", agent), target, 0.0, 1.0)
    recording = recorder.open(session, Target(target, "postgres", "db", 5432), "c", {})
    recording.intent(Statement(text, number=1), FACTS, Permit(text))
    recording.intent(Statement("DROP TABLE t", number=2), FACTS, Denial(DenialCode.POLICY, "no"))
    recording.close("client closed")
    return recording


def events(capsys, *arguments):
    assert run(["audit", "ls", "--format", "json", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_what_was_just_recorded_is_there(state, capsys):
    recording = record(state)
    found = events(capsys)
    assert [event["class_uid"] for event in found] == [6005, 6005, 3002]
    assert {event["metadata"]["log_name"] for event in found} == {recording.id}
    assert events(capsys) == found


def test_filters(state, capsys):
    record(state, "agent-1", "shop")
    record(state, "agent-2", "shop")
    record(state, "agent-1", "bank", clock=ManualClock(1_600_000_000.0))
    assert len(events(capsys)) == 9
    assert len(events(capsys, "--agent", "agent-1")) == 6
    assert len(events(capsys, "--agent", "agent-1", "--target", "bank")) == 3
    assert len(events(capsys, "--decision", "denied")) == 3
    assert len(events(capsys, "--since", "1h")) == 6
    assert len(events(capsys, "--since", "2020-01-01", "--decision", "permit", "--target", "shop")) == 2
    assert len(events(capsys, "--limit", "2")) == 2
    assert events(capsys, "--agent", "nobody") == []


def test_the_table_is_harmless(state, capsys):
    record(state, "agent\x1b[2J", text="SELECT '\x1b]0;x\x07[bold]y'\n2026-01-01 forged row")
    assert run(["audit", "ls"]) == 0
    out = capsys.readouterr().out
    assert all(character.isprintable() or character == "\n" for character in out)
    assert "\\x1b]0;x\\x07[bold]y" in out.replace("\n", "").replace(" ", "")
    assert "denied" in out


def test_nothing_is_said_to_be_nothing(state, capsys):
    assert run(["audit", "ls"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "no such audit events\n")
    assert not (state / "audit").exists(), "looking makes nothing"


def test_a_state_directory_that_is_none_is_a_mistake(state, capsys):
    for verb in (("ls",), ("query", "SELECT 1")):
        assert run(["audit", *verb, "--state", str(state / "mistyped")]) == 4
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "there is no state directory" in captured.err


def test_in_a_pipe_an_event_is_a_line(state, capsys, monkeypatch):
    record(state, "agent-with-a-name", text="SELECT id, name, email FROM customers WHERE city = 'Ghent' ORDER BY name")
    monkeypatch.delenv("COLUMNS")
    assert run(["audit", "ls"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if "ORDER BY name" in line]
    assert "agent-with-a-name" in line and "permit" in line
    assert len(lines) == 4


def test_a_narrow_terminal_breaks_no_name(state, capsys, monkeypatch):
    record(state, "agent-with-a-name")
    monkeypatch.setenv("COLUMNS", "60")
    assert run(["audit", "ls"]) == 0
    out = capsys.readouterr().out
    assert "agent-with-a-name at shop" in out
    assert all(len(line) <= 60 for line in out.splitlines())


def test_more_columns_than_a_terminal_has_are_shown_one_below_the_other(state, capsys):
    record(state)
    assert run(["audit", "query", "SELECT * FROM audit_events WHERE class_uid = 6005"]) == 0
    out = capsys.readouterr().out
    assert "row 1" in out and "row 2" in out
    assert re.search(r"^class_uid +6005", out, re.MULTILINE)
    assert run(["audit", "query", "SELECT class_uid, message FROM audit_events"]) == 0
    assert "row 1" not in capsys.readouterr().out
    assert run(["audit", "query", "SELECT * FROM audit_events WHERE class_uid = 1"]) == 0
    assert capsys.readouterr().err == "no rows\n"


def test_what_has_parts_is_json_in_every_format(state, capsys):
    record(state)
    sql = "SELECT metadata FROM audit_events LIMIT 1"
    assert run(["audit", "query", sql, "--format", "csv"]) == 0
    (_, (found,)) = csv.reader(io.StringIO(capsys.readouterr().out))
    assert json.loads(found)["product"]["name"] == "Blastwall"
    assert run(["audit", "query", sql]) == 0
    assert '"product": {"name": "Blastwall"' in capsys.readouterr().out.replace("\n", "")


def test_times():
    now = time.time()
    assert moment("90s", now) == now - 90
    assert moment("15m", now) == now - 900
    assert moment("7d", now) == now - 7 * 86_400
    assert moment("2027-01-15", now) == 1_799_971_200
    assert moment("2027-01-15T01:00+01:00", now) == 1_799_971_200
    with pytest.raises(click.BadParameter, match="neither"):
        moment("yesterday", now)


def test_a_time_nobody_understands_is_a_mistake_of_the_command_line(state, capsys):
    assert run(["audit", "ls", "--since", "soon"]) == 2
    assert "--since" in capsys.readouterr().err


def test_query_answers_over_what_was_just_recorded(state, capsys):
    record(state, text="SELECT '\x1b]0;owned\x07=1+1'")
    sql = 'SELECT actor.user.name AS agent, query_info.query_string AS "said\x1b[31m" FROM audit_events WHERE action_id = 1'
    assert run(["audit", "query", sql]) == 0
    out = capsys.readouterr().out
    assert "agent-1" in out
    assert "\x1b" not in out
    assert "\\x1b]0;owned" in out
    assert run(["audit", "query", "SELECT '=1+1' AS a", "--format", "csv"]) == 0
    assert capsys.readouterr().out.split() == ["a", "'=1+1"]
    assert run(["audit", "query", "SELECT 1 AS a UNION ALL SELECT 2", "--format", "json", "--limit", "1"]) == 0
    found = capsys.readouterr()
    assert (json.loads(found.out), "--limit" in found.err) == ({"a": 1}, True)


def test_query_refuses_in_words(state, capsys):
    assert run(["audit", "query", "DROP TABLE audit_events"]) == 4
    assert "one SELECT" in capsys.readouterr().err
    assert run(["audit", "query", "SELECT 1", "--since", "yesterday"]) == 2
    assert "2026-11-22" in capsys.readouterr().err
