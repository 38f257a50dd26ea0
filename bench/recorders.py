"""The gateway with another recorder than its own, for the benchmarks alone: ``python -m bench.recorders``.

``BENCH_RECORDER`` is off (nothing is recorded: what the others are compared with) or s3 (the recorder of AWS, whose
settings are in the environment as they are there). No switch of the gateway's own turns recording off.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from pathlib import Path
from unittest.mock import patch

from blastwall.aws.recorder import compose_recorder
from blastwall.config.bundle import Bundle
from blastwall.local.clock import SystemClock
from blastwall.model import Denial, Facts, Masked, Permit, Secret, Session, Statement, Target
from blastwall.settings import RecordingSettings
from fargate_proxy import __main__ as program
from fargate_proxy.local import ClosingRecorder, Parts, compose

OFF, S3 = "off", "s3"


class Nowhere:
    """A recording of nothing."""

    id = "nowhere"

    def intent(self, statement: Statement, facts: Facts, decision: Permit | Denial) -> None:
        pass

    def relayed(self, masked: Masked) -> Awaitable[None] | None:
        return None

    def flush(self) -> None:
        pass

    def event(self, name: str, fields: Mapping[str, object]) -> None:
        pass

    def protect(self, *secrets: Secret) -> None:
        pass

    def commit(self) -> Awaitable[None] | None:
        return None

    def close(self, reason: str) -> None:
        pass


class Nothing:
    """A recorder that records nothing."""

    def open(self, session: Session, target: Target, connection: str, header: Mapping[str, object]) -> Nowhere:
        return Nowhere()

    def list(self) -> Sequence[Mapping[str, object]]:
        return ()

    async def read(self, id: str) -> AsyncIterator[bytes]:
        yield b""

    def close(self) -> None:
        pass


def recorder(name: str, environ: Mapping[str, str]) -> ClosingRecorder:
    """The recorder of that name. Raises ValueError for another."""
    if name == OFF:
        return Nothing()
    if name == S3:
        return compose_recorder(RecordingSettings.from_env(environ), SystemClock())
    raise ValueError(f"BENCH_RECORDER={name!r}: off or s3")


def main() -> int:
    """As the gateway's own, with the recorder replaced."""

    def composed(bundle: Bundle, state: Path, environ: Mapping[str, str]) -> Parts:
        parts = compose(bundle, state, environ)
        parts.recorder.close()
        parts.recorder = recorder(environ["BENCH_RECORDER"], environ)
        return parts

    with patch.object(program, "compose", composed):
        return program.main()


if __name__ == "__main__":
    sys.exit(main())
