"""What the benchmarks' command lines have in common: quick figures are marked, and never written down."""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
from pathlib import Path

import pytest

from bench import run
from bench.report import compose

ROOT = Path(__file__).parents[2]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("bench")
    run.options(made, "the table")
    return made


def test_quick_figures_are_not_written_down(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run.parsed(parser(), ["--quick", "--write"])
    assert ended.value.code == 2
    assert "proves nothing" in capsys.readouterr().err
    assert run.parsed(parser(), ["--write"]).write


@pytest.mark.parametrize("quick", [True, False])
def test_quick_figures_say_that_they_prove_nothing(quick: bool) -> None:
    day = datetime.date(2026, 1, 1)
    text = compose([], {}, command="c", day=day, machine="m", versions=["v"], revision="r", quick=quick)
    assert (run.QUICK in text) is quick


def test_what_is_asked_for_goes_before_what_is_usual() -> None:
    assert (run.pace(True).rounds, run.pace(True).seconds) == (run.QUICK_ROUNDS, run.QUICK_SECONDS)
    assert (run.pace(True, 7, 0.5).rounds, run.pace(True, 7, 0.5).seconds) == (7, 0.5)
    assert run.pace(False).rounds == run.ROUNDS


@pytest.mark.parametrize("module", ["bench", "bench.approvals", "bench.recording", "bench.vending"])
def test_every_benchmark_can_be_quick(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert "--quick" in done.stdout and "proves" in done.stdout
