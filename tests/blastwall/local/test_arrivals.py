"""Every recording arrives once, whatever the clock of the disk says; what has not changed is not read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from blastwall.local.arrivals import Arrivals
from blastwall.local.recordings import Shelf


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path)


def put(shelf, day, id):
    path = shelf.place(day, id)
    path.write_bytes(b"")
    return path


def names(entries):
    return sorted(entry.id for entry in entries)


def test_all_there_is_comes_first_and_then_what_is_new(shelf):
    for day in ("2026-11-01", "2026-11-21", "2026-11-22"):
        put(shelf, day, f"old-{day}")
    arrivals = Arrivals(shelf)
    assert names(arrivals.take()) == ["old-2026-11-01", "old-2026-11-21", "old-2026-11-22"]
    assert arrivals.take() == []
    put(shelf, "2026-11-22", "new")
    put(shelf, "2026-11-21", "late")
    assert names(arrivals.take()) == ["late", "new"]
    put(shelf, "2026-11-23", "tomorrow")
    put(shelf, "2026-11-22", "yesterday")
    assert names(arrivals.take()) == ["tomorrow", "yesterday"]
    assert arrivals.take() == []


def test_nothing_is_there_yet(shelf):
    arrivals = Arrivals(shelf)
    assert arrivals.take() == []
    put(shelf, "2026-11-22", "first")
    assert names(arrivals.take()) == ["first"]


def test_other_files_do_not_arrive(shelf):
    path = put(shelf, "2026-11-22", "one")
    path.with_name("one.manifest.json").write_text("{}")
    path.with_name("two.bwr.draft").write_bytes(b"")
    assert names(Arrivals(shelf).take()) == ["one"]


def test_what_comes_within_one_tick_of_the_disks_clock_is_not_missed(shelf):
    """A directory's time is that of its last change to the tick: two changes may bear the same one."""
    directory = put(shelf, "2026-11-22", "a").parent
    os.utime(directory, ns=(0, 0))
    arrivals = Arrivals(shelf)
    assert names(arrivals.take()) == ["a"]
    put(shelf, "2026-11-22", "b")
    os.utime(directory, ns=(0, 0))
    assert names(arrivals.take()) == ["b"]


def test_a_directory_that_stands_still_is_not_read(shelf, monkeypatch):
    put(shelf, "2026-11-22", "a")
    arrivals = Arrivals(shelf)
    arrivals.take()
    arrivals.take()
    read = []
    real = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: read.append(path.name) or real(path))
    assert arrivals.take() == []
    assert read == ["recordings"]
    monkeypatch.undo()
    put(shelf, "2026-11-22", "b")
    assert names(arrivals.take()) == ["b"]


def test_a_name_that_comes_back_arrives_again(shelf):
    path = put(shelf, "2026-11-22", "a")
    arrivals = Arrivals(shelf)
    arrivals.take()
    path.unlink()
    assert arrivals.take() == []
    path.write_bytes(b"")
    assert names(arrivals.take()) == ["a"]


def test_days_that_went_are_forgotten(shelf):
    path = put(shelf, "2026-11-22", "a")
    arrivals = Arrivals(shelf)
    arrivals.take()
    path.unlink()
    path.parent.rmdir()
    assert arrivals.take() == []
    put(shelf, "2026-11-22", "b")
    assert names(arrivals.take()) == ["b"]


def test_what_a_wrong_clock_put_into_the_future_hides_nothing(shelf):
    """A clock that was years ahead has left two directories that are newer than any day to come."""
    for day in ("2026-11-20", "2036-01-01", "2036-01-02"):
        put(shelf, day, f"old-{day}")
    arrivals = Arrivals(shelf)
    arrivals.take()
    assert arrivals.take() == []
    put(shelf, "2026-11-22", "today")
    assert names(arrivals.take()) == ["today"]
    arrivals.take()
    put(shelf, "2026-11-22", "later")
    assert "later" in names(arrivals.take())
    put(shelf, "2026-11-20", "set-back")
    assert "set-back" in names(arrivals.take())
    assert arrivals.take() == [], "each is given once while its directory goes on changing"


def test_names_of_old_days_are_not_kept(shelf):
    for day in ("2026-11-20", "2026-11-21", "2026-11-22"):
        put(shelf, day, f"old-{day}")
    arrivals = Arrivals(shelf)
    arrivals.take()
    arrivals.take()
    assert sorted(arrivals._names) == ["2026-11-21", "2026-11-22"]
