"""A reader that is slower than its sender costs two windows, however much is sent."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from asyncssh.channel import SSHChannel
from asyncssh.constants import MSG_CHANNEL_WINDOW_ADJUST

import blastwall.protocols.ssh.conversation  # noqa: F401  it installs the correction
from blastwall.protocols.ssh import windows

WINDOW, PIECE, TAKEN = 2 << 20, 32 << 10, 128 << 10


class Logger(logging.LoggerAdapter[logging.Logger]):
    """The library's has a method for each level of detail."""

    def debug2(self, *said: object) -> None:
        """Nobody reads it."""


class Channel:
    """One of the library's, as far as taking data in concerns it, with a reader that holds one window's worth."""

    def __init__(self) -> None:
        self.logger = Logger(logging.getLogger("test"), {})
        self._recv_state = self._send_state = "open"
        self._recv_buf: list[tuple[bytes, None]] = []
        self._recv_paused: bool = False
        self._init_recv_window = self._recv_window = WINDOW
        self._encoding = None
        self._session = self
        self.granted = WINDOW  # room that the sender knows of
        self.held = self.taken = 0

    def _deliver_data(self, data: bytes, datatype: None) -> None:
        SSHChannel._deliver_data(self, data, datatype)  # type: ignore[arg-type]  # as far as it is one

    def send_packet(self, kind: int, *parts: bytes) -> None:
        assert kind == MSG_CHANNEL_WINDOW_ADJUST
        self.granted += int.from_bytes(parts[0], "big")

    def data_received(self, data: bytes, datatype: None) -> None:
        self.held += len(data)
        self._recv_paused = self.held >= WINDOW

    def send(self) -> None:
        """Whatever the window allows comes at once."""
        while self.granted >= PIECE:
            self.granted -= PIECE
            SSHChannel._accept_data(self, bytes(PIECE))  # type: ignore[arg-type]

    def take(self) -> None:
        """The reader takes a little, and reads on if it may."""
        taken = min(TAKEN, self.held)
        self.held -= taken
        self.taken += taken
        if self._recv_paused and self.held < WINDOW:
            self._recv_paused = False
            SSHChannel._flush_recv_buf(self)  # type: ignore[arg-type]

    @property
    def memory(self) -> int:
        return self.held + sum(len(data) for data, _ in self._recv_buf)


def most(channel: Any, turns: int) -> int:
    found = 0
    for _ in range(turns):
        channel.send()
        found = max(found, channel.memory)
        channel.take()
    return found


def test_a_slow_reader_costs_two_windows() -> None:
    channel = Channel()
    assert most(channel, 2000) <= 2 * WINDOW + PIECE
    assert channel.taken == 2000 * TAKEN, "and it never waited for what its sender held back"


def test_a_reader_that_keeps_up_waits_for_nothing() -> None:
    channel = Channel()
    for _ in range(50):
        channel.send()
        while channel.memory:
            channel.take()
    assert channel.taken >= 50 * WINDOW // 2


def test_without_the_correction_memory_grows_with_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """When this fails the library has mended it: then the correction can go."""
    monkeypatch.setattr(SSHChannel, "_deliver_data", windows._deliver)
    assert most(Channel(), 2000) > 50 * WINDOW
