"""What is measured is shown as soon as it is: a later benchmark that fails takes nothing with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import __main__ as program
from bench.measure import BLASTWALL, DIRECT, Measure
from bench.pgbench import BenchFault


class NoStage:
    versions = ("PostgreSQL",)

    def __init__(self, state: Path) -> None:
        pass

    def __enter__(self) -> NoStage:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def works(stage: Any, pace: Any) -> list[Measure]:
    return [Measure("m", "a measure", "/s", {DIRECT: [4.0] * pace.rounds, BLASTWALL: [2.0] * pace.rounds})]


def fails(stage: Any, pace: Any) -> list[Measure]:
    raise BenchFault("the second one fails")


@pytest.fixture(autouse=True)
def no_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "Stage", NoStage)
    monkeypatch.setattr(program, "BENCHMARKS", {"works": ("One", works), "fails": ("Two", fails)})


def test_a_table_is_shown_before_the_next_one_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--quick", "works", "fails"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "| a measure | /s   | 4" in captured.err
    assert captured.err.endswith("bench: the second one fails\n")


def test_quick_tables_say_that_they_prove_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--quick", "works"]) == 0
    assert "prove nothing" in capsys.readouterr().out
    assert program.main(["works"]) == 0
    assert "prove nothing" not in capsys.readouterr().out
