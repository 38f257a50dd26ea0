"""The threads on which whatever blocks is waited for: disks, issuers, functions, tables.

asyncio makes four more than there are processors. On a task with one that is five, and each may wait for an answer that
takes a minute: five clients of a target that is not there would keep all others from coming in, and whoever looks
whether sessions were ended from looking.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

MOST: Final = 64


def widen(loop: asyncio.AbstractEventLoop) -> None:
    """Let so many wait at a time. A thread is started when there is none idle, and used again."""
    loop.set_default_executor(ThreadPoolExecutor(MOST, thread_name_prefix="waiting"))
