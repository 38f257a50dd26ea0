"""A small language for what an engine hears and says, and players that cut the bytes in every way.

A transcript is a list of steps, read in order:

* ``bytes``: they arrive from the peer (``b""``: the peer closed its side);
* an event, a :class:`Heard` or a :class:`Sends`: what the engine must say next;
* a ``str``: the name of a method without arguments that the caller calls now;
* a function: called with the engine.

At the end the engine must have nothing more to say. ``play`` runs a transcript; ``CUTS`` are the ways to cut what arrives.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from blastwall.errors import ProtocolViolation, UpstreamFault
from blastwall.protocols.postgres import messages, requests
from blastwall.protocols.postgres.downstream import Downstream
from blastwall.protocols.postgres.upstream import Run, Upstream


@dataclass
class Heard:
    """A fault the engine must raise; ``words`` must be in its message. ``fatal`` is None for an UpstreamFault."""

    code: str
    words: str = ""
    fatal: bool | None = None


@dataclass
class Sends:
    """What the engine itself must want to send by now."""

    data: bytes


def fatal(code: str, words: str = "") -> Heard:
    return Heard(code, words, fatal=True)


def error(code: str, words: str = "") -> Heard:
    return Heard(code, words, fatal=False)


Cut = Callable[[bytes], Iterable[bytes]]


def whole(data: bytes) -> Iterable[bytes]:
    return [data]


def bytewise(data: bytes) -> Iterable[bytes]:
    return [data[place : place + 1] for place in range(len(data))]


def at_random(seed: int) -> Cut:
    chance = random.Random(seed)

    def cut(data: bytes) -> Iterable[bytes]:
        places = sorted(chance.sample(range(1, len(data)), min(len(data) - 1, chance.randrange(12)))) if data else []
        return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]

    return cut


CUTS: dict[str, Cut] = {"whole": whole, "bytewise": bytewise} | {f"random {seed}": at_random(seed) for seed in range(8)}


def play(engine: Downstream | Upstream, steps: Sequence[Any], cut: Cut = whole) -> None:
    """Run a transcript. Raises AssertionError with the step that failed."""
    incoming: list[bytes] = []

    def hear() -> Any:
        while True:
            try:
                event = engine.next_event()
            except (ProtocolViolation, UpstreamFault) as fault:
                return fault
            if event is not None:
                return event
            if not incoming:
                return None
            engine.receive(incoming.pop(0))

    held: Run | None = None  # the beginning of a run that the engine cut otherwise than the transcript

    def hear_merged(step: Run) -> Any:
        """Runs come as the network cut them: gather until there is as much as the transcript says."""
        nonlocal held
        gathered = held or hear()
        held = None
        while isinstance(gathered, Run) and gathered.type == step.type and len(gathered.data) < len(step.data):
            more = hear()
            if not isinstance(more, Run) or more.type != step.type:
                return f"{gathered} and then {more}"
            gathered = Run(step.type, gathered.data + more.data, gathered.count + more.count, more.partial)
        return gathered

    for number, step in enumerate(steps):
        if isinstance(step, bytes):
            incoming += cut(step) if step else [b""]
        elif isinstance(step, str):
            getattr(engine, step)()
        elif isinstance(step, Sends):
            assert isinstance(engine, Upstream)
            assert (heard := hear()) is None, f"step {number}: {heard}"
            assert engine.data_to_send() == step.data, f"step {number}"
        elif isinstance(step, Heard):
            fault = hear()
            assert isinstance(fault, ProtocolViolation | UpstreamFault), f"step {number}: {fault} instead of {step}"
            assert fault.code == step.code and step.words in str(fault), f"step {number}: {fault.code} {fault}"
            assert getattr(fault, "fatal", None) is step.fatal, f"step {number}: {fault}"
        elif callable(step) and not isinstance(step, type):
            step(engine)
        else:
            heard = hear_merged(step) if isinstance(step, Run) else hear()
            assert heard == step, f"step {number}: {heard} instead of {step}"
    assert (heard := hear()) is None, f"at the end: {heard}"
    assert not incoming


def downstream(**limits: int) -> Downstream:
    """An engine whose client is authenticated."""
    engine = Downstream(**limits)
    play(engine, [messages.startup({"user": "u"}), requests.Startup(0, {"user": "u"}), "authenticated"])
    return engine


LOGGED_IN = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I"


def upstream(**limits: int) -> Upstream:
    """An engine whose server trusts it."""
    engine = Upstream(**limits)
    engine.start({"user": "u"}, None, nonce="n" * 18)
    engine.data_to_send()
    engine.receive(LOGGED_IN)
    assert engine.next_event() is not None
    return engine


def spoken(event: requests.Event) -> bytes:
    """The bytes with which a client says ``event``."""
    match event:
        case requests.Query(text):
            return messages.query(text)
        case requests.Parse(name, text, type_ids):
            return messages.parse(name, text, type_ids)
        case requests.Bind(portal, statement, formats, parameters, result_formats):
            return messages.bind(portal, statement, formats, parameters, result_formats)
        case requests.Describe(kind, name):
            return messages.describe(kind, name)
        case requests.Execute(portal, max_rows):
            return messages.execute(portal, max_rows)
        case requests.Close(kind, name):
            return messages.close(kind, name)
        case requests.Sync():
            return messages.SYNC
        case requests.Flush():
            return messages.FLUSH
        case requests.CopyData(piece):
            return messages.copy_data(piece)
        case requests.CopyDone():
            return messages.COPY_DONE
        case requests.CopyFail(message):
            return messages.copy_fail(message)
        case requests.Terminate():
            return messages.TERMINATE
    raise AssertionError(f"a client has no such message: {event}")
