"""The gateway as a child process, exactly as it runs elsewhere: ``python -m fargate_proxy``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from rig.child import Child
from rig.postgres import RigFault

READY_SECONDS = 30.0

#: Where tools/compile.sh puts the package with its hot modules compiled.
COMPILED = Path(".cache/compiled")


def is_compiled(root: Path) -> bool:
    """Whether there is a build below ``root``, of whatever sources."""
    return (root / COMPILED / "fargate_proxy").is_dir()


def compiled_environment(root: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` for a gateway that runs compiled, if tools/compile.sh has built it below ``root``; else as it is.

    Raises RigFault for a build of other sources than those: it would run, and be taken for them.
    """
    place = (root / COMPILED).resolve()
    if not is_compiled(root):
        return dict(environ)
    for package in ("blastwall", "fargate_proxy"):
        for source in sorted((root / package).rglob("*.py")):
            built = place / source.relative_to(root)
            if not built.is_file() or built.read_bytes() != source.read_bytes():
                name = source.relative_to(root)
                raise RigFault(f"the build in {COMPILED} is of another {name}: run `make compiled`, or remove it")
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
        self.log = log
        arguments = ["--config", str(config), "--overrides", str(overrides), "--state", str(state)]
        command = [sys.executable, "-m", module, *arguments]
        self._child = Child("the gateway", command, os.environ if environ is None else environ, log, Path.cwd())

    def start(self, seconds: float = READY_SECONDS) -> GatewayProcess:
        """Raises RigFault with what the gateway said when it is not ready within ``seconds``."""
        self._child.start(seconds)
        listening = self._child.told["listening"]
        assert isinstance(listening, dict)
        self.listening = {str(protocol): str(address) for protocol, address in listening.items()}
        return self

    def stop(self) -> int:
        """Let it drain and end; returns its exit status (0: cleanly). Raises RigFault when it does not end."""
        return self._child.stop()

    def reload(self) -> None:
        """Have it read its configuration again."""
        self._child.signal(signal.SIGHUP)

    @property
    def pid(self) -> int:
        """Its process, 0 before it was started."""
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child.running

    def last_words(self, lines: int = 20) -> str:
        """The end of what this run wrote to its log."""
        return self._child.last_words(lines)
