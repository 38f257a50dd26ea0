"""Audit events on standard output, for whatever collects a container's output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from blastwall.audit.sink import line, uid


class StreamSink:
    """``audit.sink.Sink`` over a text stream, flushed once a batch."""

    name = "stdout"

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def put(self, batch: Sequence[Mapping[str, Any]]) -> set[str]:
        """All or none: a stream that is closed or full takes none."""
        try:
            self._stream.write("".join(line(event) + "\n" for event in batch))
            self._stream.flush()
        except (OSError, ValueError):
            return {uid(event) for event in batch}
        return set()
