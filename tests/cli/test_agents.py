"""``blastwall agents``: who has used the gateway, and who may not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from blastwall.local.clock import ManualClock, SystemClock
from blastwall.local.recorder import LocalRecorder
from blastwall.local.store import Store
from blastwall.model import (
    Denial,
    DenialCode,
    Effect,
    Facts,
    Permit,
    Principal,
    Session,
    Statement,
    StatementKind,
    Target,
)
from cli.__main__ import run

READ = Facts(Effect.READ, "select", fingerprint="f" * 16)
LONG_AGO = 1_600_000_000.0


@pytest.fixture
def state(tmp_path: Path) -> Path:
    state = tmp_path / "state"
    Store(state / "blastwall.db").close()
    return state


def use(state: Path, agent: str, session: str, at: float | None = None, person: str | None = None) -> None:
    """One connection: let in, one statement permitted, one denied, one held."""
    recorder = LocalRecorder(state, SystemClock() if at is None else ManualClock(at))
    principal = Principal("issuer", "subject", agent, on_behalf_of=person)
    opened = recorder.open(
        Session(session, principal, "shop", 0.0, 1.0), Target("shop", "postgres", "db", 5432), "c", {}
    )
    opened.intent(
        Statement("connect", StatementKind.CONNECT, number=0), Facts(Effect.SESSION, "connect"), Permit("connect")
    )
    opened.intent(Statement("SELECT 1", number=1), READ, Permit("SELECT 1"))
    opened.intent(Statement("DROP TABLE t", number=2), READ, Denial(DenialCode.POLICY, "no"))
    opened.intent(Statement("DELETE FROM t", number=3), READ, Denial(DenialCode.PENDING, "ask", ticket="a-1"))
    opened.close("the client left")
    recorder.close()


def listed(state: Path, capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert run(["agents", "ls", "--state", str(state), "--format", "json", *words]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_agent_is_locked_and_unlocked(state: Path) -> None:
    assert run(["agents", "lock", "bot", "--reason", "enough", "--state", str(state)]) == 0
    assert run(["agents", "unlock", "bot", "--state", str(state)]) == 0
    assert run(["agents", "unlock", "bot", "--state", str(state)]) == 1, "it was not locked any more"


def test_what_each_has_asked_is_counted(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    use(state, "bot", "s-1", person="ana")
    use(state, "bot", "s-1")
    use(state, "bot", "s-2", person="ben")
    use(state, "other", "s-3")
    rows = {row["agent"]: row for row in listed(state, capsys)}
    assert rows.keys() == {"bot", "other"}
    counts = ("sessions", "statements", "denied", "held", "people", "targets", "locked")
    assert [rows["bot"][name] for name in counts] == [2, 9, 3, 3, ["ana", "ben"], ["shop"], None]
    assert rows["bot"]["first_seen"] <= rows["bot"]["last_seen"]


def test_the_latest_comes_first_and_old_ones_on_demand(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    use(state, "old", "s-1", LONG_AGO)
    use(state, "new", "s-2")
    assert [row["agent"] for row in listed(state, capsys)] == ["new"]
    assert [row["agent"] for row in listed(state, capsys, "--since", "2020-01-01")] == ["new", "old"]
    assert listed(state, capsys, "--since", "2020-01-01")[1]["last_seen"] == LONG_AGO


def test_who_is_locked_is_there_though_it_asked_for_nothing(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["agents", "lock", "bot\x1b[2J", "--reason", "enough", "--state", str(state)]) == 0
    (row,) = listed(state, capsys)
    assert row["locked"].endswith(": enough") and row["last_seen"] is None and row["statements"] == 0
    assert run(["agents", "ls", "--state", str(state)]) == 0
    text = capsys.readouterr().out
    assert "LOCKED: by " in text and "\x1b[2J" not in text


def test_nobody_is_said_and_a_wrong_state_directory_is_a_fault(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["agents", "ls", "--state", str(state)]) == 0
    assert "no agent has asked for anything" in capsys.readouterr().err
    assert run(["agents", "ls", "--state", str(state / "none")]) == 4
