"""A PostgreSQL client that reads an answer as fast as it comes and looks at no row of it.

A client that decodes rows would be the slowest part of every route and hide the others. The gateway's own engine logs
in; what follows is bytes from the socket.
"""

from __future__ import annotations

import re
import secrets
import socket
import ssl
import time
from dataclasses import dataclass

from bench.pgbench import BenchFault
from bench.stage import Route
from blastwall.model import Secret
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.upstream import Encryption, Ready, Upstream

RECEIVE = 1 << 20
WAIT_SECONDS = 60.0  # for any single piece of an answer
TAIL = 128
READY = b"Z\0\0\0\x05I"
#: CommandComplete and ReadyForQuery, at the end of a good answer.
END = re.compile(rb"C\0\0\0[\x00-\xff]((?:SELECT|COPY) \d+)\0" + re.escape(READY) + rb"\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Answer:
    """``size`` bytes of messages, framing included, in ``seconds`` from the request to the last byte."""

    size: int
    seconds: float
    tag: str

    @property
    def rate(self) -> float:
        """MB (10^6 bytes) per second."""
        return self.size / self.seconds / 1e6


class Client:
    """One connection. Raises UpstreamFault when it is refused, OSError when the other side is silent for a minute."""

    def __init__(self, route: Route, *, tls: bool = False) -> None:
        self._socket: socket.socket = socket.create_connection((route.host, route.port), WAIT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        up = Upstream()
        if tls:
            up.request_tls()
            self._exchange(up)
            context = ssl.create_default_context(cafile=str(route.ca))
            self._socket = context.wrap_socket(self._socket, server_hostname=route.host)
        up.start(
            {"user": route.user, "database": route.database},
            Secret(route.password),
            nonce=secrets.token_urlsafe(24),
            allow_cleartext=True,
        )
        while not isinstance(self._exchange(up), Ready):
            pass

    def _exchange(self, up: Upstream) -> Encryption | Ready:
        while True:
            event = up.next_event()
            outgoing = up.data_to_send()
            if outgoing:
                self._socket.sendall(outgoing)
            if isinstance(event, (Encryption, Ready)):
                return event
            up.receive(self._socket.recv(65536))

    def ask(self, sql: str) -> Answer:
        """Run one SELECT or COPY ... TO STDOUT."""
        buffer = bytearray(RECEIVE)
        view = memoryview(buffer)
        size = 0
        tail = b""
        start = time.perf_counter()
        self._socket.sendall(messages.query(sql.encode()))
        while not tail.endswith(READY):
            count = self._socket.recv_into(buffer)
            if not count:
                raise BenchFault(f"the connection ended within an answer: {tail!r}")
            size += count
            tail = bytes(view[count - TAIL : count]) if count >= TAIL else (tail + bytes(view[:count]))[-TAIL:]
        seconds = time.perf_counter() - start
        end = END.search(tail)
        if end is None:
            raise BenchFault(f"the answer did not end as it should: {tail!r}")
        return Answer(size, seconds, end[1].decode())

    def close(self) -> None:
        """Leave in order, and wait until the other side has let go: what it does at the end is part of the round."""
        self._socket.sendall(messages.TERMINATE)
        self._socket.settimeout(WAIT_SECONDS)
        while self._socket.recv(4096):
            pass
        self._socket.close()
