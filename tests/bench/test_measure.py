from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bench.measure import (
    Measure,
    Pace,
    Spread,
    differences,
    family,
    machine,
    processor_seconds,
    ratios,
    reset_peak,
    resident,
)


def test_medians_are_over_the_rounds() -> None:
    measure = Measure("x", "x", "/s")
    for value in (10.0, 1000.0, 20.0):
        measure.add("direct", value)
    assert measure.median("direct") == 20.0
    assert measure.median("blastwall") is None


def test_ratios_are_taken_pair_by_pair() -> None:
    # The machine was ten times slower in the second round: the ratio of medians would say 1.0 / 9.0.
    assert ratios([90.0, 9.0, 80.0], [100.0, 10.0, 100.0]) == Spread(0.9, 0.8, 0.9)
    assert ratios([], []) is None


def test_rounds_that_do_not_match_are_an_error() -> None:
    with pytest.raises(ValueError):
        ratios([1.0, 2.0], [1.0])
    with pytest.raises(ValueError):
        differences([1.0], [1.0, 2.0])


def test_differences_are_taken_pair_by_pair() -> None:
    assert differences([50.0, 70.0], [30.0, 20.0]) == Spread(35.0, 20.0, 50.0)


def test_rounds_interleave_the_ways() -> None:
    said: list[str] = []
    pace = Pace(3, 1.0, said.append)
    assert "".join(pace.interleave(iter("abc"), "letters")) == "abcabcabc"
    assert said == ["letters"]


def _process(proc: Path, pid: int, parent: int, name: str, threads: list[int]) -> None:
    place = proc / str(pid)
    for number, nanoseconds in enumerate(threads):
        task = place / "task" / str(pid + number)
        task.mkdir(parents=True)
        (task / "schedstat").write_text(f"{nanoseconds} 5 7\n")
    (place / "stat").write_text(f"{pid} ({name}) S {parent} 1 1 0 -1")


def test_processor_time_counts_threads_and_descendants(tmp_path: Path) -> None:
    _process(tmp_path, 10, 1, "gateway", [1_000_000_000, 500_000_000])
    _process(tmp_path, 20, 10, "a ) S 99 (worker", [250_000_000])
    _process(tmp_path, 30, 20, "grandchild", [250_000_000])
    _process(tmp_path, 40, 1, "stranger", [9_000_000_000])
    assert sorted(family(10, tmp_path)) == [10, 20, 30]
    assert processor_seconds(10, tmp_path) == 2.0
    assert processor_seconds(77, tmp_path) == 0.0
    (tmp_path / "10" / "cmdline").write_bytes(b"python\0-m\0of.this\0")
    assert processor_seconds(10, tmp_path, but="of") == 2.0, "a word, not a part of one"
    assert processor_seconds(10, tmp_path, but="of.this") < 2.0


def test_processor_time_of_a_real_process_rises_as_it_works() -> None:
    before = processor_seconds(os.getpid())
    deadline = time.process_time() + 0.05
    while time.process_time() < deadline:
        pass
    assert processor_seconds(os.getpid()) - before >= 0.04


def test_the_peak_begins_anew() -> None:
    block = bytearray(64 * 2**20)
    block[::4096] = b"x" * len(block[::4096])
    high = resident(os.getpid())[1]
    del block
    reset_peak(os.getpid())
    now, peak = resident(os.getpid())
    assert peak < high - 32
    assert now <= peak


def test_the_machine_is_described_without_its_name() -> None:
    words = machine()
    assert "cores" in words and "GiB" in words
    assert os.uname().nodename not in words
