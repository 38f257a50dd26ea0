"""Unread bytes of one stream, bounded: the floor every sans-I/O engine stands on."""

from __future__ import annotations

from mypy_extensions import i64, mypyc_attr

from blastwall.errors import OurFault


class Buffer:
    """Bytes received and not yet read.

    An engine scans ``data`` from ``position`` and moves ``position`` itself; ``need(n)`` makes n bytes contiguous
    there or says that they have not come. A chunk that arrives when all is read becomes ``data`` as it is; later ones
    are gathered aside and joined once, when enough is there, so that any sequence of chunks costs time linear in its
    bytes.

    ``limit`` bounds the unread bytes. It guards against a caller that reads on without draining; an engine bounds
    what a peer can make it hold by judging each header before it waits for the body.
    """

    __slots__ = ("_behind", "_later", "data", "limit", "position")

    def __init__(self, limit: int) -> None:
        self.data = b""
        self.position: i64 = 0
        self.limit: i64 = limit
        self._later = bytearray()
        self._behind: i64 = 0  # its length

    def __len__(self) -> int:
        return len(self.data) - self.position + self._behind

    @property
    def empty(self) -> bool:
        """Is all read? As its length says, for less."""
        return self.position == len(self.data) and self._behind == 0

    def feed(self, chunk: bytes) -> None:
        """Take a chunk. Raises OurFault when more than ``limit`` bytes would be unread; the chunk is not taken then."""
        unread: i64 = len(self.data) - self.position + self._behind
        if unread + len(chunk) > self.limit:
            raise OurFault(
                f"{unread + len(chunk)} unread bytes exceed the buffer's {self.limit}: drain before reading on"
            )
        if unread:
            self._later += chunk
            self._behind += len(chunk)
        else:
            self.data = chunk
            self.position = 0

    def need(self, count: i64) -> bool:
        """Are ``count`` bytes at hand? If so they are contiguous in ``data`` from ``position``."""
        here: i64 = len(self.data) - self.position
        if here >= count:
            return True
        if here + self._behind < count:
            return False
        self.data = b"".join((memoryview(self.data)[self.position :], self._later))
        self.position = 0
        self._later = bytearray()
        self._behind = 0
        return True

    def take(self, count: i64) -> bytes:
        """Return the next ``count`` bytes and move past them; call after ``need(count)``."""
        start = self.position
        self.position = start + count
        return self.data[start : start + count]

    def clear(self) -> None:
        """Forget everything unread."""
        self.data = b""
        self.position = 0
        self._later = bytearray()
        self._behind = 0


@mypyc_attr(allow_interpreted_subclasses=True)  # those of tests
class Engine:
    """What stands behind a wire. A class of its own and not a protocol: compiled, a call to it is one jump."""

    __slots__ = ()

    def receive(self, data: bytes) -> None:
        """Take bytes that came. What it raises ends up in the wire's ``error``."""

    @property
    def backlog(self) -> int:
        """How many bytes wait for whoever reads its events."""
        return 0
