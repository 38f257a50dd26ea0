"""asyncssh 2.24.1 grants a sender room for what it has only queued; here it does so for what was taken (RFC 4254, 5.2).

A channel whose reader has paused queues what comes. When the reader takes some of it, the library raises the window to
its full size while the rest still waits, so whoever sends faster than the other side takes fills the gateway's memory.
With this, a channel holds two windows at most: one with its reader, and one queued or on its way.
"""

from __future__ import annotations

from typing import Any, Final

from asyncssh.channel import SSHChannel

_deliver: Final = SSHChannel._deliver_data


def deliver(channel: Any, data: bytes, datatype: int | None) -> None:  # noqa: ANN401  the library's own
    """In place of ``SSHChannel._deliver_data``: no window is granted while more is queued behind this piece."""
    if not channel._recv_buf:
        _deliver(channel, data, datatype)
        return
    window = channel._recv_window
    channel._recv_window = channel._init_recv_window  # so full a window is not raised
    try:
        _deliver(channel, data, datatype)
    finally:
        channel._recv_window = window


def install() -> None:
    """Correct the library, for this whole process. A second time changes nothing."""
    setattr(SSHChannel, _deliver.__name__, deliver)  # there is no public place for it
