"""A log that floods do not fill, and that says of each line that is not in it that there was one."""

from __future__ import annotations

import logging
import re

from fargate_proxy.sparing import BURST, MOST_KINDS, Sparing


class Log:
    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self.sparing = Sparing(self.write, lambda: self.now)

    def write(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def say(self, message: str, *given: object, name: str = "blastwall.gateway", level: int = logging.INFO) -> None:
        record = logging.LogRecord(name, level, "", 0, message, given, None)
        if self.sparing.filter(record):
            self.write(record)

    @property
    def told(self) -> int:
        """Lines that are there, and those that others speak of."""
        besides = [int(found) for line in self.lines for found in re.findall(r"(\d+) (?:more|lines) like", line)]
        after = sum("lines like this" in line for line in self.lines)
        return len(self.lines) - after + sum(besides)


def test_a_flood_is_written_as_a_burst_and_then_once_a_second_and_counted_in_full() -> None:
    log = Log()
    for number in range(BURST * 50):
        log.now += 0.001
        log.say("client fault: %s", f"{number} % {{}}")
    assert BURST <= len(log.lines) <= BURST + 6
    log.now += 5
    log.say("client fault: %s", "the last")
    assert log.told == BURST * 50 + 1
    assert log.lines[0] == "client fault: 0 % {}" and log.lines[-1].startswith("client fault: the last (")


def test_what_is_left_of_a_flood_is_told_when_it_is_over() -> None:
    log = Log()
    for _ in range(BURST + 7):
        log.say("client fault: %s", "x")
    assert log.told == BURST
    log.sparing.tell()
    assert log.lines[-1] == "7 lines like this were not written: client fault: %s"
    assert log.told == BURST + 7
    log.sparing.tell()
    assert log.told == BURST + 7


def test_one_kind_of_lines_does_not_keep_out_another() -> None:
    log = Log()
    for _ in range(BURST * 2):
        log.say("client fault: %s", "x")
    before = len(log.lines)
    log.say("BREAK GLASS by %s", "robot")
    log.say("client fault: %s", "x", level=logging.ERROR)
    log.say("client fault: %s", "x", name="blastwall.other")
    assert len(log.lines) == before + 3


def test_recordings_that_fail_are_written_one_by_one() -> None:
    log = Log()
    for number in range(BURST * 3):
        log.say("%s", f"{number}", name="blastwall.recording", level=logging.ERROR)
    assert len(log.lines) == BURST * 3


def test_lines_that_a_library_fills_in_itself_are_bounded_too() -> None:
    log = Log()
    for number in range(MOST_KINDS * 3):
        log.say(f"connection {number} lost", name="library")
    assert len(log.sparing._kinds) <= MOST_KINDS + 1
    for _ in range(2):
        for number in range(MOST_KINDS - len(log.sparing._kinds)):
            for _ in range(BURST + 1):
                log.say(f"again {number}", name="library")
    for number in range(BURST * 3):
        log.say(f"one more {number}", name="library")
    log.sparing.tell()
    assert len(log.sparing._kinds) <= MOST_KINDS + 1
