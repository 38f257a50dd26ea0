"""Many may wait at a time for what blocks, whatever the machine."""

from __future__ import annotations

import asyncio
import threading

from fargate_proxy.threads import MOST, widen


async def test_sixty_that_wait_keep_nobody_else_waiting() -> None:
    widen(asyncio.get_running_loop())
    go_on = threading.Event()
    begun = threading.Semaphore(0)

    def wait() -> None:
        begun.release()
        assert go_on.wait(30)

    waiting = [asyncio.create_task(asyncio.to_thread(wait)) for _ in range(MOST - 1)]
    await asyncio.wait_for(asyncio.to_thread(lambda: [begun.acquire(timeout=30) for _ in range(MOST - 1)]), 60)
    assert not any(task.done() for task in waiting)
    go_on.set()
    await asyncio.gather(*waiting)
