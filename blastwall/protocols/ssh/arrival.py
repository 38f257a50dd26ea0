"""A client's way in: key exchange, a certificate or a token as password, and which target it wants.

The user name says it: ``<os user>@<target>``, or ``<target>`` alone. The user ``login`` opens nothing; it trades a
token for a certificate (``exec certificate <public key>``), which is how ``blastwall ssh login`` works.
"""

from __future__ import annotations

import asyncio
import socket
import time
import tomllib
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files
from typing import Any, Final

import asyncssh

from blastwall.conversation import Hello, Host
from blastwall.errors import ClientFault, TokenFault
from blastwall.model import Principal, Secret
from blastwall.protocols.ssh import keys, limits
from blastwall.protocols.ssh.refusal import said

LOGIN: Final = "login"
LONGEST_TOKEN: Final = 8192
LOGIN_SECONDS: Final = 30.0
KEEPALIVE_SECONDS: Final = 30.0
REKEY_BYTES: Final = "1G"
ATTEMPTS: Final = 6  # keys and passwords that a client may try before it is sent away
_VERB: Final = "certificate "

Session = Callable[[Any, Any, Any], Awaitable[None]]
Files = Callable[[Any], Any]
#: Destination host and port to what serves such a connection; None: not here.
Forward = Callable[[str, int], Callable[[Any, Any], Awaitable[None]] | None]


class Door(asyncssh.SSHServer):
    """What asyncssh asks on behalf of one client. ``session`` and ``files`` serve its channels once it is inside."""

    def __init__(self, owner_keys: keys.Keys, host: Host, session: Session, forward: Forward) -> None:
        self.keys = owner_keys
        self.host = host
        self.token: Secret | None = None
        self.username = ""
        self.gone = asyncio.Event()
        self.session = session
        self._forward = forward
        self._attempts = 0
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        limits.channels(conn)
        # The library hands certificates to nobody but this method of its own, and the token is in the certificate.
        validate = conn._validate_openssh_certificate

        async def remember(username: str, certificate: Any) -> Any:  # noqa: ANN401  the library's own types
            key = await validate(username, certificate)
            return key if key is not None and await self._certified(certificate._key_id) else None

        conn._validate_openssh_certificate = remember  # type: ignore[method-assign, assignment]  # see above

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()

    def begin_auth(self, username: str) -> bool:
        self.username = username
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_ca_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return key.public_data == self.keys.user_ca.public_data

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> Any:  # noqa: ANN401
        return self._forward(dest_host, dest_port) or False

    async def validate_password(self, username: str, password: str) -> bool:
        if not password:
            return self._refuse("no token came as the password (OpenSSH sends none that long): blastwall ssh login")
        if len(password) > LONGEST_TOKEN:
            return self._refuse("the token is too long")
        return await self._verified(Secret(password))

    async def _certified(self, key_id: str) -> bool:
        try:
            token = keys.opened(self.keys, key_id)
        except TokenFault as fault:
            return self._refuse(str(fault))
        return await self._verified(token)

    async def _verified(self, token: Secret) -> bool:
        """Verified here so that a bad token is an authentication that failed, and again where the session opens."""
        self._attempts += 1
        if self._attempts > ATTEMPTS:
            return self._refuse("too many attempts")
        try:
            await self.host.verify(token)
        except TokenFault as fault:
            return self._refuse(str(fault))
        self.token = token
        return True

    def _refuse(self, reason: str) -> bool:
        if self._connection is not None:
            self._connection.send_auth_banner(said(f"blastwall: {reason}").decode())
        return False


@cache
def algorithms() -> dict[str, list[str]]:
    """The negotiated names of both legs, those that the library has."""
    table = tomllib.loads((files(__package__) / "algorithms.toml").read_text("utf-8"))
    from asyncssh.encryption import get_encryption_algs
    from asyncssh.kex import get_kex_algs
    from asyncssh.mac import get_mac_algs

    known = {"kex": get_kex_algs(), "encryption": get_encryption_algs(), "mac": get_mac_algs()}
    return {
        f"{kind}_algs": [name for name in names if kind not in known or name.encode() in known[kind]]
        for kind, names in table.items()
    }


async def arrive(sock: socket.socket, door: Door, files_of: Files) -> asyncssh.SSHServerConnection:
    """Serve the client until it is inside. Raises ClientFault when it does not get so far, with the socket closed."""
    owner = door.keys
    host_keys = [owner.host]
    try:
        return await asyncssh.run_server(
            sock,
            config=None,
            server_factory=lambda: door,
            server_host_keys=host_keys,
            session_factory=door.session,
            sftp_factory=files_of,
            allow_scp=False,
            agent_forwarding=False,
            x11_forwarding=False,
            line_editor=False,
            encoding=None,
            gss_host=None,
            host_based_auth=False,
            kbdint_auth=False,
            compression_algs=None,
            login_timeout=LOGIN_SECONDS,
            keepalive_interval=KEEPALIVE_SECONDS,
            keepalive_count_max=4,
            rekey_bytes=REKEY_BYTES,
            server_version="Blastwall",
            **algorithms(),
        )
    except (asyncssh.Error, OSError, TimeoutError) as fault:
        sock.close()
        raise ClientFault(f"an SSH client did not get in: {fault}") from None
    except (ValueError, LookupError, AssertionError) as fault:  # what the library's parsers raise
        sock.close()
        raise ClientFault(f"an SSH client sent what cannot be read: {type(fault).__name__}: {fault}") from None


def hello_of(door: Door, connection: asyncssh.SSHServerConnection) -> Hello:
    """What the client said of itself. Raises ClientFault without a token."""
    if door.token is None:
        raise ClientFault("nobody is authenticated")
    user, at, target = door.username.rpartition("@")
    peer = connection.get_extra_info("peername")
    attributes = {"client_address": f"{peer[0]}:{peer[1]}" if peer else ""}
    if user:
        attributes["database"] = f"{user}@{target}"
    return Hello(door.token, target if at else door.username, user or None, attributes)


async def hand_out(door: Door, stdin: Any, stdout: Any, stderr: Any) -> None:  # noqa: ANN401  the library's streams
    """Answer ``exec certificate <public key>`` with a certificate, anything else with what to send."""
    command = stdin.channel.get_command() or ""
    try:
        if not command.startswith(_VERB):
            raise ClientFault(
                "nothing runs here: the user login trades a token for a certificate (blastwall ssh login)"
            )
        assert door.token is not None
        principal: Principal = await door.host.verify(door.token)
        line = keys.issue(door.keys, command.removeprefix(_VERB), door.token, principal, time.time())
    except ClientFault as fault:
        stderr.write(said(f"blastwall: {fault}"))
        stdout.channel.exit(64)  # EX_USAGE
        return
    stdout.write(line.encode() + b"\n")
    stdout.channel.exit(0)
