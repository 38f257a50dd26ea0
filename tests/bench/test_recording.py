"""The table of what recording costs: ratios to recording off, round by round, and memory that is not divided."""

from __future__ import annotations

import pytest

from bench.bulk import SELECT
from bench.measure import Measure
from bench.recorders import OFF, S3, Nothing, recorder
from bench.recording import BEGIN, END, HUGE, KERNEL, POWER_LOSS, WAYS, Way, settled, table
from bench.report import place
from bench.run import DOCUMENT


def filled(id: str, unit: str) -> Measure:
    measure = Measure(id, id, unit)
    for factor, way in enumerate(WAYS, 1):
        for sample in (100.0, 200.0):
            measure.add(way, sample / factor)
    return measure


def test_every_way_is_compared_with_recording_off() -> None:
    head, _, rates, memory = table([filled("rate", "/s"), filled("memory", "MiB")]).splitlines()
    assert [cell.strip() for cell in head.split("|")[3:-1]] == [*WAYS, *(f"{way} / off" for way in WAYS[1:])]
    cells = [cell.strip() for cell in rates.split("|")[3:-1]]
    assert cells == ["150", "75", "50", "38", "0.50 (0.50 to 0.50)", "0.33 (0.33 to 0.33)", "0.25 (0.25 to 0.25)"]
    assert [cell.strip() for cell in memory.split("|")[7:-1]] == ["", "", ""], "a rise of nothing divides by nothing"


def test_off_is_no_recorder_and_no_other_name_is_one() -> None:
    assert isinstance(recorder(OFF, {}), Nothing)
    with pytest.raises(ValueError, match="off or s3"):
        recorder("quietly off", {})
    with pytest.raises(ValueError, match="BLASTWALL_RECORDINGS_BUCKET"):
        recorder(S3, {})


def test_its_place_in_the_document_is_its_own() -> None:
    text = place(DOCUMENT.read_text("utf-8"), "the table", BEGIN, END)
    assert f"{BEGIN}\nthe table\n{END}" in text
    assert "<!-- bench: begin -->" in text


def test_the_recording_of_off_is_nothing(tmp_path: object) -> None:
    assert settled(Way(OFF, None, tmp_path), 100) == 0  # type: ignore[arg-type]


def test_the_large_result_is_sixteen_times_the_small_one() -> None:
    assert "generate_series(1, 16)" in HUGE
    assert SELECT.split("FROM")[1].split()[0] in HUGE
    assert {KERNEL, POWER_LOSS, OFF, S3} == set(WAYS)
