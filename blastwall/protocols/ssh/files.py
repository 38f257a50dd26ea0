"""SFTP, operation by operation: each is judged by what it does and where, then done on the host by the gateway.

The agent's client speaks SFTP version 3 with the gateway; requests that the library does not know are refused there.
Names come from the client as bytes and go up as bytes.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import asyncssh

from blastwall.model import Denial, Effect, Statement
from blastwall.protocols.ssh import attributes
from blastwall.protocols.ssh.allowance import Share
from blastwall.protocols.ssh.channel import SshChannel
from blastwall.protocols.ssh.classify import SETSTAT
from blastwall.protocols.ssh.operations import Moved, OpenFile, Operation, Passed
from blastwall.protocols.ssh.refusal import lines, status

MOST_NAMES: Final = 100_000  # entries of one directory that are listed
WRITING: Final = asyncssh.FXF_WRITE | asyncssh.FXF_CREAT | asyncssh.FXF_TRUNC | asyncssh.FXF_APPEND


@dataclass(frozen=True, slots=True, eq=False)
class Subsystem:
    """A client's channel with SFTP on it, to be refused as a whole."""

    channel: Any

    def refuse(self, denial: Denial) -> None:
        """Say why on standard error, and exit with the denial's status."""
        with contextlib.suppress(asyncssh.Error, OSError):
            self.channel.write_stderr(lines(denial))
            self.channel.exit(status(denial))


#: Operation, paths, what is set: numbered and judged. Raises SFTPError.
Begin = Callable[[str, tuple[bytes, ...], tuple[str, ...]], Awaitable[Statement]]


class Files(asyncssh.SFTPServer):
    """The SFTP server that an agent's client sees.

    ``begin`` numbers and judges a request; ``open_channel`` gives a channel of its own to what lasts; ``share``
    says of a file what of it is recorded; ``note`` is told what passed; ``left`` is called once the client has closed
    the subsystem; ``moved`` tells of a request that waited why it cannot run any more.
    """

    def __init__(
        self,
        chan: Any,  # noqa: ANN401  asyncssh does not tell
        begin: Begin,
        upstream: Callable[[], Awaitable[asyncssh.SFTPClient]],
        open_channel: Callable[[SshChannel], Awaitable[None]],
        note: Callable[[Statement, Passed], None],
        share: Callable[[], Share],
        left: Callable[[], None],
        moved: Moved,
    ) -> None:
        super().__init__(chan)
        self._begin = begin
        self._upstream = upstream
        self._open_channel = open_channel
        self._note = note
        self._share = share
        self._left = left
        self._moved = moved
        self._line = SshChannel()
        self._announced = False
        self._opened: set[OpenFile] = set()

    async def _do(self, operation: str, paths: tuple[bytes, ...], name: str, *arguments: object) -> Any:  # noqa: ANN401
        async def run() -> Any:  # noqa: ANN401  as the operation
            return await getattr(await self._upstream(), name)(*arguments)

        return await self._run(operation, paths, run)

    async def _run(
        self,
        operation: str,
        paths: tuple[bytes, ...],
        run: Callable[[], Awaitable[Any]],
        settings: tuple[str, ...] = (),
    ) -> Any:  # noqa: ANN401  as the operation
        statement = await self._begin(operation, paths, settings)
        exchange = Operation(statement, self.channel, run, self._moved)
        if not self._announced:
            self._announced = True
            await self._open_channel(self._line)
        await self._line.put(exchange)
        return await exchange.done

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> OpenFile:
        operation = "read"
        if pflags & WRITING:
            operation = "update" if pflags & asyncssh.FXF_READ else "write"
        statement = await self._begin(operation, (path,), ())

        async def opening() -> Any:  # noqa: ANN401  as the operation
            client = await self._upstream()
            made = attributes.created(attrs)
            return await client.open(path, pflags, made, encoding=None, block_size=None, max_requests=1)

        exchange = OpenFile(
            statement,
            self.channel,
            opening,
            lambda passed: self._note(statement, passed),
            self._share(),
            self._moved,
            path,
            operation != "read",
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
        """Who may write a file may set its size, times and plain rights while it is open. All else is a statement."""
        assert isinstance(file_obj, OpenFile)
        settings = attributes.words(attrs)
        within = tuple(word for word in settings if not word.startswith("size="))
        if file_obj.writable and attributes.judged(within)[0] is Effect.WRITE:
            await file_obj.call("setstat", attributes.kept(attrs))
            file_obj.settings += settings
            return
        await self._run(SETSTAT, (file_obj.path,), lambda: file_obj.call("setstat", attributes.kept(attrs)), settings)

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
        async def run() -> list[asyncssh.SFTPName]:
            found: list[asyncssh.SFTPName] = []
            async for name in (await self._upstream()).scandir(path):
                found.append(name)
                if len(found) > MOST_NAMES:
                    break
            return found

        names = await self._run("list", (path,), run)
        for name in names[:MOST_NAMES]:
            yield name
        if len(names) > MOST_NAMES:  # a listing that ends too early in silence has whoever compares remove the rest
            raise asyncssh.SFTPFailure(f"blastwall: only the first {MOST_NAMES} names of a directory are listed")

    async def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        async def run() -> None:
            await (await self._upstream()).setstat(path, attributes.kept(attrs))

        await self._run(SETSTAT, (path,), run, attributes.words(attrs))

    async def lsetstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        raise asyncssh.SFTPOpUnsupported("not served")

    async def remove(self, path: bytes) -> None:
        await self._do("remove", (path,), "remove", path)

    async def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        await self._do("mkdir", (path,), "mkdir", path, attributes.created(attrs))

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
