"""The gateway as a child process, exactly as it runs elsewhere: ``python -m fargate_proxy``."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from rig import warden
from rig.postgres import RigFault

READY_SECONDS = 30.0
STOP_SECONDS = warden.GRACE_SECONDS + warden.QUIT_SECONDS + 5.0
MOST_READY_BYTES = 64 * 1024


#: Where tools/compile.sh puts the package with its hot modules compiled.
COMPILED = Path(".cache/compiled")


def compiled_environment(root: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` for a gateway that runs compiled, if tools/compile.sh has built it below ``root``; else as it is."""
    place = (root / COMPILED).resolve()
    if not (place / "fargate_proxy").is_dir():
        return dict(environ)
    return {**environ, "PYTHONPATH": str(place), "PYTHONSAFEPATH": "1"}


class GatewayProcess:
    """``start`` returns when it accepts connections; it ends with :meth:`stop`, or when this process is gone.

    Its standard error goes to ``log`` (appended). ``listening`` has the address of each protocol's listener.
    """

    def __init__(
        self,
        config: Path,
        state: Path,
        overrides: Path,
        log: Path,
        environ: Mapping[str, str] | None = None,
        module: str = "fargate_proxy",
    ) -> None:
        self.listening: Mapping[str, str] = {}
        self.pid = 0
        self.log = log
        self._arguments = ["--config", str(config), "--overrides", str(overrides), "--state", str(state)]
        self._environ = dict(os.environ if environ is None else environ)
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, seconds: float = READY_SECONDS) -> GatewayProcess:
        """Raises RigFault with what the gateway said when it is not ready within ``seconds``."""
        read, write = os.pipe()
        command = [sys.executable, "-m", self._module, *self._arguments, "--ready-fd", str(write)]
        try:
            with open(self.log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as log:
                self._began = log.tell()
                self._process = subprocess.Popen(
                    warden.command(command, end_with=signal.SIGTERM, keep=write),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=self._environ,
                    pass_fds=[write],
                    start_new_session=True,  # a terminal's Ctrl-C reaches us, and we stop the parts in order
                )
            os.close(write)
            assert self._process.stdout is not None
            self.pid = int(self._process.stdout.readline() or 0)
            self.listening = self._await_ready(read, time.monotonic() + seconds)
        except BaseException:
            with contextlib.suppress(RigFault):
                self.stop()
            raise
        finally:
            os.close(read)
        return self

    def stop(self) -> int:
        """Let it drain and end; returns its exit status (0: cleanly). Raises RigFault when it does not end."""
        process, self._process = self._process, None
        if process is None:
            return 0
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired as late:
            raise RigFault(f"the gateway did not stop within {STOP_SECONDS:.0f} s (pid {self.pid})") from late
        finally:
            process.stdout.close()

    def reload(self) -> None:
        """Have it read its configuration again."""
        if self.running:
            os.kill(self.pid, signal.SIGHUP)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def last_words(self, lines: int = 20) -> str:
        """The end of what this run wrote to its log."""
        try:
            with self.log.open("rb") as log:
                log.seek(self._began)
                return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def _await_ready(self, read: int, deadline: float) -> Mapping[str, str]:
        line = b""
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0:
                raise RigFault(f"the gateway was not ready in time:\n{self.last_words()}")
            if not select.select([read], [], [], left)[0]:
                continue
            part = os.read(read, 4096)
            if not part or len(line) > MOST_READY_BYTES:
                raise RigFault(f"the gateway did not start:\n{self.last_words()}")
            line += part
        listening = json.loads(line)["listening"]
        assert isinstance(listening, dict)
        return {str(protocol): str(address) for protocol, address in listening.items()}
