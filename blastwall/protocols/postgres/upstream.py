"""The engine that faces the database: bytes in, events out, in the client's role (sans-I/O, h11's contract).

``request_tls()`` (optional) -> ``Encryption``; ``start(...)`` -> ``Ready``; then ``Run`` after ``Run``. Every fault
is an UpstreamFault and ends the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from librt.strings import read_i32_be
from mypy_extensions import i64

from blastwall.errors import UpstreamFault
from blastwall.model import Secret, Value
from blastwall.protocols.postgres import messages, replies
from blastwall.protocols.postgres.frames import CONTROL, HEADER_SIZE, LONGEST, STARTUP, STREAMED, read_header, scan_run
from blastwall.protocols.postgres.login import Login, Ready
from blastwall.wire.buffer import Buffer, Engine

__all__ = ["PIECE", "Encryption", "Ready", "Run", "Upstream", "UpstreamEvent"]

PIECE: Final = 256 * 1024  # rows and copy frames above this are passed on in pieces
# The tables of frames once more, as one byte for each type: 0 where they say nothing.
_STREAMED: Final = bytes(STREAMED.get(kind, 0) for kind in range(256))
#: What a length field says at least, and at most (0: the engine's limit), of all types that may come once it is ready.
LEAST: Final = bytes(STREAMED.get(kind, 0) or CONTROL.get(kind, (0, 0))[0] for kind in range(256))
MOST: Final = bytes(CONTROL.get(kind, (0, 0))[1] for kind in range(256))
RECEIVE_SLACK: Final = 1 << 20  # unread bytes allowed above one held frame: what a shell may read in one go

# What an engine is at.
_NEW: Final = 0
_TLS: Final = 1
_STARTUP: Final = 2
_READY: Final = 3
_CLOSED: Final = 4


@dataclass(slots=True)
class Encryption:
    """The answer to ``request_tls()``: True, start TLS now; False, the target has none."""

    accepted: bool


class Run(Value):
    """Frames as they came, headers included.

    ``type`` is the type byte (``ord("D")``). Rows (D) and copy data (d) come merged: ``count`` complete frames in
    ``data``, at most what one ``receive`` brought and one frame more. Every other frame comes alone, count 1. A row
    or copy frame above 256 KiB that is not wholly at hand comes in pieces: ``partial`` True and count 0 on all but
    the last (the first starts with the header), which has partial False and count 1. Pieces of one frame are never
    mixed with other frames.
    """

    __slots__ = ("count", "data", "partial", "type")
    __match_args__ = ("type", "data", "count", "partial")

    def __init__(self, type: int, data: bytes, count: int, partial: bool) -> None:
        self.type = type
        self.data = data
        self.count = count
        self.partial = partial


UpstreamEvent = Encryption | Ready | Run


class Upstream(Engine):
    """Speaks to one server: authenticates, then cuts its stream into runs.

    Limits: ``max_frame`` bounds a row or copy frame (it is streamed, not held: at most 256 KiB is buffered);
    ``max_control`` bounds every other frame. Both are checked at the header.
    """

    __slots__ = (
        "_buffer",
        "_ended",
        "_left",
        "_login",
        "_outgoing",
        "_state",
        "_streaming",
        "max_control",
        "max_frame",
    )

    def __init__(self, *, max_frame: int = 1 << 30, max_control: int = 1 << 20) -> None:
        if not 1024 <= max_control <= max_frame <= LONGEST:
            raise ValueError(f"limits must be 1024 <= max_control <= max_frame <= {LONGEST}")
        self._buffer = Buffer(max(max_control, PIECE) + RECEIVE_SLACK)
        self.max_frame: i64 = max_frame
        self.max_control: i64 = max_control
        self._outgoing = b""
        self._login: Login | None = None
        self._state: i64 = _NEW
        self._ended = False
        self._left: i64 = 0  # bytes still to come of a frame that is passed on in pieces
        self._streaming: i64 = 0  # its type

    def request_tls(self) -> None:
        """Ask for TLS first. The answer is one byte: more, before TLS begins, is a fault (CVE-2021-23222)."""
        self._outgoing += messages.SSL_REQUEST
        self._state = _TLS

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
        if len(self._buffer):
            raise self._fault("the target spoke first", replies.VIOLATION)
        self._login = Login(
            parameters["user"],
            secret,
            nonce=nonce,
            allow_cleartext=allow_cleartext,
            certificate=certificate,
            minor=minor,
        )
        self._outgoing += messages.startup(parameters, minor)
        self._state = _STARTUP

    def data_to_send(self) -> bytes:
        """What the engine itself wants sent (start-up and authentication only); b"" when nothing."""
        outgoing, self._outgoing = self._outgoing, b""
        return outgoing

    def receive(self, data: bytes) -> None:
        """Take bytes from the server; ``b""`` is the end of its stream.

        Raises OurFault when the caller keeps feeding without draining.
        """
        if not data:
            self._ended = True
        elif self._state != _CLOSED:
            self._buffer.feed(data)

    def next_event(self) -> UpstreamEvent | None:
        """Return the next event, None when more bytes are needed (first send ``data_to_send()``).

        Raises UpstreamFault: refused start-up (``code`` is the server's SQLSTATE), a method the engine does not
        speak, a server that skips its SCRAM proof, a bad length, a type no server sends, the end of the stream
        (08006).
        """
        try:
            if self._state == _READY:
                event: UpstreamEvent | None = self._next_run()
            elif self._state == _STARTUP:
                event = self._next_startup()
            elif self._state == _TLS:
                event = self._next_tls()
            else:
                event = None
        except UpstreamFault:
            self._close()
            raise
        if event is None and self._ended and self._state != _CLOSED:
            raise self._fault("the target closed the connection", "08006")
        return event

    @property
    def silent(self) -> bool:
        """Is there nothing to look at: no byte came, and the stream has not ended?"""
        return self._state == _READY and not self._ended and self._buffer.empty

    @property
    def ready(self) -> bool:
        """Is there an event (or a fault) at hand? Cheap; a bad header counts."""
        if self._state == _CLOSED:
            return False
        if self._ended:
            return True
        buffer = self._buffer
        if buffer.empty:
            return False
        if self._left != 0 or self._state == _TLS:
            return True
        if not buffer.need(HEADER_SIZE):
            return False
        data = buffer.data
        position = buffer.position
        size: i64 = i64(read_i32_be(data, position + 1)) & 0xFFFFFFFF
        if size < 4 or size > self.max_control or size >= PIECE:
            kind: i64 = data[position]
            if size < 4 or (size >= PIECE if _STREAMED[kind] else size > self.max_control):
                return True
        return buffer.need(1 + size)

    @property
    def buffered(self) -> int:
        """Unread bytes."""
        return len(self._buffer)

    @property
    def backlog(self) -> int:
        """Unread bytes that wait for the caller; 0 while the engine waits for the rest of a frame.

        This is what a shell pauses reading by: by ``buffered`` it would never get the rest of a long frame.
        """
        return len(self._buffer) if self.ready else 0

    # ------------------------------------------------------------ ready

    @property
    def unread(self) -> Buffer | None:
        """What was received and not read, None while no frame begins there: for whoever reads ahead of ``next_event``
        and moves ``position`` over whole frames.
        """
        return None if self._left or self._state != _READY else self._buffer

    def _next_run(self) -> Run | None:
        if self._left:
            return self._next_piece()
        buffer = self._buffer
        while True:
            position = buffer.position
            data = buffer.data
            if len(data) - position < HEADER_SIZE:
                if not buffer.need(HEADER_SIZE):
                    return None
                continue
            kind = data[position]
            size = int(read_i32_be(data, position + 1)) & 0xFFFFFFFF
            least = _STREAMED[kind]
            if least:
                end, count = scan_run(data, position, kind, least, self.max_frame)
                if count:
                    buffer.position = end
                    whole = position == 0 and end == len(data)  # compiled, a slice is always a copy
                    return Run(kind, data if whole else data[position:end], count, False)
                if size < least or size > self.max_frame:
                    raise self._bad_length(kind, size, self.max_frame)
                if size >= PIECE:
                    self._left = 1 + size
                    self._streaming = kind
                    return self._next_piece()
                if not buffer.need(1 + size):
                    return None
                continue
            end = position + 1 + size
            least = LEAST[kind]
            if not least or size < least or size > (MOST[kind] or self.max_control):
                self._judge_control(kind, size, CONTROL)
            if end > len(data):
                if not buffer.need(1 + size):
                    return None
                continue
            buffer.position = end
            return Run(kind, data[position:end], 1, False)

    def _next_piece(self) -> Run | None:
        buffer = self._buffer
        if not buffer.need(1):
            return None
        buffer.need(min(len(buffer), self._left))
        piece = buffer.take(min(len(buffer.data) - buffer.position, self._left))
        self._left -= len(piece)
        if self._left:
            return Run(self._streaming, piece, 0, True)
        return Run(self._streaming, piece, 1, False)

    def _judge_control(self, kind: int, size: int, table: Mapping[int, tuple[int, int]]) -> None:
        """Raise for a type that is not in the table and for a length it forbids."""
        bounds = table.get(kind)
        if bounds is None:
            raise self._fault(
                f"the target sent a message of type {bytes([kind])!r}, which has no place here", replies.VIOLATION
            )
        least, most = bounds
        if size < least or size > (most or self.max_control):
            raise self._bad_length(kind, size, most or self.max_control)

    # ------------------------------------------------------------ start-up

    def _next_startup(self) -> Ready | None:
        login = self._login
        assert login is not None  # start() sets both
        buffer = self._buffer
        while buffer.need(HEADER_SIZE):
            kind, size = read_header(buffer.data, buffer.position)
            self._judge_control(kind, size, STARTUP)
            if not buffer.need(1 + size):
                break
            ready = login.take(buffer.take(1 + size))
            if login.outgoing:
                self._outgoing += login.outgoing
                login.outgoing = b""
            if ready is not None:
                self._state = _READY
                self._login = None
                return ready
        return None

    def _next_tls(self) -> Encryption | None:
        buffer = self._buffer
        if not buffer.need(1):
            return None
        answer = buffer.take(1)
        if answer not in (messages.SSL_ACCEPTED, messages.SSL_REFUSED):
            raise self._fault("the target answered the request for TLS with neither yes nor no", replies.VIOLATION)
        if len(buffer):
            raise self._fault("the target sent bytes in the clear where TLS should begin", replies.VIOLATION)
        self._state = _NEW
        return Encryption(answer == messages.SSL_ACCEPTED)

    # ------------------------------------------------------------ faults

    def _bad_length(self, kind: int, size: int, most: int) -> UpstreamFault:
        name = bytes([kind])
        if 4 <= size <= LONGEST and size > most:
            return self._fault(
                f"the target sent a message of type {name!r} of {size} bytes; at most {most} are accepted", "54000"
            )
        return self._fault(
            f"the target sent a message of type {name!r} with the impossible length {size}", replies.VIOLATION
        )

    def _fault(self, message: str, code: str) -> UpstreamFault:
        self._close()
        return UpstreamFault(message, code=code)

    def _close(self) -> None:
        self._state = _CLOSED
        self._login = None
        self._buffer.clear()
