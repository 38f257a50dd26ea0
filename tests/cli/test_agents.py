"""``blastwall agents lock`` is ``sessions lock`` under the name that people look for."""

from __future__ import annotations

from pathlib import Path

from blastwall.local.store import Store
from cli.__main__ import run


def test_an_agent_is_locked_and_unlocked(tmp_path: Path, capsys: object) -> None:
    state = tmp_path / "state"
    Store(state / "blastwall.db").close()
    assert run(["agents", "lock", "bot", "--reason", "enough", "--state", str(state)]) == 0
    assert run(["agents", "unlock", "bot", "--state", str(state)]) == 0
    assert run(["agents", "unlock", "bot", "--state", str(state)]) == 1, "it was not locked any more"
