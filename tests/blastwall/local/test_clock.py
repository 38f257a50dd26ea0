"""Time as the ports tell it."""

from __future__ import annotations

import time

from blastwall.local.clock import ManualClock, SystemClock


def test_the_system_clock_is_this_machines():
    clock = SystemClock()
    assert abs(clock.now() - time.time()) < 5
    before = clock.monotonic()
    assert before <= clock.monotonic() <= time.monotonic()


def test_the_manual_clock_moves_both_of_its_times_and_only_when_moved():
    clock = ManualClock(5.0)
    now, monotonic = clock.now(), clock.monotonic()
    assert (clock.now(), clock.monotonic()) == (now, monotonic)
    clock.advance(2.5)
    assert (clock.now() - now, clock.monotonic() - monotonic) == (2.5, 2.5)
