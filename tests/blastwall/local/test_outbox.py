"""What waits for a sink survives everything but being taken; a session's events keep their order."""

from __future__ import annotations

import random
import stat

import pytest

from blastwall.audit.sink import line, session, uid
from blastwall.local.outbox import ALARM_AFTER, ATTEMPTS, LONGEST_PAUSE, MAX_BATCH, Outbox


class Clock:
    def __init__(self):
        self.at = 100.0

    def now(self):
        return self.at

    def monotonic(self):
        return self.at


class Far:
    """A sink that remembers, and fails as it is told to."""

    name = "far"

    def __init__(self):
        self.got = []
        self.calls = 0
        self.refuses = lambda event: False

    def put(self, batch):
        self.calls += 1
        failed = {uid(event) for event in batch if self.refuses(event)}
        self.got += [uid(event) for event in batch if uid(event) not in failed]
        return failed


def event(number, of="s-1"):
    return line({"metadata": {"uid": f"r-{number}", "correlation_uid": of, "sequence": number}, "time": 1})


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def alarms():
    return []


@pytest.fixture
def far():
    return Far()


@pytest.fixture
def outbox(tmp_path, far, clock, alarms):
    return Outbox(tmp_path, far, clock, alarms.append)


def drain(outbox, clock, turns=400):
    for _ in range(turns):
        outbox.deliver()
        clock.at += LONGEST_PAUSE
        if not outbox.waiting():
            return


def test_what_is_taken_is_gone_and_in_order(outbox, far):
    outbox.add([event(number) for number in range(5)])
    assert outbox.deliver() == 5
    assert (far.got, outbox.waiting()) == ([f"r-{number}" for number in range(5)], 0)
    assert outbox.deliver() == 0
    assert far.calls == 1


def test_it_waits_on_disk_for_another_process(tmp_path, outbox, far, clock, alarms):
    outbox.add([event(1)])
    outbox.add([event(number) for number in range(2, MAX_BATCH + 10)])
    (first, *_) = (tmp_path / "far").glob("*.jsonl")
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    again = Outbox(tmp_path, far, clock, alarms.append)
    again.add([event("last")])
    drain(again, clock)
    assert far.got == [f"r-{number}" for number in range(1, MAX_BATCH + 10)] + ["r-last"]


def test_an_outage_of_any_length_loses_nothing_and_raises_the_alarm(outbox, far, clock, alarms):
    far.refuses = lambda event: True
    outbox.add([event(1), event(2, "s-2")])
    pauses = []
    for _ in range(60):
        calls = far.calls
        outbox.deliver()
        assert far.calls == calls + 1
        outbox.deliver()
        assert far.calls == calls + 1, "not before the pause is over"
        pauses.append(outbox._not_before - clock.at)
        clock.at += LONGEST_PAUSE
    assert pauses[:4] == [0.5, 1.0, 2.0, 4.0]
    assert max(pauses) == LONGEST_PAUSE
    assert [alarm.failures for alarm in alarms] == [3, 6, 12, 24, 48]
    assert {(alarm.sink, alarm.waiting, alarm.undeliverable) for alarm in alarms} == {("far", 2, 0)}
    far.refuses = lambda event: False
    drain(outbox, clock)
    assert far.got == ["r-1", "r-2"]


def test_a_session_waits_behind_its_failed_event_and_others_do_not(outbox, far):
    far.refuses = lambda event: uid(event) == "r-1"
    outbox.add([event(1, "a"), event(2, "b")])
    outbox.add([event(3, "a"), event(4, "b")])
    assert outbox.deliver() == 2
    assert far.got == ["r-2", "r-4"]
    assert outbox.waiting() == 2


def test_an_event_that_alone_is_refused_is_set_aside_told_and_never_lost(outbox, far, clock, alarms):
    far.refuses = lambda event: uid(event) == "r-poison"
    outbox.add([event("poison", "a"), event("behind", "a")])
    for number in range(ATTEMPTS + 2):
        outbox.add([event(number, "b")])
        outbox.deliver()
        clock.at += LONGEST_PAUSE
    assert (outbox.waiting(), outbox.undeliverable()) == (0, 1)
    assert "r-behind" in far.got
    assert any("r-poison" in alarm.reason for alarm in alarms)
    far.refuses = lambda event: False
    assert outbox.retry() == 1
    drain(outbox, clock)
    assert (far.got[-1], outbox.undeliverable()) == ("r-poison", 0)


def test_an_outage_sets_nothing_aside(outbox, far, clock):
    far.refuses = lambda event: True
    outbox.add([event(1)])
    for _ in range(ATTEMPTS * 3):
        outbox.deliver()
        clock.at += LONGEST_PAUSE
    assert (outbox.waiting(), outbox.undeliverable()) == (1, 0)


@pytest.mark.parametrize("seed", range(6))
def test_random_failures_lose_nothing_and_keep_each_sessions_order(tmp_path, clock, alarms, seed):
    dice = random.Random(seed)
    far = Far()
    far.refuses = lambda event: dice.random() < 0.2
    outbox = Outbox(tmp_path, far, clock, alarms.append)
    expected = {}
    for number in range(60):
        owner = dice.choice("abc")
        expected.setdefault(owner, []).append(f"r-{number}")
        outbox.add([event(number, owner)])
        if dice.random() < 0.4:
            outbox.deliver()
            clock.at += dice.choice([0.1, 1, LONGEST_PAUSE])
        if dice.random() < 0.1:
            outbox = Outbox(tmp_path, far, clock, alarms.append)
    drain(outbox, clock)
    assert sorted(far.got) == sorted(id for ids in expected.values() for id in ids)
    for ids in expected.values():
        assert [id for id in far.got if id in ids] == ids
    assert session({"metadata": {}}) == ""
    assert ALARM_AFTER == 3


def test_it_reads_the_day_files_on_from_where_it_was(tmp_path, outbox, far, clock, alarms):
    days = tmp_path / "days"
    days.mkdir()
    with (days / "2026-11-21.jsonl").open("w") as file:
        file.write(event(1) + "\n" + event(2) + "\n" + '{"half of')
    assert outbox.feed(days) == 2
    with (days / "2026-11-21.jsonl").open("a") as file:
        file.write("\n" + event(3) + "\n")
    (days / "2026-11-22.jsonl").write_text(event(4) + "\n")
    again = Outbox(tmp_path, far, clock, alarms.append)
    assert (again.feed(days), again.feed(days)) == (2, 0)
    drain(again, clock)
    assert far.got == ["r-1", "r-2", "r-3", "r-4"]
