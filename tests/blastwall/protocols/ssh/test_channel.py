from __future__ import annotations

import asyncio
from typing import Any, cast

from blastwall.protocols.ssh.channel import WAITING, SshChannel


async def test_requests_come_in_order_until_the_end() -> None:
    channel = SshChannel()
    for number in range(3):
        await channel.put(cast(Any, number))
    await channel.end()
    await channel.end()
    assert [each async for each in channel.exchanges()] == [0, 1, 2]


async def test_whoever_has_too_many_waits() -> None:
    channel = SshChannel()
    for number in range(WAITING):
        await channel.put(cast(Any, number))
    one_more = asyncio.ensure_future(channel.put(cast(Any, WAITING)))
    await asyncio.sleep(0)
    assert not one_more.done()
    coming = channel.exchanges()
    assert await anext(coming) == 0  # type: ignore[comparison-overlap]  # numbers stand in for exchanges
    await one_more
