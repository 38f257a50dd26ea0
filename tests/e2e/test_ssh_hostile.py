"""Clients that do not keep to the protocol: half-open, out of order, random; and what large transfers cost."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import resource
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
from paramiko import common

from tests.e2e.hosts import Agent, home
from tests.e2e.stacks import Stack

HALF_OPEN = 1_000
#: What one of them may cost the gateway (KiB).
HALF_OPEN_KIB = 64
#: What a transfer of any size may cost it (KiB).
TRANSFER_KIB = 40 * 1024
TRANSFER = 150_000_000

#: What a client says and then says no more: nothing, half a version, a version, the beginning of a key exchange.
OPENINGS = (b"", b"SSH-2.0-half", b"SSH-2.0-half\r\n", b"SSH-2.0-half\r\n\0\0\x75\x30\x08\x14" + bytes(16))


def resident(stack: Stack) -> int:
    """KiB of memory that the gateway holds."""
    lines = Path(f"/proc/{stack.gateway}/status").read_text().split("\n")
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


@contextlib.contextmanager
def half_open(stack: Stack) -> Iterator[list[socket.socket]]:
    """A list for sockets that are closed in the end; this process may open enough of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4096, hard)), hard))
    opened: list[socket.socket] = []
    try:
        yield opened
    finally:
        for each in opened:
            each.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_half_open_connections_keep_nobody_waiting(hosts: Stack, agent: Agent) -> None:
    with agent.process("cat") as good:
        assert good.stdin is not None and good.stdout is not None
        held = resident(hosts)
        with half_open(hosts) as opened:
            for number in range(HALF_OPEN):
                opened.append(socket.create_connection((hosts.host, hosts.port), timeout=30))
                opened[-1].sendall(OPENINGS[number % len(OPENINGS)])
                if number % 100 == 0:
                    word = b"amid %d\n" % number
                    good.stdin.write(word)
                    good.stdin.flush()
                    assert good.stdout.readline() == word
            for each in opened:
                assert each.recv(8) == b"SSH-2.0-", "each of them is served"
            assert agent.ssh("uptime").returncode == 0, "others still get in"
            assert resident(hosts) - held < HALF_OPEN * HALF_OPEN_KIB
        good.stdin.close()
        assert good.wait(20) == 0


def test_a_large_transfer_both_ways_under_new_keys_costs_no_memory(hosts: Stack, agent: Agent) -> None:
    """The client asks for new keys after every four megabytes, and `cat` stands still when nobody takes what it says."""
    content = os.urandom(1_000_000) * (TRANSFER // 1_000_000)
    first = content[:4_000_000]  # what a first transfer takes for good is no transfer's own
    assert agent.ssh("cat", stdin=first).stdout == first
    held = most = resident(hosts)
    done = threading.Event()

    def look() -> None:
        nonlocal most
        while not done.wait(0.05):
            most = max(most, resident(hosts))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        with agent.process("cat", options=["-o", "RekeyLimit=4M"]) as process:
            out, err = process.communicate(content, timeout=120)
    finally:
        done.set()
        looking.join()
    assert hashlib.sha256(out).digest() == hashlib.sha256(content).digest(), err
    assert most - held < TRANSFER_KIB


def message(kind: int, *fields: bytes | str | int | bool) -> paramiko.Message:
    """A message with its fields as SSH writes them."""
    made = paramiko.Message()
    made.add_byte(bytes((kind,)))
    for each in fields:
        if isinstance(each, bool):
            made.add_boolean(each)
        elif isinstance(each, int):
            made.add_int(each)
        else:
            made.add_string(each)
    return made


@contextlib.contextmanager
def met(stack: Stack) -> Iterator[paramiko.Transport]:
    """A client that has changed keys with the gateway, and nothing more."""
    transport = paramiko.Transport((stack.host, stack.port))
    try:
        transport.start_client(timeout=30)
        yield transport
    finally:
        transport.close()


_SESSION = message(common.MSG_CHANNEL_OPEN, "session", 0, 1 << 20, 1 << 15)
_EXEC = message(common.MSG_CHANNEL_REQUEST, 0, "exec", True, "touch out-of-order")


@pytest.mark.parametrize(
    "messages",
    [
        [_SESSION, _EXEC],
        [_EXEC],
        [message(common.MSG_CHANNEL_DATA, 0, "touch out-of-order\n")],
        [message(common.MSG_GLOBAL_REQUEST, "tcpip-forward", True, "127.0.0.1", 0)],
        [message(common.MSG_USERAUTH_SUCCESS), _SESSION, _EXEC],  # CVE-2018-10933
        [message(common.MSG_SERVICE_ACCEPT, "ssh-userauth"), _SESSION],
        [message(common.MSG_SERVICE_REQUEST, "ssh-connection"), _SESSION],
        [message(common.MSG_USERAUTH_REQUEST, "web", "ssh-connection", "none"), _SESSION, _EXEC],
        [
            message(common.MSG_SERVICE_REQUEST, "ssh-userauth"),
            message(common.MSG_USERAUTH_REQUEST, "web", "ssh-connection", "none"),
            _SESSION,
            _EXEC,
        ],
        [
            message(common.MSG_SERVICE_REQUEST, "ssh-userauth"),
            message(common.MSG_USERAUTH_REQUEST, "web", "ssh-userauth", "password", False, "x"),
            _SESSION,
            _EXEC,
        ],
        [message(common.MSG_USERAUTH_FAILURE, "", False), message(60, "x", "y"), message(61, 0), _SESSION, _EXEC],
        [message(common.MSG_NEWKEYS), _SESSION],
        [message(common.MSG_UNIMPLEMENTED, 3), message(common.MSG_IGNORE, "x"), message(255), _SESSION, _EXEC],
    ],
)
def test_nothing_out_of_order_opens_a_channel(hosts: Stack, messages: list[paramiko.Message]) -> None:
    known = len(hosts.recordings())
    with met(hosts) as transport:
        for each in messages:
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                transport._send_message(each)  # as it stands, in whatever state
        transport.join(30)
        assert not transport.is_alive(), "the gateway ends it"
    assert len(hosts.recordings()) == known, "nobody was let in"
    assert not (home(hosts) / "out-of-order").exists()


def packet(payload: bytes) -> bytes:
    """A packet as it is before there are keys (RFC 4253, 6)."""
    padding = 8 - (len(payload) + 5) % 8 + 8
    return (len(payload) + padding + 1).to_bytes(4, "big") + bytes((padding,)) + payload + bytes(padding)


@pytest.mark.parametrize(
    "payload",
    [
        _SESSION.asbytes(),
        message(common.MSG_USERAUTH_SUCCESS).asbytes(),
        message(common.MSG_USERAUTH_REQUEST, "web", "ssh-connection", "none").asbytes(),
        message(common.MSG_NEWKEYS).asbytes(),
        message(common.MSG_KEXINIT).asbytes(),
        b"",
    ],
)
def test_nothing_counts_before_there_are_keys(hosts: Stack, payload: bytes) -> None:
    known = len(hosts.recordings())
    with socket.create_connection((hosts.host, hosts.port), timeout=20) as client:
        client.sendall(b"SSH-2.0-early\r\n" + packet(payload) + packet(_SESSION.asbytes()) + packet(_EXEC.asbytes()))
        with contextlib.suppress(ConnectionResetError):
            while client.recv(65536):  # its own version and offer, a word of farewell, the end
                pass
    assert len(hosts.recordings()) == known
    assert not (home(hosts) / "out-of-order").exists()


def test_whoever_is_inside_stays_who_it_is(hosts: Stack) -> None:
    """A second authentication after the first changes nothing."""
    mine, another = f"agent-{next(hosts.agents)}", f"agent-{next(hosts.agents)}"
    with met(hosts) as transport:
        transport.auth_password("web", hosts.token(mine))
        token = hosts.token(another)
        for user in ("login", "web"):
            again = message(common.MSG_USERAUTH_REQUEST, user, "ssh-connection", "password", False, token)
            transport._send_message(again)
        channel = transport.open_session()
        channel.exec_command("uptime")
        assert channel.recv_exit_status() == 0
    assert [each["text"] for each in hosts.asked(mine) if each["kind"] == "execute"] == ["exec: uptime"]
    assert hosts.recordings(another) == []


_NAMES = (
    "exec", "shell", "subsystem", "pty-req", "env", "x11-req", "auth-agent-req@openssh.com", "window-change", "signal",
    "break", "xon-xoff", "exit-status", "exit-signal", "eow@openssh.com", "tcpip-forward", "no-such-request", "",
)  # fmt: skip
_WORDS = (
    b"",
    b"sftp",
    b"netconf",
    b"rm -rf notes",
    b"touch fuzzed",
    b"cat app.log",
    b"TERM",
    b"LD_PRELOAD",
    b"\xff" * 9,
)


def requests(chance: random.Random, count: int, channel: int) -> Iterator[paramiko.Message]:
    """Requests with fields that fit, do not fit, or end too early."""
    for _ in range(count):
        made = message(common.MSG_CHANNEL_REQUEST, channel, chance.choice(_NAMES), chance.random() < 0.5)
        for _ in range(chance.randrange(4)):
            match chance.randrange(4):
                case 0:
                    made.add_string(chance.choice(_WORDS))
                case 1:
                    made.add_int(chance.choice((0, 1, 80, 1 << 31, (1 << 32) - 1)))
                case 2:
                    made.add_boolean(chance.random() < 0.5)
                case _:
                    made.add_bytes(chance.randbytes(chance.randrange(9)))
        yield made


@pytest.mark.parametrize("state", ["opened", "running", "ended", "closed"])
def test_random_requests_on_a_channel_do_no_harm(hosts: Stack, agent: Agent, state: str) -> None:
    before = sorted(str(path) for path in home(hosts).rglob("*"))
    names = [f"agent-{next(hosts.agents)}" for _ in range(4)]
    with agent.process("cat") as good:
        assert good.stdin is not None and good.stdout is not None
        for seed, name in enumerate(names):
            with met(hosts) as transport:
                transport.auth_password("web", hosts.token(name))
                channel = transport.open_session()
                if state != "opened":
                    channel.exec_command("cat")
                if state == "ended":
                    channel.shutdown_write()
                if state == "closed":
                    channel.close()
                for each in requests(random.Random(f"{state} {seed}"), 40, channel.remote_chanid):
                    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                        transport._send_message(each)
            word = b"%d\n" % seed
            good.stdin.write(word)
            good.stdin.flush()
            assert good.stdout.readline() == word
        good.stdin.close()
        assert good.wait(20) == 0
    assert sorted(str(path) for path in home(hosts).rglob("*")) == before
    for name in names:
        asked = [each for each in hosts.asked(name) if each["kind"] == "execute"]
        assert all(each["effect"] == "read" for each in asked if each["verdict"] == "permit"), asked
