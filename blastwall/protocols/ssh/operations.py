"""Exchanges on files: one operation that is done at once, and a file that is open for a while.

What is read and written passes as chunks. Of a file's content the recording has as much as its share allows; then only
how many bytes passed. Their SHA-256 is of all of them, in the order in which they passed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import asyncssh

from blastwall.model import Chunk, Denial, Direction, Masked, Permit, Statement
from blastwall.protocols.ssh.allowance import Share
from blastwall.protocols.ssh.frames import Piece, pack, unpack
from blastwall.protocols.ssh.refusal import lines

WAITING: Final = 64  # reads and writes of one file that wait for their turn
AHEAD_BYTES: Final = 2 * 1024 * 1024  # of one file, asked of the host before it is their turn


#: Of a request that waited: why it cannot run any more, or "".
Moved = Callable[[int], Awaitable[str]]


class FileExchange:
    """What both kinds share: no batches, a person may be asked, and the reason of a refusal goes to standard error."""

    def __init__(self, statement: Statement, chan: Any) -> None:  # noqa: ANN401  the library's channel
        self.statement: Statement | None = statement
        self.more = False
        self.interactive = True
        self.patience = math.inf
        self._chan = chan

    async def notify(self, message: str, detail: str = "") -> None:
        with contextlib.suppress(asyncssh.Error, OSError):
            self._chan.write_stderr("".join(f"{line}\n" for line in (message, detail) if line).encode())

    async def gone(self) -> str:
        await self._chan.wait_closed()
        return "disconnected"

    def _refused(self, denial: Denial) -> asyncssh.SFTPError:
        with contextlib.suppress(asyncssh.Error, OSError):
            self._chan.write_stderr(lines(denial))
        return asyncssh.SFTPPermissionDenied(f"blastwall: {denial.reason}")


class Operation(FileExchange):
    """One operation that is done at once. ``done`` has its result, or the error for the client."""

    def __init__(
        self,
        statement: Statement,
        chan: Any,  # noqa: ANN401
        run: Callable[[], Awaitable[Any]],
        moved: Moved,
    ) -> None:
        super().__init__(statement, chan)
        self._run = run
        self._moved = moved
        self._outcome: Any = None
        self.done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def forward(self, permit: Permit | None) -> AsyncIterator[Chunk]:
        assert permit is not None and self.statement is not None, "nothing is done without its permit"
        number = self.statement.number
        try:
            await _unmoved(self._moved, number)
            self._outcome = await self._run()
        except asyncssh.SFTPError as fault:
            self._outcome = fault
            yield Chunk(pack(Piece.ERRORS, str(fault.reason).encode()), number, error=type(fault).__name__)
            return
        yield Chunk(pack(Piece.OUTPUT, _told(self._outcome)), number, tag="ok")

    async def relay(self, masked: Masked) -> None:
        if self.done.done():
            return
        if isinstance(self._outcome, asyncssh.SFTPError):
            self.done.set_exception(self._outcome)
        else:
            self.done.set_result(self._outcome)

    async def refuse(self, denial: Denial) -> None:
        if not self.done.done():
            self.done.set_exception(self._refused(denial))


@dataclass(slots=True)
class _Wish:
    """A read (``data`` None) or a write at an offset, and where its answer goes. ``coming``: the host is asked."""

    offset: int
    size: int
    data: bytes | None
    answer: asyncio.Future[Any]
    coming: asyncio.Task[bytes] | None = None


@dataclass(frozen=True, slots=True)
class Passed:
    """What passed of one file: bytes read and written, their SHA-256 in hex, how many of them stand in no recording,
    whether they passed from the beginning on without a gap (then the digest is the content's), and what was set of the
    file while it was open."""

    read: int
    written: int
    sha256: str
    unrecorded: int
    in_order: bool
    settings: tuple[str, ...] = ()


class OpenFile(FileExchange):
    """One open file: a statement that lasts until it is closed. ``share`` says what of its content is recorded,
    ``writable`` whether it is open for writing too, ``settings`` what was set of it (``attributes.words``)."""

    def __init__(
        self,
        statement: Statement,
        chan: Any,  # noqa: ANN401
        opening: Callable[[], Awaitable[Any]],
        note: Callable[[Passed], None],
        share: Share,
        moved: Moved,
        path: bytes,
        writable: bool,
    ) -> None:
        super().__init__(statement, chan)
        self._moved = moved
        self.path, self.writable = path, writable
        self.settings: tuple[str, ...] = ()
        self._opening = opening
        self._note = note
        self._share = share
        self._file: Any = None
        self._wishes: asyncio.Queue[_Wish | None] = asyncio.Queue(WAITING)
        self._current: _Wish | None = None
        self._unshown = b""  # what the current wish brought, when the chunk does not hold it
        self._ahead = 0  # bytes that the host was asked for before their turn
        self._writes = 0  # writes that wait
        self._digest = hashlib.sha256()
        self._read = self._written = self._unrecorded = 0
        self._in_order = True
        self.opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.closed = asyncio.Event()

    async def forward(self, permit: Permit | None) -> AsyncIterator[Chunk]:
        assert permit is not None and self.statement is not None, "nothing is opened without its permit"
        number = self.statement.number
        try:
            await _unmoved(self._moved, number)
            self._file = await self._opening()
        except asyncssh.SFTPError as fault:
            yield Chunk(pack(Piece.ERRORS, str(fault.reason).encode()), number, error=type(fault).__name__)
            self._fail(fault)
            return
        try:
            self.opened.set_result(self)
            while (wish := await self._wishes.get()) is not None:
                self._current = wish
                if wish.data is not None:
                    yield self._chunk(Piece.INPUT, wish.data, number)
                    continue
                try:
                    data = await self._found(wish)
                except asyncssh.SFTPError as fault:
                    _settle(wish.answer, fault)
                    continue
                if data:
                    yield self._chunk(Piece.OUTPUT, data, number)
                else:
                    _settle(wish.answer, b"")
        finally:
            self._forget()
            with contextlib.suppress(asyncssh.Error, OSError):
                await self._file.close()
            digest = self._digest.hexdigest()
            passed = Passed(self._read, self._written, digest, self._unrecorded, self._in_order, self.settings)
            self._note(passed)
            self.closed.set()
        yield Chunk(pack(Piece.EXIT, b"0"), number, tag=f"closed {self._read + self._written}")

    def _chunk(self, piece: Piece, data: bytes, number: int) -> Chunk:
        """The data on its way, or in its place how much it is."""
        direction = Direction.TO_TARGET if piece is Piece.INPUT else Direction.TO_AGENT
        if self._share.take(len(data)):
            return Chunk(pack(piece, data), number, direction=direction)
        self._unshown = data
        return Chunk(pack(Piece.LEFT_OUT, str(len(data)).encode()), number, direction=direction)

    async def _found(self, wish: _Wish) -> bytes:
        """What is there to be read; the host has often been asked before."""
        if wish.coming is None:
            return bytes(await self._file.read(wish.size, wish.offset))
        try:
            return await wish.coming
        finally:
            self._ahead -= wish.size

    async def relay(self, masked: Masked) -> None:
        piece, data = unpack(masked.data)
        wish = self._current
        if wish is None or piece not in (Piece.OUTPUT, Piece.INPUT, Piece.LEFT_OUT):
            return
        if piece is Piece.LEFT_OUT:
            data, self._unshown = self._unshown, b""
            self._unrecorded += len(data)
        self._in_order = self._in_order and wish.offset == self._read + self._written
        self._digest.update(data)
        if wish.data is None:
            self._read += len(data)
            _settle(wish.answer, data)
            return
        self._writes -= 1
        try:
            await self._file.write(data, wish.offset)
        except asyncssh.SFTPError as fault:
            _settle(wish.answer, fault)
            return
        self._written += len(data)
        _settle(wish.answer, len(data))

    async def ask(self, offset: int, size: int, data: bytes | None) -> Any:  # noqa: ANN401
        """Read or write once it is its turn. Raises SFTPError."""
        wish = _Wish(offset, size, data, asyncio.get_running_loop().create_future())
        if data is not None:
            self._writes += 1
        elif not self._writes and self._ahead + size <= AHEAD_BYTES:
            # The file is open by permit; a client that keeps many reads under way should not wait for each in turn.
            self._ahead += size
            wish.coming = asyncio.ensure_future(self._read_ahead(size, offset))
            wish.coming.add_done_callback(_observe)
        await self._wishes.put(wish)
        return await wish.answer

    def _forget(self) -> None:
        """Nobody waits any more for what is still wished."""
        while not self._wishes.empty():
            wish = self._wishes.get_nowait()
            if wish is not None and wish.coming is not None:
                wish.coming.cancel()

    async def _read_ahead(self, size: int, offset: int) -> bytes:
        return bytes(await self._file.read(size, offset))

    async def call(self, name: str, *arguments: object) -> Any:  # noqa: ANN401
        """An operation on the open file's attributes. Raises SFTPError."""
        return await getattr(self._file, name)(*arguments)

    async def finish(self) -> None:
        await self._wishes.put(None)
        await self.closed.wait()

    async def refuse(self, denial: Denial) -> None:
        self._fail(self._refused(denial))

    def _fail(self, fault: asyncssh.SFTPError) -> None:
        if not self.opened.done():
            self.opened.set_exception(fault)
        self.closed.set()


async def _unmoved(moved: Moved, number: int) -> None:
    """Raises SFTPPermissionDenied when the request cannot run any more."""
    reason = await moved(number)
    if reason:
        raise asyncssh.SFTPPermissionDenied(f"blastwall: {reason}")


def _observe(done: asyncio.Task[bytes]) -> None:
    """A read that failed after its wish was forgotten is nobody's fault."""
    if not done.cancelled():
        done.exception()


def _settle(answer: asyncio.Future[Any], value: object) -> None:
    if answer.done():
        return
    if isinstance(value, asyncssh.SFTPError):
        answer.set_exception(value)
    else:
        answer.set_result(value)


def _told(outcome: object) -> bytes:
    """What an operation's result says, for the recording."""
    if isinstance(outcome, list):
        return b"\n".join(bytes(each.filename) for each in outcome)
    if isinstance(outcome, bytes):
        return outcome
    if isinstance(outcome, asyncssh.SFTPAttrs):
        return f"{outcome.size} bytes, mode {outcome.permissions or 0:o}".encode()
    return b"done"
