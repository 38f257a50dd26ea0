"""What a client that is inside may have the gateway hold: channels, variables, sizes and signals that nobody reads yet.

asyncssh 2.24.1 keeps each without a limit: a channel that asks for nothing costs 6 KiB, a variable what it is long,
and while a command waits for a person every change of the window's size an object of its own. Data has its window.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import asyncssh
from asyncssh.channel import SSHServerChannel
from asyncssh.packet import SSHPacket
from asyncssh.stream import SSHServerStreamSession

MOST_OPEN: Final = 288  # channels of a connection in all; ``most_channels``, at most 256, says how many are served
MOST_VARIABLES: Final = 64
LONGEST_VARIABLE: Final = 256  # bytes, name and value
MOST_WAITING: Final = 4096  # signals and the like that nobody has read yet

_keep: Final = SSHServerChannel._process_env_request
_exception: Final = SSHServerStreamSession.exception_received
_OPENS: Final = ("_process_session_open", "_process_direct_tcpip_open")


def channels(connection: Any) -> None:  # noqa: ANN401  the library's own
    """Have the connection refuse channels beyond the limit, as RFC 4254, 5.1 says it."""

    def limited(opened: Callable[[SSHPacket], Any]) -> Callable[[SSHPacket], Any]:
        def open_(packet: SSHPacket) -> Any:  # noqa: ANN401  as the library
            if len(connection._channels) >= MOST_OPEN:
                raise asyncssh.ChannelOpenError(
                    asyncssh.OPEN_RESOURCE_SHORTAGE, f"{MOST_OPEN} channels are open already"
                )
            return opened(packet)

        return open_

    for name in _OPENS:
        setattr(connection, name, limited(getattr(connection, name)))


def variable(channel: Any, packet: SSHPacket) -> bool:  # noqa: ANN401
    """In place of ``SSHServerChannel._process_env_request``: few variables, and short ones."""
    if len(channel._env) >= MOST_VARIABLES or len(packet.get_remaining_payload()) > LONGEST_VARIABLE:
        return False
    return _keep(channel, packet)


def received(session: Any, exc: Exception) -> None:  # noqa: ANN401
    """In place of ``SSHServerStreamSession.exception_received``: of sizes that follow one another the last counts."""
    waiting = session._recv_buf[None]
    if waiting and isinstance(exc, asyncssh.TerminalSizeChanged) and isinstance(waiting[-1], type(exc)):
        waiting[-1] = exc
    elif len(waiting) < MOST_WAITING:
        _exception(session, exc)


def install() -> None:
    """Correct the library, for this whole process. A second time changes nothing."""
    setattr(SSHServerChannel, _keep.__name__, variable)  # there are no public places for them
    setattr(SSHServerStreamSession, _exception.__name__, received)
