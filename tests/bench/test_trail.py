"""Both ways of making audit events make the same ones of what the benchmark records."""

from __future__ import annotations

from pathlib import Path

from bench.measure import BLASTWALL, Measure, Pace
from bench.trail import FOLLOWED, STRAIGHT, cost, record, straight, table
from blastwall.local.audit import AuditTrail


def test_both_ways_give_the_same_lines(tmp_path: Path) -> None:
    record(tmp_path, 50)
    assert straight(tmp_path) == AuditTrail(tmp_path).catch_up() == 51, "each statement, and the session's end"
    trail = tmp_path / "audit"
    expected = (trail / "straight.jsonl").read_text("ascii")
    days = sorted(trail.glob("????-??-??.jsonl"))
    assert "".join(day.read_text("ascii") for day in days) == expected
    assert expected.count("SELECT abalance FROM accounts WHERE aid = ") == 50


def test_each_way_is_measured_in_each_round() -> None:
    measure = cost(Pace(rounds=2, seconds=0.1, say=lambda what: None), statements=200)
    assert {way: len(samples) for way, samples in measure.samples.items()} == {STRAIGHT: 2, FOLLOWED: 2}
    assert all(sample > 0 for samples in measure.samples.values() for sample in samples)


def test_the_table_holds_the_follower_against_the_straight_way() -> None:
    event = Measure("trail-event", "processor time for each event", "µs", decimals=1)
    event.add(STRAIGHT, 80.0)
    event.add(FOLLOWED, 20.0)
    late = Measure("trail-late", "from the last answer to the last event", "s", decimals=2)
    late.add(BLASTWALL, 0.5)
    _, _, first, second = table(event, [late]).splitlines()
    assert [cell.strip() for cell in first.split("|")[3:6]] == ["80.0", "20.0", "0.25 (0.25 to 0.25)"]
    assert [cell.strip() for cell in second.split("|")[3:5]] == ["", "0.50"]
