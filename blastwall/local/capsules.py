"""``ports.Capsules`` in the state directory: ``STATE/undo``, under a key of its own in ``STATE/keys``."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from blastwall.errors import OurFault
from blastwall.undo.sealing import KEY_BYTES, NONCE_BYTES, checked, seal, unseal

FOLDER: Final = "undo"
KEY: Final = "undo.key"


class LocalCapsules:
    """Files that only their owner reads. The key is made on first use."""

    def __init__(self, state: Path) -> None:
        self._folder = state / FOLDER
        self._keys = state / "keys"

    async def keep(self, name: str, content: bytes) -> None:
        """Seal it and put it on the disk; it is there when this returns. Raises OurFault."""
        await asyncio.to_thread(self._keep, name, content)

    async def names(self, prefix: str) -> Sequence[str]:
        """Of all that begin so, sorted."""
        return await asyncio.to_thread(self._names, prefix)

    async def open(self, name: str) -> bytes | None:
        """What was kept, None: nothing of that name. Raises OurFault when it does not open."""
        return await asyncio.to_thread(self._open, name)

    def _keep(self, name: str, content: bytes) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sealed = seal(self._key(), secrets.token_bytes(NONCE_BYTES), name, content)
            _write(self._place(name), sealed)
        except OSError as fault:
            raise OurFault(f"the undo capsule {name} cannot be kept: {fault}") from fault

    def _names(self, prefix: str) -> list[str]:
        if not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if path.name.startswith(prefix))

    def _open(self, name: str) -> bytes | None:
        try:
            return unseal(self._key(), name, self._place(name).read_bytes())
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise OurFault(f"the undo capsule {name} cannot be read: {fault}") from fault

    def _place(self, name: str) -> Path:
        return self._folder / checked(name)

    def _key(self) -> bytes:
        path = self._keys / KEY
        if not path.exists():
            self._keys.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                _write(path, secrets.token_bytes(KEY_BYTES))
            except FileExistsError:
                pass  # another process made one meanwhile
        if path.stat().st_mode & 0o077:
            raise OurFault(f"others may read {path}: chmod 600 it")
        key = path.read_bytes()
        if len(key) != KEY_BYTES:
            raise OurFault(f"{path} is no key of {KEY_BYTES} bytes")
        return key


def _write(path: Path, content: bytes) -> None:
    """All of it or nothing, on the disk, and never over what is there."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    finally:
        Path(temporary).unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
