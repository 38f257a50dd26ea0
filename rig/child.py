"""A process of the rig that tells when it is ready, and never outlives the one that started it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rig import warden
from rig.postgres import RigFault

MOST_READY_BYTES = 64 * 1024


class Child:
    """``command`` gets ``--ready-fd N`` appended, to which it writes one line of JSON: :attr:`told`.

    ``environ`` is its whole environment. Its output goes to ``log`` (appended, 0600). ``grace`` seconds after SIGTERM
    it is killed; None: after the warden's usual ten.
    """

    def __init__(self, name: str, command: Sequence[str], environ: Mapping[str, str], log: Path, cwd: Path) -> None:
        self.name = name
        self.log = log
        self.pid = 0
        self.told: Mapping[str, Any] = {}
        self._command = list(command)
        self._environ = dict(environ)
        self._cwd = cwd
        self._began = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, seconds: float) -> None:
        """Returns when it is ready. Raises RigFault with its last words when it is not within ``seconds``."""
        read, write = os.pipe()
        command = [*self._command, "--ready-fd", str(write)]
        try:
            with open(self.log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as log:
                self._began = log.tell()
                self._process = subprocess.Popen(
                    warden.command(command, end_with=signal.SIGTERM, keep=write),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=self._environ,
                    cwd=self._cwd,
                    pass_fds=[write],
                    start_new_session=True,
                )
            os.close(write)
            assert self._process.stdout is not None
            self.pid = int(self._process.stdout.readline() or 0)
            self.told = self._await_ready(read, time.monotonic() + seconds)
        except BaseException:
            with contextlib.suppress(RigFault):
                self.stop()
            raise
        finally:
            os.close(read)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens when it has gone."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, seconds: float) -> int:
        """Its exit status, 128 and the signal's number when a signal ended it. Raises RigFault when it goes on."""
        assert self._process is not None
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise RigFault(f"{self.name} goes on after {seconds:.0f} s (pid {self.pid})") from None

    def stop(self) -> int:
        """SIGTERM, and SIGKILL twelve seconds later; its exit status. A second time does nothing."""
        process, self._process = self._process, None
        if process is None:
            return 0
        try:
            return warden.end(process, warden.GRACE_SECONDS + warden.QUIT_SECONDS + 5.0)
        except subprocess.TimeoutExpired:
            raise RigFault(f"{self.name} did not stop (pid {self.pid})") from None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def last_words(self, lines: int = 30) -> str:
        """The end of what this run wrote."""
        try:
            with self.log.open("rb") as log:
                log.seek(self._began)
                return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def _await_ready(self, read: int, deadline: float) -> Mapping[str, Any]:
        line = b""
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0:
                raise RigFault(f"{self.name} was not ready in time:\n{self.last_words()}")
            if not select.select([read], [], [], left)[0]:
                continue
            part = os.read(read, 4096)
            if not part or len(line) > MOST_READY_BYTES:
                raise RigFault(f"{self.name} did not start:\n{self.last_words()}")
            line += part
        told: Mapping[str, Any] = json.loads(line)
        return told
