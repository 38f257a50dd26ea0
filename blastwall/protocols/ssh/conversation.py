"""One SSH client connection: in by certificate or token, many channels, each request judged on the one road."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import asyncssh

from blastwall.conversation import Channel, Hello, Host, Note
from blastwall.errors import ClientFault, ConfigFault
from blastwall.masking.detectors import Detectors, detectors
from blastwall.model import Credential, Denial, DenialCode, Facts, Statement, Target
from blastwall.protocols.ssh import keys, limits, windows
from blastwall.protocols.ssh.allowance import Allowance, Share, allowance_of
from blastwall.protocols.ssh.arrival import LOGIN, Door, arrive, hand_out, hello_of
from blastwall.protocols.ssh.channel import SshChannel
from blastwall.protocols.ssh.classify import EXEC, FORWARD, SHELL, Request, classify, named_bytes, sftp_text, unplaced
from blastwall.protocols.ssh.exchange import SessionExchange, Streams, too_many
from blastwall.protocols.ssh.farewell import Farewell
from blastwall.protocols.ssh.files import Files, Subsystem
from blastwall.protocols.ssh.forwards import ForwardExchange
from blastwall.protocols.ssh.operations import Passed
from blastwall.protocols.ssh.options import Gateway, Options
from blastwall.protocols.ssh.places import Places, Unplaced
from blastwall.protocols.ssh.refusal import lines
from blastwall.protocols.ssh.upstream import reach

#: The library tells every command at INFO; a log is no place for those.
asyncssh.set_log_level(logging.WARNING)
windows.install()
limits.install()

FRESH_SECONDS: Final = 0.5  # so long after it was judged a request is not looked at again
KEPT: Final = 4096  # judged requests that wait for their exchange
#: What may not be read is not looked into either, to say what a wildcard fits.
_NOT_LOOKED_INTO: Final = frozenset({"secret_path", "outside_paths"})
_SERVED: Final = "exec and shell requests, and the subsystem sftp"


class SshConversation:
    """Implements :class:`blastwall.conversation.Conversation`."""

    def __init__(self, sock: socket.socket, host: Host) -> None:
        self._sock = sock
        self._host = host
        self._door: Door | None = None
        self._client: asyncssh.SSHServerConnection | None = None
        self._upstream: asyncssh.SSHClientConnection | None = None
        self._places = Places(self._start_files)
        self._options = Options()
        self._detectors: Detectors | None = None
        self._allowance: Allowance | None = None
        self._place = ""
        self._ready = asyncio.Event()
        self._channels: asyncio.Queue[Channel | None] = asyncio.Queue(64)
        self._farewell = Farewell()
        self._number = 0
        self._judged: dict[int, _Judged] = {}
        self._note: Note = _silent
        self._closed = False

    async def greet(self) -> Hello | None:
        own = self._host.shared.get("keys")
        if own is None:
            options = self._host.options
            if not isinstance(options, Gateway):
                raise ConfigFault(())
            own = self._host.shared["keys"] = await asyncio.to_thread(keys.load, options)
        self._door = Door(own, self._host, self._session, self._forward)
        self._client = await arrive(self._sock, self._door, self._files)
        if self._door.username == LOGIN:
            await self._door.gone.wait()
            return None
        return hello_of(self._door, self._client)

    async def connect(self, target: Target, credential: Credential) -> None:
        assert self._door is not None, "greet first"
        self._options = target.options
        if target.masking is not None:
            self._detectors = detectors(target.masking.detectors.value)
        if "bytes" not in target.budgets:  # what is not recorded is not counted, either
            session = credential.bearer.session if credential.bearer is not None else ""
            limit = self._options.recorded_session_bytes
            self._allowance = allowance_of(session, limit, self._host.shared)
        self._upstream = await reach(target, credential, self._door.keys)
        self._place = f"{credential.user}@{target.name}"
        self._ready.set()

    def noting(self, note: Note) -> None:
        self._note = note

    async def channels(self) -> AsyncIterator[Channel]:
        assert self._door is not None and self._upstream is not None, "connect first"
        ends = [asyncio.ensure_future(self._door.gone.wait()), asyncio.ensure_future(self._upstream.wait_closed())]
        try:
            while True:
                coming = asyncio.ensure_future(self._channels.get())
                await asyncio.wait({coming, *ends}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    coming.cancel()
                    return
                channel = coming.result()
                if channel is None:
                    return
                yield channel
        finally:
            for end in ends:
                end.cancel()

    def classify(self, statement: Statement) -> Facts:
        return self._request(statement).facts

    def rewrite(self, statement: Statement, facts: Facts) -> str:
        return self._request(statement).text

    def _request(self, statement: Statement) -> Request:
        judged = self._judged.get(statement.number)
        if judged is not None:
            return judged.request
        request = classify(statement.text, self._options)
        return unplaced(request, "it waited among too many others") if request.named else request

    async def refuse(self, denial: Denial) -> None:
        await self.close(denial)

    async def close(self, denial: Denial | None = None) -> None:
        if self._closed:
            return
        self._closed = True
        self._ready.set()
        if self._upstream is not None:
            self._upstream.abort()
        if self._client is None:
            self._sock.close()
            return
        try:
            if denial is not None:
                assert self._door is not None, "a client came by the door"
                await self._farewell.say(denial, self._door.gone)
                reason = lines(denial).decode().strip().replace("\n", "; ")
                self._client.disconnect(asyncssh.DISC_BY_APPLICATION, reason)
        finally:
            self._client.close()

    # -- what the client asks for

    async def _session(self, stdin: Any, stdout: Any, stderr: Any) -> None:  # noqa: ANN401  the library's streams
        """A session channel asked for a command, a shell or a subsystem."""
        assert self._door is not None
        if self._door.username == LOGIN:
            await hand_out(self._door, stdin, stdout, stderr)
            return
        streams = Streams(stdin, stdout, stderr)
        if len(self._farewell) >= self._options.most_channels:
            streams.refuse(too_many(self._options.most_channels))
            return
        try:
            if not self._farewell.enter(streams):
                return
            await self._ready.wait()
            if not self._closed and self._upstream is not None:
                await self._serve(self._upstream, streams)
        finally:
            self._farewell.leave(streams)

    async def _serve(self, upstream: asyncssh.SSHClientConnection, streams: Streams) -> None:
        channel = streams.stdin.channel
        name = channel.get_subsystem()
        if name is not None:
            self._note("refused_request", {"request": f"subsystem {name[:64]}"})
            denial = Denial(DenialCode.UNKNOWN, f"the subsystem {name[:64]!r} is not served", f"Served are {_SERVED}.")
            streams.refuse(denial)
            return
        command = channel.get_command()
        text = SHELL if command is None else EXEC + command
        statement = await self._begin(text)
        seconds = self._options.shell_minutes * 60 if text == SHELL else 0.0
        line = SshChannel()
        exchange = SessionExchange(statement, upstream, streams, seconds, self._detectors, self._moved)
        await line.put(exchange)
        await line.end()
        await self._announce(line)
        await channel.wait_closed()
        if exchange.found:
            self._note("detected", {"statement": statement.number, "kinds": dict(exchange.found)})

    def _forward(self, host: str, port: int) -> Callable[[Any, Any], Awaitable[None]] | None:
        """What serves a connection to a destination; None where the target's owner lists it not."""
        place = f"{host}:{port}"

        def listed() -> bool:
            known = place in self._options.destinations
            if not known:
                self._note("refused_request", {"request": f"direct-tcpip {place[:200]}"})
            return known

        async def serve(reader: Any, writer: Any) -> None:  # noqa: ANN401  the library's streams
            await self._ready.wait()
            if self._upstream is None or self._closed or not listed():
                writer.close()
                return
            line = SshChannel()
            statement = await self._begin(FORWARD + place)
            await line.put(ForwardExchange(statement, self._upstream, (host, port), reader, writer))
            await line.end()
            await self._announce(line)

        # Before the target is known nothing can be refused by its list: then it is looked at once it is.
        return serve if not self._ready.is_set() or listed() else None

    def _files(self, chan: Any) -> Files:  # noqa: ANN401  the library's channel
        subsystem = Subsystem(chan)
        crowded = len(self._farewell) >= self._options.most_channels
        if crowded:
            subsystem.refuse(too_many(self._options.most_channels))
        else:
            self._farewell.enter(subsystem)

        async def begin(operation: str, paths: tuple[bytes, ...], settings: tuple[str, ...]) -> Statement:
            await self._ready.wait()
            if self._closed or crowded:
                raise asyncssh.SFTPConnectionLost("the session has ended")
            try:
                return await self._begin(sftp_text(operation, *paths, settings=settings), named_bytes(*paths))
            except ClientFault as fault:
                raise asyncssh.SFTPFailure(f"blastwall: {fault}") from None

        def note(statement: Statement, passed: Passed) -> None:
            self._note("file", {"statement": statement.number, "text": statement.text, **asdict(passed)})

        def left() -> None:
            self._farewell.leave(subsystem)

        return Files(chan, begin, self._remote_files, self._announce, note, self._share, left, self._moved)

    def _share(self) -> Share:
        return Share(self._options.recorded_file_bytes, self._allowance)

    async def _announce(self, channel: Channel) -> None:
        await self._channels.put(channel)

    async def _begin(self, text: str, raw: Mapping[str, bytes] | None = None) -> Statement:
        """Number a request and judge it, with its paths as the host sees them; ``raw`` has the bytes of names in it."""
        self._number += 1
        number = self._number
        request = classify(text, self._options)
        resolved: Mapping[str, str] = {}
        named: Mapping[str, bytes] = {}
        listed: dict[str, tuple[str, ...]] = {}
        while (request.named or request.wanted) and self._options.resolve_paths:
            named = {path: path.encode() if raw is None else raw[path] for path in request.named}
            try:
                resolved = await self._places.resolve(named)
                request = classify(text, self._options, resolved, listed)
                if not request.wanted or request.facts.flags & _NOT_LOOKED_INTO:
                    break
                listed |= await self._places.names(request.wanted)
                request = classify(text, self._options, resolved, listed)
            except Unplaced as unknown:
                self._note("paths_unresolved", {"reason": str(unknown)})
                request = unplaced(request, str(unknown))
                break
        if len(self._judged) >= KEPT:
            self._judged.pop(next(iter(self._judged)))
        self._judged[number] = _Judged(request, named, resolved, asyncio.get_running_loop().time())
        around = [sorted(resolved.items()), request.text if listed else ""]
        digest = hashlib.sha256(json.dumps(around).encode()).hexdigest()[:16]
        return Statement(text, surroundings=f"{self._place}/{digest}", number=number)

    async def _moved(self, number: int) -> str:
        """Why a request cannot run any more though it may: its paths lead elsewhere since. "" when they do not.

        Asked only of what has waited, for a person or for its turn: nobody approved what is there by now.
        """
        judged = self._judged.get(number)
        if judged is None:
            return "it waited among too many others; send it again"
        if not judged.named or asyncio.get_running_loop().time() - judged.at < FRESH_SECONDS:
            return ""
        try:
            now = await self._places.resolve(judged.named)
        except Unplaced as unknown:
            return str(unknown)
        moved = [path for path in judged.named if now.get(path) != judged.resolved.get(path)]
        return f"{moved[0]} leads elsewhere by now; send it again" if moved else ""

    async def _remote_files(self) -> asyncssh.SFTPClient:
        return await self._places.client()

    async def _start_files(self) -> asyncssh.SFTPClient:
        assert self._upstream is not None, "connect first"
        return await self._upstream.start_sftp_client(path_encoding=None)


@dataclass(frozen=True, slots=True)
class _Judged:
    """A request with what it was judged by: the paths it names, where they led, and when (the loop's seconds)."""

    request: Request
    named: Mapping[str, bytes]
    resolved: Mapping[str, str]
    at: float


def _silent(name: str, fields: Mapping[str, object]) -> None:
    """Before there is a recording nobody listens."""
