"""The key of hash and fake on this machine: made on first use, read by its owner only."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from blastwall.errors import ConfigFault, Problem

FILE = "masking.key"
BYTES = 32


def load_masking_key(directory: Path) -> str:
    """The key in this directory (``STATE/keys``), 64 hexadecimal digits; made when there is none.

    Processes that start together get the same one. Raises ConfigFault when others may read it.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / FILE
    if not path.exists():
        _make(directory, path)
    if path.stat().st_mode & 0o077:
        raise ConfigFault((Problem(str(path), 0, "Others may read this key: chmod 600 it, or remove it."),))
    return path.read_text("ascii").strip()


def _make(directory: Path, path: Path) -> None:
    handle, name = tempfile.mkstemp(dir=directory)  # 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(BYTES) + "\n")
        try:
            os.link(name, path)  # never over one that another process made meanwhile
        except FileExistsError:
            return
    finally:
        Path(name).unlink()
