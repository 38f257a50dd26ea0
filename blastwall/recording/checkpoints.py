"""Signed checkpoints inside a recording: what a stranger can hold on to when its end was never written.

A checkpoint states the length, counts and chain value at a *mark*, and is signed like a manifest. Whoever signs may be
far away, so the two are apart: the mark goes into the file at once, and what is signed of it whenever it comes back,
while the recording goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Any, Final

from blastwall.errors import RecordingFault
from blastwall.recording.blocks import Blocks
from blastwall.recording.codec import RecordType
from blastwall.recording.manifest import Signer, signed

EVERY_SECONDS: Final = 60.0  # between two checkpoints while there is traffic


class Checkpoints:
    """Says when a recording wants a mark or has a checkpoint. ``aside`` signs off the caller's thread, if given.

    ``now`` is wall time in seconds: the one thing a checkpoint tells that the chain cannot check.
    """

    def __init__(
        self,
        signer: Signer,
        header: Mapping[str, Any],
        *,
        now: Callable[[], float],
        every: float = EVERY_SECONDS,
        aside: Executor | None = None,
    ) -> None:
        self._signer = signer
        self._identity = {name: header[name] for name in ("format", "recording", "session")}
        self._now = now
        self._every = int(every * 1e9)  # nanoseconds
        self._aside = aside
        self._signing: Future[bytes] | None = None
        self._last = 0  # nanoseconds since the recording began
        self._vouched = 0  # records up to and with the last checkpoint: nothing new behind them, nothing to sign

    def due(self, at: int, blocks: Blocks) -> list[tuple[int, bytes]]:
        """Return the records (type, body) to append now, when nothing is pending and ``at`` ns have passed.

        A signature that cannot be had is tried for again at the next turn: the recording is no less whole without.
        """
        if self._signing is not None:
            return self._signed(blocks)
        if at - self._last < self._every or blocks.busy or blocks.sequence <= self._vouched:
            return []
        self._last = at
        statement = self._identity | {
            "records": blocks.sequence,
            "blocks": blocks.count,
            "length": blocks.length,
            "chain": blocks.value.hex(),
            "signed_at": self._now(),
        }
        mark = (int(RecordType.MARK), b"")
        if self._aside is not None:
            self._signing = self._aside.submit(signed, statement, self._signer)
            self._vouched = blocks.sequence + 1
            return [mark]
        try:
            body = signed(statement, self._signer)
        except RecordingFault:
            self._vouched = blocks.sequence + 1
            return [mark]
        self._vouched = blocks.sequence + 2
        return [mark, (int(RecordType.CHECKPOINT), body)]

    def _signed(self, blocks: Blocks) -> list[tuple[int, bytes]]:
        assert self._signing is not None
        if not self._signing.done():
            return []
        signing, self._signing = self._signing, None
        try:
            body = signing.result()
        except RecordingFault:
            return []
        if blocks.sequence == self._vouched:
            self._vouched += 1
        return [(int(RecordType.CHECKPOINT), body)]
