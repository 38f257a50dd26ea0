"""A gateway's SSH conversation in this process, between an asyncssh client and an asyncssh host: no rig, no road."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

from blastwall.conversation import Channel, Exchange, Host
from blastwall.errors import ClientFault, TokenFault, UpstreamFault
from blastwall.masking.mask import mask
from blastwall.model import Credential, Denial, DenialCode, Effect, Masked, Permit, Principal, Secret, Target
from blastwall.protocols.ssh.conversation import SshConversation
from blastwall.protocols.ssh.options import Gateway, Options

GOOD = "a.good.token"


async def verify(token: Secret) -> Principal:
    """One token is somebody's."""
    if token.reveal() != GOOD:
        raise TokenFault("this token is nobody's")
    return Principal("https://issuer.example", "a", "reporter", expires_at=time.time() + 600)


class Box(asyncssh.SSHServer):
    """A host that trusts the gateway's upstream authority, and nobody else."""

    def __init__(self, authority: asyncssh.SSHKey) -> None:
        self._authority = authority

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_ca_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return key.public_data == self._authority.public_data

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return True


async def behave(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """What the host does with commands."""
    match (process.command or "shell").split():
        case ["cat", *_]:
            while data := await process.stdin.read(65536):
                process.stdout.write(data)
                await process.stdout.drain()
            process.exit(0)
        case ["seq", count]:
            for _ in range(int(count)):
                process.stdout.write(b"x" * 65536)
                await process.stdout.drain()
            process.exit(0)
        case ["uptime"]:
            process.stdout.write(b"up")
            process.stderr.write(b"really")
            process.exit(3)
        case ["pwd"]:
            process.exit_with_signal("KILL", False, "no memory")
        case ["wc", *_]:  # closes its outputs first, as "wc >/dev/null 2>&1" does, and counts what comes after
            process.stdout.write_eof()
            count = 0
            while data := await process.stdin.read(65536):
                count += len(data)
            process.exit(count % 251)
        case ["tail", *_]:
            await _tell_signals(process)
        case ["shell"]:
            process.stdout.write(b"$ ")
            await _tell_signals(process)
        case ["who"]:
            process.channel.get_connection().abort()
        case _:
            process.exit(1)


async def _tell_signals(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Say each signal, break and new size that comes, in order with what is typed; TERM ends it by a signal."""
    while True:
        try:
            data = await process.stdin.read(65536)
        except asyncssh.TerminalSizeChanged as change:
            process.stdout.write(f"size {change.width}x{change.height}\n".encode())
            continue
        except asyncssh.SignalReceived as signal:
            process.stdout.write(f"signal {signal.signal}\n".encode())
            if signal.signal == "TERM":
                return process.exit_with_signal("TERM", False, "")
            continue
        if not data:
            return process.exit(0)
        process.stdout.write(b"typed " + data + b"\n")


@dataclass
class Gate:
    """``seen`` is every chunk that was relayed, ``told`` and ``notes`` what the conversation told of itself."""

    target: Target
    host: Host
    seen: list[Masked] = field(default_factory=list)
    told: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    conversations: list[SshConversation] = field(default_factory=list)
    permits: frozenset[Effect] = frozenset({Effect.READ})
    refusal: Denial | None = None  # nobody gets further than to here

    @property
    def notes(self) -> list[str]:
        return [name for name, _ in self.told]

    async def serve(self, sock: socket.socket) -> None:
        conversation = SshConversation(sock, self.host)
        self.conversations.append(conversation)
        driven: list[asyncio.Task[None]] = []
        try:
            hello = await conversation.greet()
            if hello is None:
                return
            if self.refusal is not None:
                await conversation.refuse(self.refusal)
                return
            await conversation.connect(self.target, Credential("deploy", None, "certificate"))
            conversation.noting(lambda name, fields: self.told.append((name, fields)))
            async for channel in conversation.channels():
                driven.append(asyncio.create_task(self._drive(conversation, channel)))
            await asyncio.gather(*driven)
        except UpstreamFault as fault:
            await conversation.close(Denial(DenialCode.FAULT, str(fault)))
        except ClientFault:
            pass
        finally:
            for task in driven:
                task.cancel()
            await asyncio.gather(*driven, return_exceptions=True)
            await conversation.close()

    async def _drive(self, conversation: SshConversation, channel: Channel) -> None:
        async for exchange in channel.exchanges():
            await self._run(conversation, exchange)

    async def _run(self, conversation: SshConversation, exchange: Exchange) -> None:
        assert exchange.statement is not None
        facts = conversation.classify(exchange.statement)
        if facts.effect not in self.permits:
            await exchange.refuse(Denial(DenialCode.POLICY, facts.reason or "not here"))
            return
        permit = Permit(conversation.rewrite(exchange.statement, facts))
        async for chunk in exchange.forward(permit):
            masked = mask(chunk)
            self.seen.append(masked)
            await exchange.relay(masked)


@asynccontextmanager
async def gate(place: Path, **options: Any) -> AsyncIterator[Gate]:
    """A host and a gateway in front of it; ``options`` are the target's own."""
    for name in ("host", "user_ca", "upstream_ca", "box"):
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(place / name))
    authority = asyncssh.read_private_key(str(place / "upstream_ca"))
    box_key = asyncssh.read_private_key(str(place / "box"))
    (place / "files").mkdir()
    async with await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=lambda: Box(authority),
        server_host_keys=[box_key],
        process_factory=behave,
        line_editor=False,
        encoding=None,
        sftp_factory=lambda chan: asyncssh.SFTPServer(chan, chroot=str(place / "files")),
    ) as box:
        pinned = " ".join(box_key.export_public_key("openssh").decode().split()[:2])
        given = Options.model_validate({"host_keys": [pinned], "writable": ["/", "~"]} | options)
        target = Target("web", "ssh", "127.0.0.1", box.get_port(), options=given)
        files = {name: place / file for name, file in (("host_key", "host"), ("user_ca", "user_ca"))}
        gateway = Gateway.model_validate(files | {"upstream_ca": place / "upstream_ca"})
        yield Gate(target, Host(None, False, {}, verify, gateway))


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


@asynccontextmanager
async def client(
    through: Gate, username: str = "web", password: str = GOOD, **more: Any
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """An agent's connection through the gateway."""
    ours, theirs = pair()
    serving = asyncio.create_task(through.serve(theirs))
    try:
        async with asyncssh.connect(
            sock=ours, username=username, password=password, known_hosts=None, config=None, agent_path=None,
            **{"client_keys": None} | more,
        ) as connection:  # fmt: skip
            yield connection
    finally:
        ours.close()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
