"""A command line or a shell: one statement, its input and its output, until it exits."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import asyncssh

from blastwall.errors import UpstreamFault
from blastwall.masking.detectors import Detectors
from blastwall.model import Chunk, Denial, DenialCode, Direction, Masked, Permit, Statement
from blastwall.protocols.ssh import terminal
from blastwall.protocols.ssh.classify import EXEC
from blastwall.protocols.ssh.frames import Piece, pack, unpack
from blastwall.protocols.ssh.operations import Moved
from blastwall.protocols.ssh.prompts import Prompts
from blastwall.protocols.ssh.refusal import lines, said, status
from blastwall.protocols.ssh.sheet import QUIET_SECONDS, QUIET_TERMINAL_SECONDS, StreamSheet

READ_BYTES: Final = 128 * 1024
ECHO_BYTES: Final = 4  # so little, on a terminal and out of the blue, is what a key gave
AHEAD: Final = 4  # pieces read ahead of what the other side has taken
#: Environment that goes up; the rest is dropped (LD_PRELOAD and its kind decide what runs). A language with a slash
#: would have programs take their messages, which are formats, from a file that an agent has written.
ENVIRONMENT: Final = re.compile(r"(?:LANG|LANGUAGE|LC_[A-Z]{1,20})=[A-Za-z0-9_.@:-]{0,64}", re.ASCII)
_SIGNALS: Final = frozenset(
    {"ABRT", "ALRM", "HUP", "INT", "KILL", "PIPE", "QUIT", "TERM", "USR1", "USR2", "WINCH", "TSTP", "CONT"}
)

Found = tuple[Piece, bytes]
_OUTPUTS: Final = (Piece.OUTPUT, Piece.ERRORS)


@dataclass(frozen=True, slots=True, eq=False)
class Streams:
    """A client's session channel, as the library's readers and writers. ``raw``: it has a terminal."""

    stdin: Any
    stdout: Any
    stderr: Any

    @property
    def channel(self) -> Any:  # noqa: ANN401  the library's own
        return self.stdout.channel

    @property
    def raw(self) -> bool:
        return self.stdin.channel.get_terminal_type() is not None

    def refuse(self, denial: Denial) -> None:
        """Say why on standard error, and exit with the denial's status."""
        with contextlib.suppress(asyncssh.Error, OSError):
            self.stderr.write(lines(denial, raw=self.raw))
            self.stdout.channel.exit(status(denial))


class SessionExchange:
    """Implements :class:`blastwall.conversation.Exchange` for ``exec`` and ``shell`` requests.

    ``seconds`` is how long it may run at most (0: as long as the session). ``detectors`` look through its output,
    ``moved`` tells of a request that waited why it cannot run any more.
    """

    def __init__(
        self,
        statement: Statement,
        upstream: asyncssh.SSHClientConnection,
        streams: Streams,
        seconds: float = 0.0,
        detectors: Detectors | None = None,
        moved: Moved | None = None,
    ) -> None:
        self.statement: Statement | None = statement
        self.more = False
        self.interactive = True
        self.patience = math.inf
        self._upstream = upstream
        self._streams = streams
        self._in, self._out, self._err = streams.stdin, streams.stdout, streams.stderr
        self._seconds = seconds
        self._moved = moved
        self._raw = streams.raw
        self._bare = self._raw and statement.text.startswith(EXEC)  # the command has no terminal, its client has
        self._prompts = Prompts() if self._raw else None
        self._unrecorded: deque[bytes] = deque()
        self._sheets = {} if detectors is None else {each: StreamSheet(detectors) for each in _OUTPUTS}
        self._up: Any = None

    async def forward(self, permit: Permit | None) -> AsyncIterator[Chunk]:
        assert permit is not None and self.statement is not None, "a command goes nowhere without its permit"
        number = self.statement.number
        if self._moved is not None and (reason := await self._moved(number)):
            yield Chunk(pack(Piece.ERRORS, said(f"blastwall: refused: {reason}", raw=self._raw)), number)
            yield Chunk(pack(Piece.EXIT, b"126"), number, tag="moved")
            return
        try:
            up_in, up_out, up_err = await self._start(permit.upstream_text)
        except (asyncssh.Error, OSError) as fault:
            raise UpstreamFault(f"the host would not run it: {fault}") from None
        self._up = up_in
        found: asyncio.Queue[Found | None] = asyncio.Queue(AHEAD)
        tasks = [
            asyncio.ensure_future(self._printed(up_out, up_err, found)),
            asyncio.ensure_future(self._typed(found)),
            asyncio.ensure_future(self._left()),
        ]
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._seconds if self._seconds else math.inf
        try:
            while True:
                held = [kind for kind, sheet in self._sheets.items() if sheet.holds]
                until = min(deadline, loop.time() + self._quiet) if held else deadline
                try:
                    async with asyncio.timeout_at(until if until < math.inf else None):
                        piece = await found.get()
                except TimeoutError:
                    if loop.time() < deadline:
                        for kind in held:
                            yield self._rest(kind, number)
                        continue
                    up_in.channel.close()
                    text = f"blastwall: the shell was open for {self._seconds / 60:g} minutes, and that is its limit"
                    yield Chunk(pack(Piece.ERRORS, said(text, raw=self._raw)), number)
                    yield Chunk(pack(Piece.EXIT, b"124"), number, tag="time limit")
                    return
                if piece is None:
                    break
                kind, data = piece
                if kind in (Piece.OUTPUT, Piece.ERRORS):
                    if self._prompts is not None:
                        self._prompts.shown(data)
                    if self._bare:
                        data = terminal.shown(data)
                    yield Chunk(pack(kind, data), number, sheet=self._sheet(kind, data))
                else:
                    yield Chunk(pack(kind, data), number, direction=Direction.TO_TARGET)
            for kind, sheet in self._sheets.items():
                if sheet.holds:
                    yield self._rest(kind, number)
            yield self._exit(number)
        finally:
            for task in tasks:
                task.cancel()
            up_in.channel.close()

    @property
    def _quiet(self) -> float:
        return QUIET_TERMINAL_SECONDS if self._raw else QUIET_SECONDS

    def _sheet(self, kind: Piece, data: bytes) -> StreamSheet | None:
        sheet = self._sheets.get(kind)
        if sheet is not None and self._raw and len(data) <= ECHO_BYTES and not sheet.holds:
            sheet.flush = True  # a key's echo: whoever types waits for it
        return sheet

    def _rest(self, kind: Piece, number: int) -> Chunk:
        """A chunk that carries what the detectors held back of a stream."""
        sheet = self._sheets[kind]
        sheet.flush = True
        return Chunk(pack(kind, b""), number, sheet=sheet)

    @property
    def found(self) -> Mapping[str, int]:
        """What the detectors have seen so far, by kind."""
        counted: dict[str, int] = {}
        for sheet in self._sheets.values():
            for tally in (sheet.tally.masked, sheet.tally.flagged):
                for kind, count in tally.items():
                    counted[kind] = counted.get(kind, 0) + count
        return counted

    async def _start(self, text: str) -> tuple[Any, Any, Any]:
        channel = self._in.channel
        wanted = channel.get_environment()
        env = {name: value for name, value in wanted.items() if ENVIRONMENT.fullmatch(f"{name}={value}")}
        is_command = text.startswith(EXEC)
        streams = await self._upstream.open_session(
            command=(text.removeprefix(EXEC) or " ") if is_command else None,  # the library takes "" for a shell
            term_type=() if is_command else channel.get_terminal_type() or (),
            term_size=channel.get_terminal_size(),
            env=env,
            send_env=(),
            encoding=None,
            x11_forwarding=False,
        )
        return streams[0], streams[1], streams[2]

    async def _typed(self, found: asyncio.Queue[Found | None]) -> None:
        """What the client sends, in order: bytes, sizes, signals, and the end."""
        while True:
            try:
                await self._up.drain()
                data = await self._in.read(READ_BYTES)
            except asyncssh.TerminalSizeChanged as change:
                if self._bare:
                    continue
                await found.put((Piece.RESIZE, f"{change.width}x{change.height}".encode()))
                continue
            except asyncssh.SignalReceived as signal:
                if signal.signal in _SIGNALS:
                    await found.put((Piece.SIGNAL, str(signal.signal).encode()))
                continue
            except asyncssh.BreakReceived:
                continue
            except (asyncssh.Error, OSError):
                return
            if not data:
                await found.put((Piece.END_OF_INPUT, b""))
                return
            hidden = 0 if self._prompts is None else self._prompts.hides(data)
            if hidden:
                answer, data = data[:hidden], data[hidden:]
                self._unrecorded.append(answer.replace(b"\r", b"\n") if self._bare else answer)
                await found.put((Piece.UNRECORDED, str(hidden).encode()))
            if not data:
                continue
            if self._bare:
                for piece in terminal.typed(data):
                    await found.put(piece)
            else:
                await found.put((Piece.INPUT, data))

    async def _left(self) -> None:
        """The client closed its channel: what runs for it ends too."""
        await self._out.channel.wait_closed()
        if self._up is not None:
            self._up.channel.close()

    async def _printed(self, output: Any, errors: Any, found: asyncio.Queue[Found | None]) -> None:  # noqa: ANN401
        """What the host sends: both outputs, and None once it has closed the channel. A command may close its outputs
        and still read.

        The client hears of their end with the exit status and not before: OpenSSH's closes a channel on which both
        sides have said that nothing more comes, and the library answers that at once, without the status.
        """
        await asyncio.gather(
            read_into(output, Piece.OUTPUT, found, self._out), read_into(errors, Piece.ERRORS, found, self._err)
        )
        await self._up.channel.wait_closed()
        await found.put(None)

    def _exit(self, number: int) -> Chunk:
        channel = self._up.channel
        signal = channel.get_exit_signal()
        if signal is not None:
            name = str(signal[0])
            return Chunk(pack(Piece.EXIT, f"signal {name}".encode()), number, tag=f"signal {name}")
        code = channel.get_exit_status()
        text = str(255 if code is None else code)
        return Chunk(pack(Piece.EXIT, text.encode()), number, tag=f"exit {text}")

    async def relay(self, masked: Masked) -> None:
        piece, data = unpack(masked.data)
        with contextlib.suppress(asyncssh.Error, OSError, BrokenPipeError):  # whoever left does not get the rest
            self._pass(piece, data)

    def _pass(self, piece: Piece, data: bytes) -> None:
        match piece:
            case Piece.OUTPUT | Piece.ERRORS:
                stream = self._out if piece is Piece.OUTPUT else self._err
                if data:
                    stream.write(data)
            case Piece.INPUT | Piece.UNRECORDED:
                self._up.write(data if piece is Piece.INPUT else self._unrecorded.popleft())
            case Piece.RESIZE:
                width, _, height = data.decode().partition("x")
                self._up.channel.change_terminal_size(int(width), int(height))
            case Piece.SIGNAL:
                self._up.channel.send_signal(data.decode())
            case Piece.END_OF_INPUT:
                self._up.write_eof()
            case Piece.EXIT:
                self._end(data.decode())

    def _end(self, how: str) -> None:
        channel = self._out.channel
        if how.startswith("signal "):
            channel.exit_with_signal(how.removeprefix("signal "))
        else:
            channel.exit(int(how))

    async def refuse(self, denial: Denial) -> None:
        self._streams.refuse(denial)

    async def notify(self, message: str, detail: str = "") -> None:
        with contextlib.suppress(asyncssh.Error, OSError):
            self._err.write(said("\n".join(filter(None, (message, detail))), raw=self._raw))

    async def gone(self) -> str:
        await self._out.channel.wait_closed()
        return "disconnected"


async def read_into(stream: Any, piece: Piece, found: asyncio.Queue[Found | None], sink: Any) -> None:  # noqa: ANN401
    """Put what comes on one of the library's streams into the queue, to its end, no faster than ``sink`` takes it.

    Waited for is here and not where it is written: what goes one way must never wait for what goes the other way, or a
    command that answers while it reads stands still for ever.
    """
    with contextlib.suppress(asyncssh.Error, OSError):  # the exit status tells
        while data := await stream.read(READ_BYTES):
            await found.put((piece, data))
            await sink.drain()


def too_many(limit: int) -> Denial:
    """The connection holds as many channels as the target allows."""
    return Denial(DenialCode.BUDGET, f"this connection has {limit} channels open already", "Close one first.")
