"""The engine that faces the agent: bytes in, events out, in the server's role (sans-I/O, h11's contract)."""

from __future__ import annotations

from typing import Final

from librt.strings import read_i32_be, read_i64_be
from mypy_extensions import i64

from blastwall.errors import ProtocolViolation
from blastwall.model import Secret
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.frames import HEADER_SIZE, LONGEST, read_header, read_length
from blastwall.protocols.postgres.requests import (
    KNOWN,
    LARGE,
    READERS,
    SMALL_LIMIT,
    CancelRequest,
    Event,
    GSSENCRequest,
    Password,
    SSLRequest,
    Startup,
    Terminate,
    read,
)
from blastwall.wire.buffer import Buffer, Engine

VIOLATION: Final = "08P01"
RECEIVE_SLACK: Final = 1 << 20  # unread bytes allowed above one frame: what a shell may read in one go

_TERMINATE: Final = ord("X")
_DESCRIBE: Final = ord("D")
_EXECUTE: Final = ord("E")
# The ends of a batch in pieces of eight bytes behind the first type byte: numbers that need no slice to compare.
_DESCRIBE_1: Final = 0x0000000650004500
_DESCRIBE_9: Final = 0x0000090000000000
_EXECUTE_1: Final = 0x0000000900000000
_SYNC_LAST: Final = 0x0000005300000004
_SYNC: Final = ord("S")
_PASSWORD: Final = ord("p")
_TLS_HANDSHAKE: Final = 0x16

# Numbers, because compiled they cost nothing.
_STARTUP: Final = 0
_AUTH: Final = 1
_READY: Final = 2
_CLOSED: Final = 3
_STATES: Final = ("startup", "auth", "ready", "closed")


class Downstream(Engine):
    """Reads one client's bytes. States: startup, auth, ready, closed.

    Limits: ``max_frame`` bounds a whole frame (type byte, length, body) and is checked at the header, before the body
    is buffered; ``max_startup`` bounds packets before authentication (the server's own limit is 10,000). Names of
    statements and portals are at most 255 bytes. SSLRequest and GSSENCRequest: once each, and nothing may arrive
    behind them before they are answered.
    """

    __slots__ = ("_asked", "_buffer", "_ended", "_max_frame", "_max_startup", "_skipping", "_state", "_tried")

    def __init__(self, *, max_frame: int = 16 * 1024 * 1024, max_startup: int = 10_000) -> None:
        if not 16_384 <= max_frame <= LONGEST:
            raise ValueError(f"max_frame must be 16384 to {LONGEST} bytes, not {max_frame}")
        self._buffer = Buffer(max_frame + RECEIVE_SLACK)
        self._max_frame = max_frame
        self._max_startup = max_startup
        self._state: i64 = _STARTUP
        self._ended = False
        self._skipping = False
        self._tried = False  # a password was given
        self._asked: set[int] = set()  # encryption request codes seen

    def receive(self, data: bytes) -> None:
        """Take bytes from the client; ``b""`` is the end of its stream. Never raises on content (see next_event).

        Raises OurFault when the caller keeps feeding without draining: pause reading while ``buffered`` is large.
        """
        if not data:
            self._ended = True
        elif self._state != _CLOSED:
            self._buffer.feed(data)

    def next_event(self) -> Event | None:
        """Return the next event, None when more bytes are needed.

        Raises ProtocolViolation with the server's SQLSTATE and wording. ``fatal``: send the error and close; the engine
        then answers None for ever. Otherwise it is a MessageViolation: the offending message is consumed and
        the caller goes on (``skip_to_sync()`` when ``violation.extended``). The end of the stream is
        ``Terminate(orderly=False)``, once.
        """
        try:
            if self._state == _READY:
                event = self._next_message()
            elif self._state == _STARTUP:
                event = self._next_packet()
            elif self._state == _AUTH:
                event = self._next_answer()
            else:
                return None
        except ProtocolViolation as violation:
            if violation.fatal:
                self._close()
            raise
        if event is None and self._ended:
            event = Terminate(orderly=False)
        if type(event) is Terminate:
            self._close()
        return event

    @property
    def ready(self) -> bool:
        """Is a complete frame, or the end of the stream, at hand?

        Cheap; says nothing about the frame's validity (a bad header counts as ready).
        """
        if self._state == _CLOSED:
            return False
        if self._ended:
            return True
        buffer = self._buffer
        if self._state == _READY:  # what nearly all who ask want to know, without a call
            data = buffer.data
            position: i64 = buffer.position
            here: i64 = len(data) - position
            if here >= HEADER_SIZE and here > i64(read_i32_be(data, position + 1)) & 0xFFFFFFFF:
                return True
        offset = 0 if self._state == _STARTUP else 1
        if not buffer.need(offset + 4):
            return False
        size = int(read_i32_be(buffer.data, buffer.position + offset)) & 0xFFFFFFFF
        most = self._max_frame if self._state == _READY else self._max_startup
        return size < 4 or size > most or buffer.need(offset + size)

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

    @property
    def state(self) -> str:
        """startup | auth | ready | closed."""
        return _STATES[self._state]

    def encrypted(self) -> None:
        """The client's SSLRequest was accepted and TLS is about to start: from here on bytes come decrypted.

        Raises ProtocolViolation when bytes arrived in the clear behind the request (CVE-2021-23214).
        """
        self._nothing_behind("SSL")
        self._asked |= {messages.SSL_CODE, messages.GSSENC_CODE}

    def authenticated(self) -> None:
        """The caller has sent AuthenticationOk: auth -> ready. Bytes that came early are read now."""
        if self._state == _AUTH:
            self._state = _READY

    def skip_to_sync(self) -> None:
        """Discard messages unread until Sync (returned as event) or Terminate, as the server does after an error."""
        self._skipping = True

    def holds(self, kinds: bytes) -> bool:
        """Is any unread message, complete or not, of one of these types? For pipelining: may the caller wait here?"""
        return self.search(kinds, 0) < 0

    def search(self, kinds: bytes, offset: int) -> int:
        """As :meth:`holds` for the messages from ``offset`` on, which counts from the first unread byte: -1 if one is,
        else where to go on when more has come and nothing was read. Who waits for one need not look at all again.
        """
        buffer = self._buffer
        while buffer.need(offset + 1):
            if buffer.data[buffer.position + offset] in kinds:
                return -1
            if not buffer.need(offset + HEADER_SIZE):
                break
            offset += 1 + max(read_header(buffer.data, buffer.position + offset)[1], 4)
        return offset

    def next_is(self, kind: int) -> bool:
        """Is the next message complete and of this type?"""
        if self._state != _READY or self._ended or not self.ready:
            return False
        return self._buffer.data[self._buffer.position] == kind

    def take_end(self) -> int:
        """Read the rest of a batch as nearly all clients end it, if it is next and all there: how many messages it is.

        3: Describe the unnamed portal, Execute it for all rows, Sync (``messages.END_DESCRIBED``). 2: without Describe
        (``messages.END``). 0: whatever else; nothing was read. Says what ``next_event`` would, message by message.
        """
        if self._state != _READY or self._skipping:
            return 0
        buffer = self._buffer
        data = buffer.data
        position: i64 = buffer.position
        here: i64 = len(data) - position
        if here < 15:
            return 0
        kind: i64 = data[position]
        if kind == _DESCRIBE:
            if (
                here < 22
                or read_i64_be(data, position + 1) != _DESCRIBE_1
                or read_i64_be(data, position + 9) != _DESCRIBE_9
                or read_i64_be(data, position + 14) != _SYNC_LAST
            ):
                return 0
            buffer.position = int(position + 22)
            return 3
        if (
            kind != _EXECUTE
            or read_i64_be(data, position + 1) != _EXECUTE_1
            or read_i64_be(data, position + 7) != _SYNC_LAST
        ):
            return 0
        buffer.position = int(position + 15)
        return 2

    # ------------------------------------------------------------ ready

    def _next_message(self) -> Event | None:
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
            end = position + 1 + size
            if not KNOWN[kind] or size < 4 or size > SMALL_LIMIT:
                self._judge_header(kind, size)
            if end > len(data):
                if not buffer.need(1 + size):
                    return None
                continue
            buffer.position = end
            if self._skipping:
                if kind != _SYNC and kind != _TERMINATE:
                    continue
                self._skipping = False
            return read(kind, data, position + HEADER_SIZE, end)

    def _judge_header(self, kind: int, size: int) -> None:
        """Raise for a type no client sends and for a length out of bounds."""
        if kind not in READERS:
            raise ProtocolViolation(f"invalid frontend message type {kind}", code=VIOLATION)
        if size < 4 or size > LONGEST or (size > SMALL_LIMIT and kind not in LARGE):
            raise ProtocolViolation("invalid message length", code=VIOLATION)
        if size >= self._max_frame:
            raise ProtocolViolation(
                f"a message of {size + 1} bytes is longer than this gateway accepts: at most {self._max_frame}",
                code="54000",
            )

    # ------------------------------------------------------------ auth

    def _next_answer(self) -> Event | None:
        buffer = self._buffer
        if not buffer.need(HEADER_SIZE):
            return None
        kind, size = read_header(buffer.data, buffer.position)
        if kind == _TERMINATE and size == 4:
            return Terminate(orderly=True)
        if kind != _PASSWORD:
            raise ProtocolViolation(f"expected password response, got message type {kind}", code=VIOLATION)
        if self._tried:
            raise ProtocolViolation("a second password response: only one was asked for", code=VIOLATION)
        if not 4 <= size <= self._max_startup:
            raise ProtocolViolation("invalid message length", code=VIOLATION)
        if not buffer.need(1 + size):
            return None
        body = buffer.take(1 + size)[HEADER_SIZE:]
        self._tried = True
        if not body or body.find(0) != len(body) - 1:
            raise ProtocolViolation("invalid password packet size", code=VIOLATION)
        if len(body) == 1:
            raise ProtocolViolation("empty password returned by client", code="28P01")
        try:
            return Password(Secret(body[:-1].decode()))
        except UnicodeDecodeError:
            # from None: the fault's own text would quote bytes of the secret
            raise ProtocolViolation("the password is not UTF-8", code="28P01") from None

    # ------------------------------------------------------------ startup

    def _next_packet(self) -> Event | None:
        buffer = self._buffer
        if not buffer.need(4):
            return None
        (size,) = read_length(buffer.data, buffer.position)
        if buffer.data[buffer.position] == _TLS_HANDSHAKE:
            raise ProtocolViolation(
                "direct TLS negotiation is not offered here: connect with sslnegotiation=postgres", code=VIOLATION
            )
        if not 8 <= size <= self._max_startup:
            raise ProtocolViolation("invalid length of startup packet", code=VIOLATION)
        if not buffer.need(size):
            return None
        packet = buffer.take(size)
        (version,) = read_length(packet, 4)
        if version == messages.CANCEL_CODE:
            return self._cancel(packet)
        if version in (messages.SSL_CODE, messages.GSSENC_CODE) and version not in self._asked:
            if size != 8:
                raise ProtocolViolation("invalid length of startup packet", code=VIOLATION)
            self._asked.add(version)
            if version == messages.SSL_CODE:
                self._nothing_behind("SSL")
                return SSLRequest()
            self._nothing_behind("GSSAPI encryption")
            return GSSENCRequest()
        major, minor = version >> 16, version & 0xFFFF
        if major != messages.PROTOCOL_MAJOR:
            raise ProtocolViolation(
                f"unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2", code="0A000"
            )
        self._state = _AUTH
        return Startup(minor, _read_parameters(packet))

    def _cancel(self, packet: bytes) -> CancelRequest:
        secret = packet[12:]
        if not 4 <= len(secret) <= 256:
            raise ProtocolViolation("invalid length of query cancel packet", code=VIOLATION)
        self._close()
        return CancelRequest(read_length(packet, 8)[0], secret)

    def _nothing_behind(self, request: str) -> None:
        if len(self._buffer):
            self._close()
            raise ProtocolViolation(f"received unencrypted data after {request} request", code=VIOLATION)

    def _close(self) -> None:
        self._state = _CLOSED
        self._buffer.clear()


def _read_parameters(packet: bytes) -> dict[str, str]:
    """Names and values behind the version; the list ends with an empty name, exactly at the packet's end."""
    if len(packet) < 9 or packet[-1] != 0:
        raise ProtocolViolation("invalid startup packet layout: expected terminator as last byte", code=VIOLATION)
    parameters: dict[str, str] = {}
    if len(packet) > 9:
        if packet[-2] != 0:
            raise ProtocolViolation(
                "invalid startup packet layout: the parameter list is not terminated", code=VIOLATION
            )
        try:
            words = packet[8:-2].decode().split("\0")
        except UnicodeDecodeError as fault:
            raise ProtocolViolation("startup parameters must be UTF-8", code="22021") from fault
        if len(words) % 2:
            raise ProtocolViolation("invalid startup packet layout: a parameter has no value", code=VIOLATION)
        for name, value in zip(words[::2], words[1::2], strict=True):
            if not name:
                raise ProtocolViolation("invalid startup packet layout: bytes after the terminator", code=VIOLATION)
            if name in parameters:
                raise ProtocolViolation(f'startup parameter "{name}" is given twice', code=VIOLATION)
            parameters[name] = value
    if not parameters.get("user"):
        raise ProtocolViolation("no PostgreSQL user name specified in startup packet", code="28000")
    return parameters
