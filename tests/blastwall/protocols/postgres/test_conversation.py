"""Cancel keys: the gateway's own, for the right holder only, and not to be guessed (W20)."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace

import pytest

from blastwall.conversation import Hello, Host
from blastwall.errors import NotOffered, UpstreamFault
from blastwall.model import Credential, Secret, Target
from blastwall.protocols.postgres import conversation as module
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.arrival import Arrival
from blastwall.protocols.postgres.conversation import (
    PASSED_ON,
    WRONG_CANCELS,
    CancelKeys,
    PostgresConversation,
)
from blastwall.protocols.postgres.downstream import Downstream
from blastwall.protocols.postgres.link import Route
from blastwall.protocols.postgres.login import Ready
from blastwall.protocols.postgres.options import Options, Tls
from blastwall.protocols.postgres.requests import CancelRequest
from blastwall.wire.wire import Signal
from tests.blastwall.protocols.postgres.playbook import deaf_wire, written


def conversation() -> PostgresConversation:
    ours, theirs = socket.socketpair()
    theirs.close()
    return PostgresConversation(ours, Host(None, True, {}))


class Noticing(PostgresConversation):
    """Notes that it was asked to cancel."""

    def __init__(self, asked: list[PostgresConversation]) -> None:
        ours, theirs = socket.socketpair()
        theirs.close()
        super().__init__(ours, Host(None, True, {}))
        self._asked = asked

    async def cancel(self) -> None:
        self._asked.append(self)


def test_w20_only_the_whole_key_finds_its_conversation() -> None:
    keys = CancelKeys()
    mine, other = conversation(), conversation()
    pid, secret = keys.issue(mine, 0)
    other_pid, other_secret = keys.issue(other, 2)
    assert (len(secret), len(other_secret)) == (4, 32)
    assert keys.find(CancelRequest(pid, secret), 0.0) is mine
    assert keys.find(CancelRequest(other_pid, other_secret), 0.0) is other
    assert keys.find(CancelRequest(pid, other_secret), 0.0) is None
    assert keys.find(CancelRequest(pid, secret[:3] + bytes([secret[3] ^ 1])), 0.0) is None
    assert keys.find(CancelRequest(0, b""), 0.0) is None


def test_w20_guessing_is_slowed_down_and_forgotten_keys_are_dead() -> None:
    keys = CancelKeys()
    mine = conversation()
    pid, secret = keys.issue(mine, 0)
    for _ in range(WRONG_CANCELS):
        assert keys.find(CancelRequest(pid, b"\0\0\0\0" if secret != b"\0\0\0\0" else b"\1\0\0\0"), 10.0) is None
    assert keys.find(CancelRequest(pid, secret), 11.0) is None, "too many wrong ones: nobody is looked up"
    assert keys.find(CancelRequest(pid, secret), 71.0) is mine
    keys.forget(pid)
    assert keys.find(CancelRequest(pid, secret), 72.0) is None


def test_whoever_guesses_at_one_key_takes_no_other_from_its_client() -> None:
    """An agent that sent thirty wrong keys for its own connection took Ctrl-C from all others, minute by minute."""
    keys = CancelKeys()
    mine, other = conversation(), conversation()
    pid, secret = keys.issue(mine, 0)
    other_pid, other_secret = keys.issue(other, 0)
    for number in range(WRONG_CANCELS * 5):
        keys.find(CancelRequest(pid, bytes([secret[0] ^ 1]) + secret[1:]), 1.0)
        keys.find(CancelRequest(number, bytes(4)), 1.0)
    assert keys.find(CancelRequest(pid, secret), 2.0) is None
    assert keys.find(CancelRequest(other_pid, other_secret), 2.0) is other
    assert list(keys._wrong) == [pid] and len(keys._wrong[pid]) == WRONG_CANCELS
    keys.forget(pid)
    assert not keys._wrong


async def test_many_cancel_requests_are_two_connections_to_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """One is on its way, and one more set out after all of them had been asked for. Each was a connection."""
    begun, go_on = asyncio.Queue[int](), asyncio.Event()

    async def cancel(route: object, pid: int, secret: bytes) -> None:
        begun.put_nowait(pid)
        await go_on.wait()

    monkeypatch.setattr(module, "cancel", cancel)
    one = conversation()
    one._route = Route("127.0.0.1", 5432)
    one._link = SimpleNamespace(ready=Ready(b"I", {}, 7, b"1234"))  # type: ignore[assignment]
    legs = SimpleNamespace(waiting=False, asking=False, answers=SimpleNamespace(number=1))
    one._legs = legs  # type: ignore[assignment]
    noted: list[str] = []
    one._note = lambda name, fields: noted.append(name)
    first = asyncio.create_task(one.cancel())
    assert await asyncio.wait_for(begun.get(), 30) == 7
    others = [asyncio.create_task(one.cancel()) for _ in range(100)]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.wait_for(asyncio.gather(first, *others), 30)
    assert begun.qsize() == 1
    await asyncio.wait_for(one.cancel(), 30)
    assert begun.qsize() == 2, "a later one is a cancel of its own"
    legs.asking = True
    await asyncio.wait_for(one.cancel(), 30)
    assert begun.qsize() == 2, "what runs is the gateway's own question"
    assert noted == ["cancel"] * 3


async def test_what_means_nobody_here_is_told_to_the_others_and_found_there() -> None:
    here, there = CancelKeys(), CancelKeys()
    asked: list[PostgresConversation] = []
    theirs = Noticing(asked)
    pid, secret = there.issue(theirs, 0)
    request = CancelRequest(pid, secret)
    assert here.find(request, 0.0) is None
    name = here.elsewhere(request, 0.0)
    assert name and secret.hex() not in name
    await here.told(name)
    assert asked == []
    await there.told(name)
    await there.told(here.elsewhere(CancelRequest(pid, bytes(4)), 0.0) if secret != bytes(4) else "")
    assert asked == [theirs], "only the whole key means somebody"
    there.forget(pid)
    await there.told(name)
    assert asked == [theirs]


def test_guesses_are_not_passed_on_nor_more_than_so_many() -> None:
    keys = CancelKeys()
    pid, secret = keys.issue(conversation(), 0)
    wrong = CancelRequest(pid, bytes([secret[0] ^ 1]) + secret[1:])
    assert keys.elsewhere(wrong, 0.0) == "", "a key that is known here is a guess"
    names = [keys.elsewhere(CancelRequest(pid ^ 1, bytes(4)), 1.0) for _ in range(PASSED_ON + 1)]
    assert all(names[:-1]) and names[-1] == ""
    assert keys.elsewhere(CancelRequest(pid ^ 1, bytes(4)), 61.5)


async def test_closing_twice_is_closing_once() -> None:
    one = conversation()
    await one.close()
    await one.close()


@pytest.mark.parametrize("report", [{"standard_conforming_strings": "off"}, {"client_encoding": "SJIS"}, {}])
async def test_a_server_that_did_not_take_a_pin_gets_no_session(report: dict[str, str]) -> None:
    """A pooler in between may keep another client's settings: nothing is judged by rules the server does not follow."""
    pinned = {"client_encoding": "UTF8", "standard_conforming_strings": "on"}
    reported = pinned | report if report else {"client_encoding": "UTF8"}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(messages.AUTHENTICATION_OK)
        writer.write(b"".join(messages.parameter_status(name, value) for name, value in reported.items()))
        writer.write(messages.ready_for_query(b"I"))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    host, port = server.sockets[0].getsockname()
    target = Target("t", "postgres", host, port, options=Options(tls=Tls(mode="disable")))
    told = conversation()
    signal = Signal(asyncio.get_running_loop())
    wire = deaf_wire(signal)
    told._arrival = Arrival(Downstream(), wire, signal, Hello(Secret("x" * 20), "t", None, {}), {}, 0)
    with pytest.raises(UpstreamFault, match="the gateway needs"):
        async with asyncio.timeout(30):
            await told.connect(target, Credential("agent", None, "static"))
    assert written(wire) == b"", "nobody was let in"
    told._arrival = None  # this wire cannot be closed
    await told.close()
    server.close()


@pytest.mark.parametrize(
    ("user", "database", "said"),
    [
        ("owner", "shop", 'user "owner" is not open to agents at t: use reader or writer'),
        ("reader", "postgres", 'database "postgres" is not open to agents at t: use shop'),
    ],
)
async def test_other_users_and_databases_than_the_configurations_are_not_offered(
    user: str, database: str, said: str
) -> None:
    options = Options(databases=("shop",), database_users=("reader", "writer"), tls=Tls(mode="disable"))
    told = conversation()
    signal = Signal(asyncio.get_running_loop())
    hello = Hello(Secret("x" * 20), "t", user, {"database": database})
    told._arrival = Arrival(Downstream(), deaf_wire(signal), signal, hello, {}, 0)
    with pytest.raises(NotOffered) as refused:
        await told.connect(Target("t", "postgres", "127.0.0.1", 9, options=options), Credential(user, None, "static"))
    assert str(refused.value) == said
    told._arrival = None  # this wire cannot be closed
    await told.close()
