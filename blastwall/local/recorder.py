"""``ports.Recorder`` on this machine's disk: ``STATE/recordings/<YYYY-MM-DD>/<id>.bwr`` and a manifest beside each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path

from blastwall.model import Secret, Session, Target
from blastwall.ports import Clock
from blastwall.recording.manifest import Signer
from blastwall.recording.writer import Writer


class LocalRecorder:
    """Recordings as files that only their owner reads (0700/0600).

    ``known`` gives the secrets of a session that must never be written, whatever they stand in.
    """

    def __init__(
        self,
        state: Path,
        clock: Clock,
        *,
        signer: Signer | None = None,
        known: Callable[[Session], Iterable[Secret]] = lambda session: (),
        compress: bool = False,
    ) -> None:
        raise NotImplementedError

    def open(self, session: Session, target: Target, connection: str, header: Mapping[str, object]) -> Writer:
        """Begin a recording. Raises RecordingFault when it cannot be written."""
        raise NotImplementedError

    def flush(self) -> None:
        """Flush every live recording: one timer for the whole process, at most 200 ms apart."""
        raise NotImplementedError

    def list(self) -> Sequence[Mapping[str, object]]:
        """Newest first: what manifests and headers say of each recording."""
        raise NotImplementedError

    def find(self, prefix: str) -> Path:
        """The one recording whose id begins so. Raises RecordingFault when there is none, or more than one."""
        raise NotImplementedError

    def read(self, id: str) -> AsyncIterator[bytes]:
        raise NotImplementedError

    def close(self) -> None:
        """End the process's sync thread. Open recordings stay as they are: truncated."""
        raise NotImplementedError
