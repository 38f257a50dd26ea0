"""One-time codes for the approval page of this machine: who can write the state directory can make one, once each."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CODE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Login:
    """Whom a code signs in."""

    name: str
    groups: tuple[str, ...]


def make(state: Path, name: str, groups: Sequence[str], now: float) -> str:
    """A code of 128 random bits, good for ten minutes; only its hash is kept. Raises OSError."""
    folder = state / "logins"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.stat().st_mtime < now - CODE_SECONDS:
            old.unlink(missing_ok=True)
    code = secrets.token_urlsafe(16)
    about = json.dumps({"name": name, "groups": list(groups), "until": now + CODE_SECONDS})
    handle = os.open(folder / _file(code), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(about)
    return code


def take(state: Path, code: str, now: float) -> Login | None:
    """Whom the code signs in, once: of two who bring it, one finds it. None: it is no code, was used, or is too old."""
    place = state / "logins" / _file(code)
    mine = place.with_name(f"{place.name}.{secrets.token_hex(8)}")
    try:
        place.rename(mine)  # whoever renames it has it
        about = json.loads(mine.read_text())
        mine.unlink()
        if now >= float(about["until"]):
            return None
        return Login(str(about["name"]), tuple(map(str, about["groups"])))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _file(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
