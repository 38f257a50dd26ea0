"""Where paths really lead, as the host itself says (SSH_FXP_REALPATH), and the gateway's own SFTP client for it.

What a path is judged by must not depend on the agent: when the host does not answer, nothing that names a path is
judged at all. A client of the host's that has ended (an agent may bring it down) is replaced.
"""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import asyncssh

from blastwall.shell.paths import HOME

RESOLVE_SECONDS: Final = 5.0
AT_ONCE: Final = 16  # questions to the host that are under way
MOST_ABOVE: Final = 64  # directories that do not exist yet, one in another
MOST_NAMES: Final = 10_000  # of one directory, when a wildcard stands in it
_ENDED: Final = (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection)


class Unplaced(Exception):
    """The host did not say. ``str()`` says why, in words that an agent may see."""


class Places:
    """The host's files as the gateway itself asks for them. ``start`` opens an SFTP client on the connection."""

    def __init__(self, start: Callable[[], Awaitable[asyncssh.SFTPClient]]) -> None:
        self._start = start
        self._client: asyncssh.SFTPClient | None = None
        self._lock = asyncio.Lock()
        self._watching: set[asyncio.Task[None]] = set()
        self._home = ""  # as the host says it; paths below it are told from ~ on

    async def client(self) -> asyncssh.SFTPClient:
        """A client that has not ended. Raises asyncssh.Error and OSError when the host gives none."""
        async with self._lock:
            if self._client is None:
                client = self._client = await self._start()
                watching = asyncio.ensure_future(self._watch(client))
                self._watching.add(watching)
                watching.add_done_callback(self._watching.discard)
            return self._client

    async def resolve(self, named: Mapping[str, bytes]) -> Mapping[str, str]:
        """Paths as written to where they really are; ``named`` has the bytes of each.

        One that does not exist yet is placed in its real directory, or in the nearest one above that exists (``mkdir
        -p`` makes the others); left out is "x/." where x is no directory. Raises Unplaced.
        """
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                try:
                    return await self._resolved(named)
                except _ENDED:
                    self._client = None
                    return await self._resolved(named)
        except TimeoutError:
            raise Unplaced(f"the host did not say within {RESOLVE_SECONDS:g} s where the paths lead") from None
        except (asyncssh.Error, OSError) as fault:
            raise Unplaced(f"the host does not say where the paths lead: {str(fault)[:100]}") from None

    async def names(self, directories: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """The names in directories, as they are written; none where there is no such directory. Raises Unplaced."""
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                client = await self.client()
                return {each: await _names(client, each.encode()) for each in directories}
        except TimeoutError:
            raise Unplaced(f"the host did not list names within {RESOLVE_SECONDS:g} s") from None
        except (asyncssh.Error, OSError) as fault:
            raise Unplaced(f"the host does not list names: {str(fault)[:100]}") from None

    async def _resolved(self, named: Mapping[str, bytes]) -> Mapping[str, str]:
        client = await self.client()
        if not self._home:
            self._home = await _real(client, b".") or ""
        turn = asyncio.Semaphore(AT_ONCE)

        async def ask(path: bytes) -> str | None:
            async with turn:
                return await _real(client, path)

        found = zip(named, await asyncio.gather(*map(ask, named.values())), strict=True)
        return {path: self._from_home(real) for path, real in found if real is not None}

    def _from_home(self, real: str) -> str:
        inside = self._home and (real == self._home or real.startswith(self._home.rstrip("/") + "/"))
        return HOME + real[len(self._home.rstrip("/")) :] if inside else real

    async def _watch(self, client: asyncssh.SFTPClient) -> None:
        await client.wait_closed()
        if self._client is client:
            self._client = None


async def _real(client: asyncssh.SFTPClient, path: bytes) -> str | None:
    directory, rest = path, b""
    while True:
        try:
            real = await client.realpath(directory)
        except _ENDED:
            raise
        except asyncssh.SFTPError:
            above, name = posixpath.split(directory.rstrip(b"/"))
            if name in (b"", b".", b"..") and directory == path:
                return None
            if not name or len(rest.split(b"/")) > MOST_ABOVE:
                return None
            directory, rest = above or b".", posixpath.join(name, rest) if rest else name
            continue
        return (posixpath.join(real, rest) if rest else real).decode("utf-8", "backslashreplace")


async def _names(client: asyncssh.SFTPClient, directory: bytes) -> tuple[str, ...]:
    """Raises Unplaced when there are too many, or one is no text."""
    found: list[str] = []
    try:
        async for entry in client.scandir(directory):
            name = bytes(entry.filename)  # type: ignore[arg-type]  # the client has no encoding for paths
            if name not in (b".", b".."):
                found.append(name.decode("utf-8", "backslashreplace"))
            if len(found) > MOST_NAMES:
                raise Unplaced(f"more than {MOST_NAMES} names stand where a wildcard is")
    except _ENDED:
        raise
    except asyncssh.SFTPError:
        return ()
    return tuple(found)
