"""What a running ``blastwall up`` tells the other verbs: ``STATE/running.json``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from rig import account


@dataclass(frozen=True, slots=True)
class Running:
    """``pid`` may be signalled. ``listening``: protocol -> host:port. ``targets``: name -> protocol and database."""

    pid: int
    config: str
    listening: Mapping[str, str]
    ca: str
    targets: Mapping[str, Mapping[str, str]]
    page: str = ""  # where the approval page is


def path(state: Path) -> Path:
    return state / "running.json"


def write(state: Path, running: Running) -> None:
    account.write_private(path(state), json.dumps(asdict(running), indent=2).encode())


def remove(state: Path) -> None:
    path(state).unlink(missing_ok=True)


def read(state: Path) -> Running | None:
    """None when nothing runs there: no file, a damaged one, or one whose process is gone."""
    try:
        found = Running(**json.loads(path(state).read_bytes()))
        os.kill(found.pid, 0)
    except PermissionError:
        return found  # it runs, as somebody else
    except (OSError, ValueError, TypeError):
        return None
    return found
