"""Plays client and server bytes against a channel: ``say`` for the client, ``answer`` for the server.

The engines, the answers and the channel are the real ones; the sockets are lists and the decision is a function of the text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from blastwall.conversation import Exchange, Road, Waiting
from blastwall.masking.mask import mask
from blastwall.masking.plan import UNTOUCHED, Plan, Treatment
from blastwall.model import Chunk, Denial, DenialCode, Effect, Facts, Masked, ObjectRef, Parameter, Permit, Statement
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.answers import Answers
from blastwall.protocols.postgres.channel import PostgresChannel
from blastwall.protocols.postgres.classify import Finding, Judgement
from blastwall.protocols.postgres.downstream import Downstream
from blastwall.protocols.postgres.exchange import Reader
from blastwall.protocols.postgres.legs import Legs
from blastwall.protocols.postgres.names import Names
from blastwall.protocols.postgres.net import Net
from blastwall.protocols.postgres.upstream import Ready, Upstream
from blastwall.sql.parser import parse
from blastwall.wire.buffer import Engine
from blastwall.wire.wire import Signal, Wire

PINNED = {"client_encoding": "UTF8", "standard_conforming_strings": "on"}

#: What a server may say without having been asked, or somebody in its place.
UNASKED = (
    messages.notice_response("NOTICE", "00000", "by the way"),
    messages.error_response("ERROR", "22012", "division by zero"),
    messages.error_response("FATAL", "57P01", "going away"),
    messages.parameter_status("application_name", "x"),
    messages.parameter_status("client_encoding", "LATIN1"),
    messages.copy_response(b"G", 0, (0,)),
    messages.copy_response(b"H", 0, (0,)),
    messages.copy_data(b"1\tx\n"),
    messages.COPY_DONE,
)


class Ear(asyncio.Transport):
    """The other end of a wire: it keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def take(self) -> bytes:
        sent, self.sent = self.sent, b""
        return sent


class Deaf(Engine):
    """It takes nothing."""

    backlog = 0

    def receive(self, data: bytes) -> None: ...


def deaf_wire(signal: Signal) -> Wire:
    """A wire whose engine is fed by the test; what is written to it waits in its transport, an :class:`Ear`."""
    wire = Wire(Deaf(), signal)
    wire.connection_made(Ear())
    return wire


def written(wire: Wire) -> bytes:
    """What was written to it since it was last asked."""
    ear = wire.transport
    assert isinstance(ear, Ear)
    return ear.take()


class FakeReader(Reader):
    """Effects by first word; ``DROP`` and ``DENY`` are judged by the playbook's own decision."""

    stale = False
    patience = 60.0
    plan = Plan()

    def __init__(self) -> None:
        self.spoiled: dict[int, str] = {}
        self.colds: set[str] = set()
        self.warmed: list[tuple[str, tuple[Parameter, ...], tuple[int, ...]]] = []
        self.treatments: dict[str, tuple[Treatment, ...]] = {}
        self.caught_up = 0

    def find(self, text: str) -> Any:
        word = text.split()[0].upper() if text.split() else ""
        effect = {"SELECT": Effect.READ, "BEGIN": Effect.SESSION, "COMMIT": Effect.SESSION}.get(word, Effect.WRITE)
        objects = (ObjectRef("table", "public.t", "write"),) if effect is Effect.WRITE else ()
        facts = Facts(effect, word.lower(), objects)
        given = self.treatments.get(text, (UNTOUCHED,))
        tree = parse(text) if text in self.treatments else None
        return Finding(facts, tree, statements=tuple(Judgement(facts, word.lower(), treatment=each) for each in given))

    def spoil(self, number: int, reason: str) -> None:
        self.spoiled[number] = reason

    def declared(self, text: str, type_ids: tuple[int, ...]) -> str:
        return "of a type of somebody's own" if 99_999 in type_ids else ""

    def bound(self, number: int, prepared: Any) -> None: ...

    def minted(self, number: int) -> dict[str, str]:
        return {}

    def effects(self, text: str, permit: Permit, number: int, minted: Any) -> tuple[Callable[[], None] | None, ...]:
        return (lambda: None,) if text.startswith("CREATE") else ()

    def surroundings(self, text: str) -> str:
        return "here"

    def cold(self, text: str, values: tuple[Parameter, ...], type_ids: tuple[int, ...]) -> bool:
        return text in self.colds

    async def warm(self, text: str, values: tuple[Parameter, ...], type_ids: tuple[int, ...]) -> None:
        self.warmed.append((text, values, type_ids))

    async def refresh(self) -> None: ...

    async def catch_up(self) -> None:
        self.caught_up += 1


def decide(statement: Statement) -> Permit | Denial:
    if "DROP" in statement.text or "DENY" in statement.text:
        return Denial(DenialCode.POLICY, "no", policies=("no-drop",))
    return Permit(statement.text)


class Playbook(Road):
    """One connection past its start-up. Use as an async context manager."""

    def __init__(self, decision: Callable[[Statement], Permit | Denial] = decide, net: Net | None = None) -> None:
        self.slow = False
        self.decision = decision
        self.net = net
        self.down = Downstream()
        self.up = Upstream()
        self.judged: list[tuple[Statement, bool]] = []  # with: interactive
        self.relayed: list[bytes] = []
        self.chunks: list[Any] = []
        self.fault: BaseException | None = None

    async def __aenter__(self) -> Playbook:
        self.down.receive(messages.startup({"user": "a"}))
        self.down.next_event()
        self.down.authenticated()
        self.up.start({"user": "a", "database": "d"}, None, nonce="n" * 24)
        self.up.data_to_send()
        self.up.receive(
            messages.AUTHENTICATION_OK
            + b"".join(messages.parameter_status(*item) for item in PINNED.items())
            + messages.backend_key_data(1, b"abcd")
            + messages.ready_for_query(b"I")
        )
        while not isinstance(self.up.next_event(), Ready):
            pass
        self.names = Names()
        self.answers = Answers(self.names, PINNED, net=self.net)
        self.signal = Signal(asyncio.get_running_loop())
        self.down_wire, self.up_wire = deaf_wire(self.signal), deaf_wire(self.signal)
        self.legs = Legs(self.down, self.down_wire, self.up, self.up_wire, self.signal, self.answers)
        self.reader = FakeReader()
        self.channel = PostgresChannel(self.legs, self.reader)
        self.task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})

    async def _run(self) -> None:
        try:
            await self.channel.drive(self)
        except BaseException as fault:  # noqa: BLE001 - the test looks at it
            self.fault = fault

    def admit(self, exchange: Exchange) -> Permit | Denial | Waiting | None:
        if exchange.statement is None:
            return None
        self.judged.append((exchange.statement, exchange.interactive))
        decision = self.decision(exchange.statement)
        return Waiting(self._later(decision)) if self.slow else decision

    def pass_on(self, chunk: Chunk) -> Masked | Waiting:
        self.chunks.append(chunk)
        masked = mask(chunk)
        return Waiting(self._later(masked)) if self.slow else masked

    async def follow(self, exchange: Exchange, decision: Permit | Denial | None) -> None:
        if isinstance(decision, Denial):
            await exchange.refuse(decision)
            return
        async for chunk in exchange.forward(decision):
            masked = self.pass_on(chunk)
            await exchange.relay(await masked.rest if isinstance(masked, Waiting) else masked)

    async def _later(self, result: Any) -> Any:
        await asyncio.sleep(0)
        return result

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def say(self, data: bytes) -> bytes:
        """The client sends; returns what goes to the server."""
        self.down.receive(data)
        self.signal.set()
        await self.settle()
        return written(self.up_wire)

    async def answer(self, data: bytes) -> bytes:
        """The server sends; returns what goes to the client."""
        self.up.receive(data)
        self.signal.set()
        await self.settle()
        return written(self.down_wire)

    async def sent(self) -> bytes:
        """What goes to the server now, without the client saying anything more."""
        self.signal.set()
        await self.settle()
        return written(self.up_wire)

    def heard(self) -> bytes:
        """What the client was sent since it was last asked."""
        return written(self.down_wire)


def frames(data: bytes) -> list[bytes]:
    """The whole frames of a sequence of frames."""
    found: list[bytes] = []
    position = 0
    while position < len(data):
        end = position + 1 + int.from_bytes(data[position + 1 : position + 5], "big")
        found.append(data[position:end])
        position = end
    assert position == len(data), "frames do not end where the bytes end"
    return found


def types(data: bytes) -> str:
    """The type bytes of a sequence of frames."""
    return "".join(chr(frame[0]) for frame in frames(data))
