"""The engine that faces the database: bytes in, events out, in the client's role (sans-I/O, h11's contract).

``request_tls()`` (optional) -> ``Encryption``; ``start(...)`` -> ``Ready``; then ``Run`` after ``Run``. Every fault is an
UpstreamFault and ends the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from blastwall.model import Secret


@dataclass(slots=True)
class Encryption:
    """The answer to ``request_tls()``: True, start TLS now; False, the target has none."""

    accepted: bool


@dataclass(slots=True)
class Ready:
    """Start-up is over. ``status`` is ``b"I"``; ``secret`` (4 to 256 bytes) and ``pid`` make the cancel key (0, b"": none)."""

    status: bytes
    parameters: dict[str, str]
    pid: int
    secret: bytes
    minor: int = 0


@dataclass(slots=True)
class Run:
    """Frames as they came, headers included.

    ``type`` is the type byte (``ord("D")``). Rows (D) and copy data (d) come merged: ``count`` complete frames in ``data``.
    Every other frame comes alone, count 1. A row or copy frame above 256 KiB comes in pieces: ``partial`` True and count 0
    on all but the last (the first starts with the header), which has partial False and count 1. Pieces of one frame are
    never mixed with other frames.
    """

    type: int
    data: bytes
    count: int
    partial: bool


UpstreamEvent = Encryption | Ready | Run


class Upstream:
    """Speaks to one server: authenticates, then cuts its stream into runs.

    Limits: ``max_frame`` bounds a row or copy frame (it is streamed, not held: at most 256 KiB is buffered);
    ``max_control`` bounds every other frame. Both are checked at the header.
    """

    def __init__(self, *, max_frame: int = 1 << 30, max_control: int = 1 << 20) -> None:
        raise NotImplementedError

    def request_tls(self) -> None:
        """Ask for TLS first. The answer is one byte; a target that sends more before TLS is a fault (CVE-2021-23222)."""
        raise NotImplementedError

    def start(
        self,
        parameters: Mapping[str, str],
        secret: Secret | None,
        *,
        nonce: str,
        allow_cleartext: bool = False,
        certificate: bytes | None = None,
        minor: int = 0,
    ) -> None:
        """Begin: ``parameters`` hold ``user``, ``database`` and what else goes into the startup packet.

        ``nonce`` is 18 or more random bytes in base64 (``secrets.token_urlsafe`` will do), used by SCRAM only.
        ``allow_cleartext`` only over TLS. ``certificate`` is the server's in DER: with it SCRAM binds to the channel
        when the server offers to. ``minor`` 2 asks for long cancel keys; servers before 18 negotiate it down.
        """
        raise NotImplementedError

    def data_to_send(self) -> bytes:
        """What the engine itself wants sent (start-up and authentication only); b"" when nothing."""
        raise NotImplementedError

    def receive(self, data: bytes) -> None:
        """Take bytes from the server; ``b""`` is the end of its stream."""
        raise NotImplementedError

    def next_event(self) -> UpstreamEvent | None:
        """Return the next event, None when more bytes are needed (first send ``data_to_send()``).

        Raises UpstreamFault: refused start-up (``code`` is the server's SQLSTATE), a method the engine does not speak, a
        server that skips its SCRAM proof, a bad length, a type no server sends, the end of the stream (08006).
        """
        raise NotImplementedError

    @property
    def ready(self) -> bool:
        """Is there an event at hand? Cheap."""
        raise NotImplementedError

    @property
    def buffered(self) -> int:
        """Unread bytes."""
        raise NotImplementedError
