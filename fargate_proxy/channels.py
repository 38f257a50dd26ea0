"""A connection's channels, down the road."""

from __future__ import annotations

import asyncio
from typing import Any

from blastwall.conversation import Channel, Conversation, SelfDriven
from fargate_proxy.pipeline import Road


async def drive_all(conversation: Conversation, road: Road) -> None:
    """Drive each channel in a task of its own, each strictly in order; the first that fails ends them all."""
    driven: set[asyncio.Future[None]] = set()
    coming = conversation.channels()
    arrival: asyncio.Future[Channel | SelfDriven] | None = None
    try:
        while True:
            if arrival is None:
                arrival = asyncio.ensure_future(anext(coming))
            waiting: set[asyncio.Future[Any]] = {arrival, *driven}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for done in [task for task in driven if task.done()]:
                driven.discard(done)
                done.result()
            if arrival.done():
                try:
                    channel = arrival.result()
                except StopAsyncIteration:
                    break
                arrival = None
                driven.add(asyncio.ensure_future(_drive(channel, road)))
        while driven:
            finished, driven = await asyncio.wait(driven, return_when=asyncio.FIRST_COMPLETED)
            for done in finished:
                done.result()
    finally:
        left: list[asyncio.Future[Any]] = [task for task in driven if not task.done()]
        if arrival is not None and not arrival.done():
            left.append(arrival)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)


async def _drive(channel: Channel | SelfDriven, road: Road) -> None:
    if isinstance(channel, SelfDriven):
        await channel.drive(road)
        return
    async for exchange in channel.exchanges():
        await road.run(exchange)
