"""One event loop for a function's whole life."""

from __future__ import annotations

import asyncio

from lambdas.loop import run


def test_what_runs_beside_one_call_goes_on_at_the_next() -> None:
    begun: list[asyncio.Task[str]] = []

    async def beside() -> str:
        await asyncio.sleep(0)
        return "done"

    async def first() -> None:
        begun.append(asyncio.get_running_loop().create_task(beside()))

    async def second() -> str:
        return await begun[0]

    run(first())
    assert run(second()) == "done"
