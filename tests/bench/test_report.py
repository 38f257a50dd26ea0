from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from bench.measure import Measure
from bench.pgbench import BenchFault
from bench.report import BEGIN, END, Goal, compose, load_goals, met, place, table


def _measure(id: str = "m", unit: str = "/s") -> Measure:
    return Measure(
        id, "point select", unit, {"direct": [200.0, 200.0], "pgbouncer": [100.0, 50.0], "blastwall": [90.0, 40.0]}
    )


def _cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]


def test_the_table_shows_medians_ratios_and_the_verdict() -> None:
    head, rule, row = _cells(table([_measure()], {"m": Goal("pgbouncer", least=0.85)}))
    assert head[:5] == ["measure", "unit", "direct", "peer", "Blastwall"]
    assert set("".join(rule)) == {"-"}
    assert row == [
        "point select",
        "/s",
        "200",
        "75",
        "65",
        "0.85 (0.80 to 0.90)",
        "0.33 (0.20 to 0.45)",
        "met (>= 0.85, pgbouncer)",
    ]


def test_every_line_is_as_wide_as_the_others() -> None:
    lines = table(
        [_measure(), Measure("n", "a longer name than the other", "µs", {"blastwall": [1.0]})], {}
    ).splitlines()
    assert len({len(line) for line in lines}) == 1


def test_what_was_not_measured_stays_empty() -> None:
    measure = Measure("n", "memory", "MiB", {"blastwall": [1.25]}, decimals=1)
    row = _cells(table([measure], {"n": Goal("pgbouncer", most=1.4)}))[2]
    assert row == ["memory", "MiB", "", "", "1.2", "", "", ""]


def test_an_added_time_is_a_difference_in_its_unit() -> None:
    measure = Measure("l", "p50", "µs", {"direct": [50.0, 60.0], "blastwall": [120.0, 140.0]})
    row = _cells(table([measure], {"l": Goal("direct", most=75.0, added=True)}))[2]
    assert row[6:] == ["+75 (+70 to +80)", "met (<= 75 µs, direct)"]


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        (Goal("pgbouncer", least=0.85), True),
        (Goal("pgbouncer", least=0.86), False),
        (Goal("pgbouncer", most=0.851), True),
        (Goal("pgbouncer", most=0.84), False),
        (Goal("direct", least=0.5), False),
        (Goal("pgbouncer"), None),
    ],
)
def test_a_goal_is_met_by_the_median(goal: Goal, expected: bool | None) -> None:
    assert met(goal, _measure()) is expected


def test_a_missed_goal_is_said() -> None:
    assert "MISSED (>= 0.9, pgbouncer)" in table([_measure()], {"m": Goal("pgbouncer", least=0.9)})


def test_only_what_stands_between_the_markers_is_replaced() -> None:
    document = f"# Head\n{BEGIN}\nold\n{END}\ntail\n"
    assert place(document, "new\n") == f"# Head\n{BEGIN}\nnew\n{END}\ntail\n"


@pytest.mark.parametrize(
    "document", ["nothing", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}{BEGIN}{END}", f"{BEGIN}{END}{END}"]
)
def test_a_document_without_its_markers_is_left_alone(document: str) -> None:
    with pytest.raises(BenchFault):
        place(document, "new")


def test_the_report_says_how_it_was_made() -> None:
    text = compose(
        [("Selects", [_measure()])],
        {},
        command="python -m bench --quick",
        day=datetime.date(2026, 1, 2),
        machine="2 cores",
        versions=["PostgreSQL 17.10"],
        revision="abc1234",
    )
    assert text.startswith("`python -m bench --quick`, 2026-01-02, revision abc1234; 2 cores; PostgreSQL 17.10.")
    assert "### Selects" in text


def test_the_goals_of_this_repository_are_valid() -> None:
    goals = load_goals()
    assert goals["select-simple-8"] == Goal("pgbouncer", least=0.85)


@pytest.mark.parametrize(
    "text",
    ['[m]\nagainst = "nobody"', '[m]\nagainst = "direct"\nlesat = 1', "[m]", '[m]\nagainst="direct"\nleast=1\nmost=2'],
)
def test_a_goal_that_means_nothing_is_a_fault(tmp_path: Path, text: str) -> None:
    file = tmp_path / "goals.toml"
    file.write_text(text)
    with pytest.raises(BenchFault, match="m"):
        load_goals(file)
