"""A client that says exactly what it is told to, byte for byte (PostgreSQL documentation, "Message Formats")."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self

from tests.e2e.stacks import Stack

SECONDS = 15.0
REFUSED = "42501"  # what policy refuses, and what is not understood
ORDERS = 200  # rows of the corpus' table
VERSION = 3 << 16
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
GSSENC_REQUEST = struct.pack("!ii", 8, 80877104)


class Frame(NamedTuple):
    """One message of the server; ``kind`` is its letter."""

    kind: str
    body: bytes

    @property
    def fields(self) -> Mapping[str, str]:
        """Of an ErrorResponse or NoticeResponse."""
        return {part[:1].decode(): part[1:].decode() for part in self.body.split(b"\0") if part}

    @property
    def values(self) -> list[bytes | None]:
        """Of a DataRow."""
        found: list[bytes | None] = []
        position = 2
        for _ in range(struct.unpack_from("!H", self.body)[0]):
            (size,) = struct.unpack_from("!i", self.body, position)
            position += 4
            found.append(None if size < 0 else self.body[position : position + size])
            position += max(size, 0)
        return found


def message(kind: str, body: bytes = b"") -> bytes:
    return kind.encode() + struct.pack("!I", len(body) + 4) + body


def query(text: str | bytes) -> bytes:
    return message("Q", (text.encode() if isinstance(text, str) else text) + b"\0")


def parse(text: str | bytes, name: str = "", types: Sequence[int] = ()) -> bytes:
    words = text.encode() if isinstance(text, str) else text
    return message("P", name.encode() + b"\0" + words + b"\0" + struct.pack(f"!H{len(types)}I", len(types), *types))


def bind(
    values: Sequence[bytes | None] = (), *, statement: str = "", portal: str = "", formats: Sequence[int] = (),
    results: Sequence[int] = (),
) -> bytes:  # fmt: skip
    body = portal.encode() + b"\0" + statement.encode() + b"\0"
    body += struct.pack(f"!H{len(formats)}H", len(formats), *formats) + struct.pack("!H", len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return message("B", body + struct.pack(f"!H{len(results)}H", len(results), *results))


def describe(kind: str, name: str = "") -> bytes:
    return message("D", kind.encode() + name.encode() + b"\0")


def execute(portal: str = "", rows: int = 0) -> bytes:
    return message("E", portal.encode() + b"\0" + struct.pack("!i", rows))


def close(kind: str, name: str = "") -> bytes:
    return message("C", kind.encode() + name.encode() + b"\0")


def run(text: str, values: Sequence[bytes | None] = (), *, results: Sequence[int] = ()) -> bytes:
    """Parse, Bind and Execute of the unnamed statement, without a Sync."""
    return parse(text) + bind(values, results=results) + execute()


def startup(parameters: Iterable[tuple[str, str]], version: int = VERSION) -> bytes:
    body = struct.pack("!I", version) + b"".join(f"{name}\0{value}\0".encode() for name, value in parameters) + b"\0"
    return struct.pack("!I", len(body) + 4) + body


SYNC, FLUSH, TERMINATE = message("S"), message("H"), message("X")


class Client:
    """A socket to the gateway. ``tls`` asks for TLS as libpq does; nothing else is sent by itself."""

    def __init__(self, stack: Stack, *, tls: bool = True) -> None:
        self.stack = stack
        self.sock: socket.socket = socket.create_connection((stack.host, stack.port), SECONDS)
        self._held = b""
        self.key = (0, b"")
        if tls:
            self.send(SSL_REQUEST)
            assert self.sock.recv(1) == b"S"
            context = ssl.create_default_context(cafile=stack.ca)
            self.sock = context.wrap_socket(self.sock, server_hostname=stack.host)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, *parts: bytes) -> None:
        self.sock.sendall(b"".join(parts))

    def drip(self, data: bytes) -> None:
        """One byte at a time, each in a packet of its own."""
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for position in range(len(data)):
            self.sock.sendall(data[position : position + 1])

    def log_in(self, token: str = "", *more: tuple[str, str], version: int = VERSION) -> list[Frame]:
        """Start up with user and database of the target, send the token, and return what came until ReadyForQuery."""
        name = self.stack.target
        self.send(startup([("user", name), ("database", self.stack.databases[name]), *more], version))
        heard = [self.frame()]
        while heard[-1].kind == "v":
            heard.append(self.frame())
        assert heard[-1].kind == "R" and heard[-1].body == struct.pack("!I", 3), heard
        self.send(message("p", (token or self.stack.token()).encode() + b"\0"))
        heard += self.until("Z")
        (key,) = [frame for frame in heard if frame.kind == "K"]
        self.key = struct.unpack("!i", key.body[:4])[0], key.body[4:]
        return heard

    def frame(self) -> Frame:
        """The next message. Raises EOFError when the gateway has hung up."""
        while True:
            if len(self._held) >= 5:
                size = 1 + struct.unpack_from("!I", self._held, 1)[0]
                if len(self._held) >= size:
                    frame = Frame(chr(self._held[0]), self._held[5:size])
                    self._held = self._held[size:]
                    return frame
            data = self.sock.recv(65536)
            if not data:
                raise EOFError("the gateway has hung up")
            self._held += data

    def until(self, kind: str) -> list[Frame]:
        """Messages up to the first of this kind, without notices."""
        found: list[Frame] = []
        while not found or found[-1].kind != kind:
            found.append(self.frame())
        return [frame for frame in found if frame.kind != "N"]

    def ask(self, *parts: bytes) -> list[Frame]:
        """Send, and return what comes until ReadyForQuery."""
        self.send(*parts)
        return self.until("Z")

    def to_the_end(self) -> list[Frame]:
        """Messages until the gateway hangs up."""
        found: list[Frame] = []
        try:
            while True:
                found.append(self.frame())
        except (EOFError, ConnectionResetError):
            return found


def kinds(frames: Iterable[Frame]) -> str:
    """Their letters, in order."""
    return "".join(frame.kind for frame in frames)


def codes(frames: Iterable[Frame]) -> list[str]:
    """SQLSTATEs of the errors among them."""
    return [frame.fields["C"] for frame in frames if frame.kind == "E"]


def rows(frames: Iterable[Frame]) -> list[list[bytes | None]]:
    return [frame.values for frame in frames if frame.kind == "D"]
