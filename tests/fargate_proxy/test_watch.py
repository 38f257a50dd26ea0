"""Beside the conversations: lazy flushes, reload on change, the drain."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from blastwall.errors import ConfigFault, Problem, RecordingFault
from blastwall.local.finisher import Report
from fargate_proxy import watch as module
from fargate_proxy.watch import Reloads, Watch, lasting, reload_or_keep


class Recording:
    def __init__(self, fails: bool = False) -> None:
        self.flushed = asyncio.Event()
        self.fails = fails

    def flush(self) -> None:
        self.flushed.set()
        if self.fails:
            raise RecordingFault("full")


async def test_live_recordings_are_flushed_and_a_failing_one_does_not_stop_the_others(monkeypatch) -> None:
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.01)
    watch = Watch()
    bad, good = Recording(fails=True), Recording()
    task = asyncio.create_task(watch.flush_lazily())
    with watch.following(bad), watch.following(good):  # type: ignore[arg-type]
        await asyncio.wait_for(good.flushed.wait(), 5)
        bad.flushed.clear()
        await asyncio.wait_for(bad.flushed.wait(), 5)
    assert not task.done()
    task.cancel()


async def test_whoever_follows_a_recording_that_fails_is_told(monkeypatch) -> None:
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.01)
    watch = Watch()
    bad, good = Recording(fails=True), Recording()
    task = asyncio.create_task(watch.flush_lazily())
    with watch.following(bad) as failing, watch.following(good) as sound:  # type: ignore[arg-type]
        with pytest.raises(RecordingFault, match="full"):
            await asyncio.wait_for(failing, 5)
        assert not sound.done()
        watch.drain()
        await asyncio.wait_for(sound, 5)
    with watch.following(good) as late:  # type: ignore[arg-type]
        await asyncio.wait_for(late, 5)
    task.cancel()


async def test_the_drain_reaches_every_conversation_and_is_waited_for() -> None:
    watch = Watch()
    await asyncio.wait_for(watch.empty(60), 1)
    with watch.following(Recording()) as draining:  # type: ignore[arg-type]
        await watch.empty(0.01)
        assert not draining.done()
        watch.drain()
        await asyncio.wait_for(draining, 5)
    await asyncio.wait_for(watch.empty(60), 1)


async def test_a_changed_file_reloads(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    (tmp_path / "gateway.yaml").write_text("a")
    reloaded: asyncio.Queue[None] = asyncio.Queue()
    task = asyncio.create_task(Watch().reload_on_change(tmp_path, lambda: reloaded.put(None)))
    changes = iter(range(1000))

    async def change_until_seen() -> None:
        while reloaded.empty():
            (tmp_path / "gateway.yaml").write_text(f"changed {next(changes)}")
            await asyncio.sleep(0.02)

    await asyncio.wait_for(change_until_seen(), 5)
    task.cancel()


async def test_reloads_come_one_after_the_other_and_the_last_one_reads_what_is_there_then() -> None:
    """Side by side, one that had read older files could be through last."""
    running: list[int] = []
    begun, go_on, done = asyncio.Queue[int](), asyncio.Queue[None](), asyncio.Queue[int]()
    files = [0]

    async def load() -> Sequence[str]:
        assert not running, "one at a time"
        read = files[0]
        running.append(read)
        begun.put_nowait(read)
        await go_on.get()
        running.remove(read)
        done.put_nowait(read)
        return ()

    reloads = Reloads(load)
    task = asyncio.create_task(reloads.serve())
    reloads.ask()
    assert await asyncio.wait_for(begun.get(), 30) == 0
    for _ in range(300):
        files[0] += 1
        await reloads.asked()
    for _ in range(2):
        go_on.put_nowait(None)
    assert [await asyncio.wait_for(done.get(), 30) for _ in range(2)] == [0, 300]
    reloads.ask()
    assert await asyncio.wait_for(begun.get(), 30) == 300
    assert await asyncio.wait_for(begun.get(), 30) == 300
    assert done.empty() and begun.empty(), "three hundred signals, two reloads"
    task.cancel()


async def test_a_folder_that_cannot_be_looked_at_for_a_moment_is_no_change_and_hides_none(monkeypatch) -> None:
    """Whoever looked began anew then, and took what had changed meanwhile for what had always been there."""
    looks = iter([{"a": (1, 1)}, None, {"a": (1, 1)}, None, {"a": (2, 1)}])
    reloaded: asyncio.Queue[None] = asyncio.Queue()
    over = asyncio.Event()

    def stamps(folder: Path) -> dict[str, tuple[int, int]] | None:
        try:
            return next(looks)
        except StopIteration:
            loop.call_soon_threadsafe(over.set)
            return None

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(module, "_stamps", stamps)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0)
    task = asyncio.create_task(Watch().reload_on_change(Path("config"), lambda: reloaded.put(None)))
    await asyncio.wait_for(over.wait(), 30)
    task.cancel()
    assert reloaded.qsize() == 1


def test_what_cannot_be_listed_is_not_known(monkeypatch) -> None:
    class Gone:
        def rglob(self, pattern: str) -> list[Path]:
            raise OSError(24, "Too many open files")

    assert module._stamps(Gone()) is None  # type: ignore[arg-type]


async def test_an_invalid_configuration_keeps_the_old_one_and_says_so(caplog) -> None:
    async def bad() -> Sequence[str]:
        raise ConfigFault((Problem("gateway.yaml", 3, "no such thing"),))

    async def good() -> Sequence[str]:
        return ()

    async def in_part() -> Sequence[str]:
        return ("listen", "tls")

    assert await reload_or_keep(bad) is False
    assert "gateway.yaml:3: no such thing" in caplog.text
    assert await reload_or_keep(good) is True
    assert await reload_or_keep(in_part) is True
    assert "except for listen, tls: restart" in caplog.text


async def test_abandoned_recordings_are_completed_from_the_start_on_and_problems_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FINISH_SECONDS", 0.01)
    ran = asyncio.Event()
    reports = iter([Report(["aa"], {"bb": "damaged"}), Report([], {"bb": "damaged"}), Report([], {"bb": "worse"})])
    loop = asyncio.get_running_loop()

    class Finisher:
        def run(self) -> Report:
            report = next(reports, None)
            if report is None:
                loop.call_soon_threadsafe(ran.set)
            return report or Report()

    task = asyncio.create_task(module.finish_for_ever(Finisher()))  # type: ignore[arg-type]
    await asyncio.wait_for(ran.wait(), 5)
    task.cancel()
    said = [record.message for record in caplog.records]
    assert [words for words in said if "aa" in words] == ["the recording aa was abandoned, and is completed now"]
    assert len([words for words in said if "bb" in words]) == 2


async def test_what_runs_for_ever_begins_anew_after_a_defect(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("fargate_proxy.watch.ANEW_SECONDS", 0.0)
    begun: list[int] = []
    again = asyncio.Event()

    async def work() -> None:
        begun.append(1)
        if len(begun) == 1:
            raise ZeroDivisionError
        again.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(lasting("reclaiming", work))
    await asyncio.wait_for(again.wait(), 30)
    assert "defect in reclaiming, which begins anew" in caplog.text
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("fault", [OSError("gone"), ValueError("half a file")])
async def test_a_configuration_that_does_not_read_keeps_the_old_one(fault: Exception) -> None:
    async def load() -> Sequence[str]:
        raise fault

    assert not await reload_or_keep(load)
