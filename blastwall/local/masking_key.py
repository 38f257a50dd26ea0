"""The key of hash and fake on this machine: made on first use, read by its owner only."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from blastwall.errors import ConfigFault, Problem
from blastwall.model import Secret

FILE = "masking.key"
BYTES = 32


class LocalMaskingKey:
    """``ports.MaskingKey`` in a directory (``STATE/keys``): 64 hexadecimal digits."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self) -> Secret:
        """The key; made when there is none. Processes that start together get the same one.

        Raises ConfigFault when others may read it.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._directory / FILE
        if not path.exists():
            _make(self._directory, path)
        if path.stat().st_mode & 0o077:
            raise ConfigFault((Problem(str(path), 0, "Others may read this key: chmod 600 it, or remove it."),))
        return Secret(path.read_text("ascii").strip())


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
