"""What happens beside the conversations: lazy flushes of recordings, reloads, and the drain at the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

from blastwall.errors import ConfigFault, RecordingFault
from blastwall.local.finisher import Finisher
from blastwall.ports import Recording

log = logging.getLogger("blastwall.watch")

#: Relayed bytes that no commit has written are written at the latest after this (seconds).
FLUSH_SECONDS = 0.2
#: Configuration files are looked at this often (seconds).
LOOK_SECONDS = 1.0
#: What runs for ever begins anew this long after a defect (seconds).
ANEW_SECONDS = 1.0
#: Abandoned recordings are looked for this often (seconds).
FINISH_SECONDS = 30.0


class Watch:
    """Keeps an eye on all live connections of the process."""

    def __init__(self) -> None:
        self._recordings: dict[Recording, asyncio.Future[None]] = {}
        self._draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    def live(self) -> int:
        """How many connections are followed now."""
        return len(self._recordings)

    @contextlib.contextmanager
    def following(self, recording: Recording) -> Iterator[asyncio.Future[None]]:
        """While inside, the recording is flushed lazily.

        Yields a future that completes when the gateway drains, and raises RecordingFault when the recording has failed:
        what nobody is about to write tells nobody else.
        """
        stopping: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._draining:
            stopping.set_result(None)
        self._recordings[recording] = stopping
        self._empty.clear()
        try:
            yield stopping
        finally:
            del self._recordings[recording]
            if not self._recordings:
                self._empty.set()
            if not stopping.cancel():
                stopping.exception()  # somebody has looked: no complaint when it is forgotten

    async def empty(self, seconds: float) -> None:
        """Wait until no connection is followed, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._empty.wait()

    def drain(self) -> None:
        """Tell every conversation to end."""
        self._draining = True
        for stopping in self._recordings.values():
            if not stopping.done():
                stopping.set_result(None)

    async def flush_lazily(self) -> None:
        """Runs for ever. Whoever follows a recording that fails is told."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            for recording, stopping in tuple(self._recordings.items()):
                try:
                    recording.flush()
                except RecordingFault as fault:
                    if not stopping.done():
                        stopping.set_exception(fault)

    async def reload_on_change(self, folder: Path, reload: Callable[[], Awaitable[None]]) -> None:
        """Runs for ever: calls ``reload`` when a file below ``folder`` was changed, added or removed."""
        seen = await asyncio.to_thread(_stamps, folder)
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = await asyncio.to_thread(_stamps, folder)
            if now is not None and now != seen:
                seen = now
                await reload()


async def lasting(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Runs what runs for ever, and begins it anew should it meet a defect: nobody would notice that it had stopped."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("defect in %s, which begins anew", name)
        await asyncio.sleep(ANEW_SECONDS)


async def finish_for_ever(finisher: Finisher) -> None:
    """Runs for ever, from the gateway's start on: recordings that another process left without an end get theirs."""
    told: dict[str, str] = {}
    while True:
        report = await asyncio.to_thread(finisher.run)
        for id in report.completed:
            log.warning("the recording %s was abandoned, and is completed now", id)
        for id, problem in report.problems.items():
            if told.get(id) != problem:
                log.error("the recording %s cannot be completed: %s", id, problem)
        told = report.problems
        await asyncio.sleep(FINISH_SECONDS)


def _stamps(folder: Path) -> dict[str, tuple[int, int]] | None:
    """When each file changed, and how long it is; None when that cannot be told just now."""
    stamps: dict[str, tuple[int, int]] = {}
    try:
        for path in folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                state = path.stat()
                stamps[str(path)] = (state.st_mtime_ns, state.st_size)
    except OSError as fault:  # a folder that is just being replaced, or too many files are open
        log.debug("the configuration cannot be looked at: %s", fault)
        return None
    return stamps


class Reloads:
    """One reload at a time, of what the files say by then: whoever asks while one runs is served by the next.

    They ran side by side: a hundred signals took all threads that connections are opened with, and one that had read
    older files could put them in force last.
    """

    def __init__(self, load: Callable[[], Awaitable[Sequence[str]]]) -> None:
        self._load = load
        self._wanted = asyncio.Event()

    def ask(self) -> None:
        """Load it anew soon."""
        self._wanted.set()

    async def asked(self) -> None:
        """As :meth:`ask`, for whoever awaits it."""
        self.ask()

    async def serve(self) -> None:
        """Runs for ever."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await reload_or_keep(self._load)


async def reload_or_keep(load: Callable[[], Awaitable[Sequence[str]]]) -> bool:
    """Run ``load``; an invalid configuration keeps the old one and says so. Returns whether the new one is in force.

    ``load`` returns the names of the sections that take a restart.
    """
    try:
        waiting = await load()
    except (ConfigFault, OSError, ValueError) as fault:  # a file that went away, or is half written, is no better
        log.error("the new configuration is invalid, so the old one stays in force:\n%s", fault)
        return False
    if waiting:
        log.warning("the new configuration is in force except for %s: restart the gateway for that", ", ".join(waiting))
    else:
        log.info("the new configuration is in force")
    return True
