"""Channels run side by side, and the first that fails ends them all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from blastwall.errors import UpstreamFault
from fargate_proxy.channels import drive_all


class Channel:
    """One that drives itself: until it is told to, or for ever."""

    def __init__(self, fault: BaseException | None = None) -> None:
        self.fault = fault
        self.go = asyncio.Event()
        self.ended = False

    async def drive(self, road: object) -> None:
        try:
            await self.go.wait()
            if self.fault is not None:
                raise self.fault
        finally:
            self.ended = True


class Conversation:
    def __init__(self, *channels: Channel) -> None:
        self._channels = channels

    async def channels(self) -> AsyncIterator[Any]:
        for channel in self._channels:
            yield channel


async def test_it_is_over_when_every_channel_is() -> None:
    first, second = Channel(), Channel()
    task = asyncio.create_task(drive_all(Conversation(first, second), None))  # type: ignore[arg-type]  # no road
    second.go.set()
    while not second.ended:  # noqa: ASYNC110  nobody else is told
        await asyncio.sleep(0)
    assert not task.done()
    first.go.set()
    await asyncio.wait_for(task, 30)


async def test_the_first_that_fails_ends_all() -> None:
    first, second = Channel(), Channel(UpstreamFault("it is gone"))
    task = asyncio.create_task(drive_all(Conversation(first, second), None))  # type: ignore[arg-type]  # no road
    second.go.set()
    with pytest.raises(UpstreamFault):
        await asyncio.wait_for(task, 30)
    assert first.ended
