"""How many may come at once, so that whoever comes too often keeps nobody else away.

Of clients that have not named themselves the one that has taken longest makes room for one more: an honest client names
itself within a second, and need not wait until thousands of silent ones have had their thirty. Who has named itself
counts against its own number at its target, which has no room for everybody either.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Final

from blastwall.model import Principal, Target

log = logging.getLogger("blastwall.crowd")

#: Clients that have not named themselves; a quarter of all connections.
MOST_GREETING: Final = 500


class Crowded(Exception):
    """The agent has all connections that it may have at a time."""


class Displaced(Exception):
    """The client has not named itself, and others want in."""


class Crowd:
    """The connections of one process."""

    def __init__(self) -> None:
        self._greeting: dict[asyncio.Task[object], None] = {}  # in the order they came
        self._displaced: set[asyncio.Task[object]] = set()
        self._agents: dict[tuple[str, str], int] = {}

    @contextlib.contextmanager
    def greeting(self) -> Iterator[None]:
        """While inside, the client has not named itself. Raises Displaced there when it must make room."""
        task = asyncio.current_task()
        assert task is not None, "connections are tasks"
        if len(self._greeting) >= MOST_GREETING:
            oldest = next(iter(self._greeting))
            del self._greeting[oldest]
            self._displaced.add(oldest)
            oldest.cancel()
        self._greeting[task] = None
        try:
            yield
        except asyncio.CancelledError:
            if task not in self._displaced:
                raise
            task.uncancel()
            raise Displaced(
                "too many clients have not named themselves: the one that took longest was closed"
            ) from None
        finally:
            self._greeting.pop(task, None)
            self._displaced.discard(task)

    @contextlib.contextmanager
    def attending(self, principal: Principal, target: Target) -> Iterator[None]:
        """While inside, the agent has one connection more to the target. Raises Crowded, which the agent may read."""
        key = (principal.identity, target.name)
        count = self._agents.get(key, 0)
        if count >= target.agent_connections:
            raise Crowded(
                f"{principal.agent} has {count} connections to {target.name}, and no agent may have more at a time"
            )
        self._agents[key] = count + 1
        try:
            yield
        finally:
            if self._agents[key] == 1:
                del self._agents[key]
            else:
                self._agents[key] -= 1
