"""A recording on this machine's disk that has to outlive its process, and not the machine: one write for each block."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from blastwall.local.spool import REAL, Disk, create, place_manifest, write_all
from blastwall.recording.blocks import Immediate

#: Bytes below which two parts are joined: copying them costs less than handing over a second one.
SMALL: Final = 16_384


class FileSink(Immediate):
    """``recording.blocks.Sink`` on one file: a write is accepted when the kernel has it."""

    def __init__(self, path: Path, disk: Disk = REAL) -> None:
        self._path = path
        self._disk = disk
        #: One buffer takes its own call, which is cheaper; a disk that was replaced has only the other.
        self._one: Callable[[int, bytes], int] | None = os.write if disk.write is os.writev else None
        self._file = create(path)

    def write(self, parts: Sequence[bytes], length: int) -> None:
        """Append the parts with one system call. Raises OSError, also when the call took only some of it."""
        if length >= SMALL:
            write_all(self._file, parts, length, self._disk)
        else:
            self.put(parts[0] if len(parts) == 1 else b"".join(parts))

    def put(self, block: bytes) -> None:
        one = self._one
        written = one(self._file, block) if one is not None else self._disk.write(self._file, (block,))
        if written != len(block):
            raise OSError(f"only {written} of {len(block)} bytes were taken")

    def settle(self) -> None:
        return None

    def room(self) -> None:
        return None

    def check(self) -> None:
        """What was written is with the kernel; only the next write can tell that the disk is full."""

    def seal(self, manifest: bytes) -> None:
        place_manifest(self._path, manifest)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
