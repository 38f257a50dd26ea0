"""SFTP, operation by operation: each is judged by what it does and where, then done on the host by the gateway.

The agent's client speaks SFTP version 3 with the gateway; requests that the library does not know are refused there.
Names come from the client as bytes and go up as bytes.
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
from blastwall.protocols.ssh.channel import SshChannel
from blastwall.protocols.ssh.frames import Piece, pack, unpack
from blastwall.protocols.ssh.refusal import lines, status

MOST_NAMES: Final = 100_000  # entries of one directory that are listed
WRITING: Final = asyncssh.FXF_WRITE | asyncssh.FXF_CREAT | asyncssh.FXF_TRUNC | asyncssh.FXF_APPEND


class _Exchange:
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


class Operation(_Exchange):
    """One operation that is done at once. ``done`` has its result, or the error for the client."""

    def __init__(self, statement: Statement, chan: Any, run: Callable[[], Awaitable[Any]]) -> None:  # noqa: ANN401
        super().__init__(statement, chan)
        self._run = run
        self._outcome: Any = None
        self.done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def forward(self, permit: Permit | None) -> AsyncIterator[Chunk]:
        assert permit is not None and self.statement is not None, "nothing is done without its permit"
        number = self.statement.number
        try:
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
    """A read (``data`` None) or a write at an offset, and where its answer goes."""

    offset: int
    size: int
    data: bytes | None
    answer: asyncio.Future[Any]


class OpenFile(_Exchange):
    """One open file: a statement that lasts until it is closed. What is read and written passes as chunks."""

    def __init__(
        self,
        statement: Statement,
        chan: Any,  # noqa: ANN401
        opening: Callable[[], Awaitable[Any]],
        note: Callable[[int, int, str], None],
    ) -> None:
        super().__init__(statement, chan)
        self._opening = opening
        self._note = note
        self._file: Any = None
        self._wishes: asyncio.Queue[_Wish | None] = asyncio.Queue(64)
        self._current: _Wish | None = None
        self._digest = hashlib.sha256()
        self._read = self._written = 0
        self.opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.closed = asyncio.Event()

    async def forward(self, permit: Permit | None) -> AsyncIterator[Chunk]:
        assert permit is not None and self.statement is not None, "nothing is opened without its permit"
        number = self.statement.number
        try:
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
                    yield Chunk(pack(Piece.INPUT, wish.data), number, direction=Direction.TO_TARGET)
                    continue
                try:
                    data = await self._file.read(wish.size, wish.offset)
                except asyncssh.SFTPError as fault:
                    _settle(wish.answer, fault)
                    continue
                if data:
                    yield Chunk(pack(Piece.OUTPUT, data), number)
                else:
                    _settle(wish.answer, b"")
        finally:
            with contextlib.suppress(asyncssh.Error, OSError):
                await self._file.close()
            self._note(self._read, self._written, self._digest.hexdigest())
            self.closed.set()
        yield Chunk(pack(Piece.EXIT, b"0"), number, tag=f"closed {self._read + self._written}")

    async def relay(self, masked: Masked) -> None:
        piece, data = unpack(masked.data)
        wish = self._current
        if wish is None or piece not in (Piece.OUTPUT, Piece.INPUT):
            return
        self._digest.update(data)
        if piece is Piece.OUTPUT:
            self._read += len(data)
            _settle(wish.answer, data)
            return
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
        await self._wishes.put(wish)
        return await wish.answer

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


@dataclass(frozen=True, slots=True, eq=False)
class Subsystem:
    """A client's channel with SFTP on it, to be refused as a whole."""

    channel: Any

    def refuse(self, denial: Denial) -> None:
        """Say why on standard error, and exit with the denial's status."""
        with contextlib.suppress(asyncssh.Error, OSError):
            self.channel.write_stderr(lines(denial))
            self.channel.exit(status(denial))


Begin = Callable[[str, tuple[bytes, ...]], Awaitable[Statement]]


class Files(asyncssh.SFTPServer):
    """The SFTP server that an agent's client sees.

    ``begin`` numbers and judges a request's text; ``open_channel`` gives a channel of its own to what lasts; ``left``
    is called once the client has closed the subsystem.
    """

    def __init__(
        self,
        chan: Any,  # noqa: ANN401
        begin: Begin,
        upstream: Callable[[], Awaitable[asyncssh.SFTPClient]],
        open_channel: Callable[[SshChannel], Awaitable[None]],
        note: Callable[[Statement, int, int, str], None],
        left: Callable[[], None],
    ) -> None:
        super().__init__(chan)
        self._begin = begin
        self._upstream = upstream
        self._open_channel = open_channel
        self._note = note
        self._left = left
        self._line = SshChannel()
        self._announced = False
        self._opened: set[OpenFile] = set()

    async def _do(self, operation: str, paths: tuple[bytes, ...], name: str, *arguments: object) -> Any:  # noqa: ANN401
        statement = await self._begin(operation, paths)
        client = await self._upstream()
        exchange = Operation(statement, self.channel, lambda: getattr(client, name)(*arguments))
        if not self._announced:
            self._announced = True
            await self._open_channel(self._line)
        await self._line.put(exchange)
        return await exchange.done

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> OpenFile:
        statement = await self._begin("write" if pflags & WRITING else "read", (path,))
        client = await self._upstream()
        exchange = OpenFile(
            statement,
            self.channel,
            lambda: client.open(path, pflags, attrs, encoding=None, block_size=None, max_requests=1),
            lambda read, written, digest: self._note(statement, read, written, digest),
        )
        channel = SshChannel()
        await self._open_channel(channel)
        await channel.put(exchange)
        await channel.end()
        await exchange.opened
        self._opened.add(exchange)
        return exchange

    async def close(self, file_obj: object) -> None:
        assert isinstance(file_obj, OpenFile)
        self._opened.discard(file_obj)
        await file_obj.finish()

    async def read(self, file_obj: object, offset: int, size: int) -> bytes:
        assert isinstance(file_obj, OpenFile)
        return bytes(await file_obj.ask(offset, size, None))

    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        assert isinstance(file_obj, OpenFile)
        return int(await file_obj.ask(offset, 0, data))

    async def fstat(self, file_obj: object) -> asyncssh.SFTPAttrs:
        assert isinstance(file_obj, OpenFile)
        found: asyncssh.SFTPAttrs = await file_obj.call("stat")
        return found

    async def fsetstat(self, file_obj: object, attrs: asyncssh.SFTPAttrs) -> None:
        assert isinstance(file_obj, OpenFile)
        await file_obj.call("setstat", attrs)

    async def fsync(self, file_obj: object) -> None:
        assert isinstance(file_obj, OpenFile)
        await file_obj.call("fsync")

    async def lstat(self, path: bytes) -> asyncssh.SFTPAttrs:
        found: asyncssh.SFTPAttrs = await self._do("stat", (path,), "lstat", path)
        return found

    async def stat(self, path: bytes) -> asyncssh.SFTPAttrs:
        found: asyncssh.SFTPAttrs = await self._do("stat", (path,), "stat", path)
        return found

    async def realpath(self, path: bytes) -> bytes:
        return bytes(await self._do("stat", (path,), "realpath", path))

    async def readlink(self, path: bytes) -> bytes:
        return bytes(await self._do("readlink", (path,), "readlink", path))

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        names = await self._do("list", (path,), "readdir", path)
        for name in names[:MOST_NAMES]:
            yield name

    async def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        await self._do("setstat", (path,), "setstat", path, attrs)

    async def lsetstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        raise asyncssh.SFTPOpUnsupported("not served")

    async def remove(self, path: bytes) -> None:
        await self._do("remove", (path,), "remove", path)

    async def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        await self._do("mkdir", (path,), "mkdir", path, attrs)

    async def rmdir(self, path: bytes) -> None:
        await self._do("rmdir", (path,), "rmdir", path)

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        await self._do("rename", (oldpath, newpath), "rename", oldpath, newpath)

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        await self._do("rename", (oldpath, newpath), "posix_rename", oldpath, newpath)

    async def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        await self._do("symlink", (oldpath, newpath), "symlink", oldpath, newpath)

    async def link(self, oldpath: bytes, newpath: bytes) -> None:
        await self._do("link", (oldpath, newpath), "link", oldpath, newpath)

    async def statvfs(self, path: bytes) -> Any:  # noqa: ANN401
        return await self._do("statvfs", (path,), "statvfs", path)

    async def fstatvfs(self, file_obj: object) -> Any:  # noqa: ANN401
        assert isinstance(file_obj, OpenFile)
        return await file_obj.call("statvfs")

    async def open56(self, path: bytes, desired_access: int, flags: int, attrs: object) -> object:
        raise asyncssh.SFTPOpUnsupported("only SFTP version 3 is served")

    async def lock(self, file_obj: object, offset: int, length: int, flags: int) -> None:
        raise asyncssh.SFTPOpUnsupported("not served")

    async def unlock(self, file_obj: object, offset: int, length: int) -> None:
        raise asyncssh.SFTPOpUnsupported("not served")

    async def exit(self) -> None:
        self._left()
        for each in tuple(self._opened):
            await each.finish()
        await self._line.end()
        with contextlib.suppress(asyncssh.Error, OSError):
            self.channel.exit(0)  # scp takes a channel that ends without a status for a failure
