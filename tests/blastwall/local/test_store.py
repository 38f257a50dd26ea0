"""The shared file: closed to others, all or nothing, one writer at a time, and honest when it fails."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading

import pytest

from blastwall.errors import OurFault
from blastwall.local import store as module
from blastwall.local.store import Store


@pytest.fixture
def file(tmp_path):
    return tmp_path / "state" / "blastwall.db"


@pytest.fixture
async def store(file):
    store = Store(file)
    yield store
    store.close()


def names(db: sqlite3.Connection) -> list[str]:
    return [row[0] for row in db.execute("SELECT agent FROM locks ORDER BY agent")]


def lock(name: str):
    return lambda db: db.execute("INSERT INTO locks VALUES (?, '', '', 0)", (name,))


async def test_directory_and_files_are_the_owners_alone(store, file):
    await store.write(lock("a"))
    assert file.parent.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in file.parent.iterdir()}
    assert modes == {"blastwall.db": 0o600, "blastwall.db-wal": 0o600, "blastwall.db-shm": 0o600}


async def test_a_directory_that_others_may_change_is_refused(file):
    file.parent.mkdir()
    file.parent.chmod(0o777)
    with pytest.raises(OurFault, match="chmod go-w"):
        Store(file)
    assert list(file.parent.iterdir()) == []


async def test_a_link_in_the_files_place_is_refused(file, tmp_path):
    file.parent.mkdir(mode=0o700)
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OurFault):
        Store(file)
    assert not (tmp_path / "elsewhere").exists()


async def test_work_that_raises_leaves_nothing_behind(store):
    def work(db: sqlite3.Connection) -> None:
        lock("half")(db)
        raise LookupError("stop")

    with pytest.raises(LookupError, match="stop"):
        await store.write(work)
    await store.write(lock("whole"))
    assert await store.read(names) == ["whole"]


async def test_a_failing_statement_is_a_fault_that_says_where(store, file):
    with pytest.raises(OurFault, match=r"blastwall\.db fails"):
        await store.write(lambda db: db.execute("SELECT nonsense"))
    assert await store.read(names) == []


async def test_half_a_character_is_a_fault_too(store):
    with pytest.raises(OurFault, match="surrogate"):
        await store.write(lock("\udcff"))


async def test_durable_work_is_synced_and_other_work_is_not(store):
    def level(db: sqlite3.Connection) -> int:
        return int(db.execute("PRAGMA synchronous").fetchone()[0])

    assert await store.write(level, durable=True) == 2  # FULL: the log is synced at each commit
    assert await store.write(level) == 1  # NORMAL
    assert await store.read(lambda db: db.execute("PRAGMA journal_mode").fetchone()[0]) == "wal"


async def test_a_writer_waits_for_another_and_readers_do_not(store, file):
    other = Store(file)
    began, release = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow(db: sqlite3.Connection) -> None:
        lock("slow")(db)
        loop.call_soon_threadsafe(began.set)
        release.wait(5)

    writing = asyncio.create_task(store.write(slow))
    await began.wait()
    waiting = asyncio.create_task(other.write(lock("fast")))
    third = Store(file)
    assert await asyncio.wait_for(third.read(names), 2) == []
    assert not waiting.done()
    release.set()
    await asyncio.gather(writing, waiting)
    assert await third.read(names) == ["fast", "slow"]
    for one in (other, third):
        one.close()


async def test_a_lock_held_too_long_is_a_fault_not_a_hang(store, file, monkeypatch):
    monkeypatch.setattr(module, "BUSY", 0.05)
    impatient = Store(file)
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(OurFault, match="locked"):
        await impatient.write(lock("a"))
    holder.execute("ROLLBACK")
    holder.close()
    await impatient.write(lock("a"))
    impatient.close()


async def test_a_closed_store_says_that_the_process_is_ending(store, file):
    other = Store(file)
    other.close()
    with pytest.raises(OurFault, match="is closed"):
        await other.write(lock("a"))
    assert await store.read(names) == []


async def test_a_file_of_another_version_is_refused(store, file):
    db = sqlite3.connect(file)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(OurFault, match="another version of Blastwall \\(99"):
        Store(file)


async def test_a_file_that_is_no_database_is_refused(file):
    file.parent.mkdir(mode=0o700)
    file.write_bytes(b"x" * 5000)
    with pytest.raises(OurFault, match="not a database"):
        Store(file)


def test_processes_that_start_at_once_make_one_schema(file):
    program = (
        "import asyncio, pathlib, sys\n"
        "from blastwall.local.store import Store\n"
        "async def main():\n"
        "    store = Store(pathlib.Path(sys.argv[1]))\n"
        '    await store.write(lambda db: db.execute(\'INSERT INTO locks VALUES (?, "", "", 0)\', (sys.argv[2],)))\n'
        "    store.close()\n"
        "asyncio.run(main())\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", program, str(file), f"p{n}"]) for n in range(4)]
    assert [process.wait(60) for process in started] == [0, 0, 0, 0]
    assert names(sqlite3.connect(file)) == ["p0", "p1", "p2", "p3"]


async def test_a_second_store_of_a_process_takes_nothing_from_the_first(store, file):
    """POSIX locks are the process's: one that opens the file besides and closes it has none left."""
    await store.write(lock("a"))
    second = Store(file)
    come_and_go = (
        f"from pathlib import Path; from blastwall.local.store import Store; Store(Path({str(file)!r})).close()"
    )
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", come_and_go], check=True)
    await store.write(lock("b"))
    await second.write(lock("c"))
    second.close()
    with sqlite3.connect(file) as looking:
        assert names(looking) == ["a", "b", "c"]
    looking.close()
