"""The arithmetic of the approvals' latency: the person's time is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.approvals import HELD, ROOT, Moments, blind, line
from blastwall.config.bundle import load_bundle


def test_what_a_person_thinks_is_nobodys_time() -> None:
    moments = Moments({"a": 1.0}, {"a": 1.125}, {"a": 1.25}, {"a": 61.25}, {"a": 61.75})
    assert moments.steps(["a"]) == {
        HELD: [0.125], "sent until shown": [0.25], "approved until executed": [0.5], "the machine's part": [0.75],
    }  # fmt: skip
    with pytest.raises(KeyError):
        moments.steps(["b"])


def test_only_looking_ahead_differs(tmp_path: Path) -> None:
    usual, other = load_bundle(ROOT / "config"), load_bundle(blind(tmp_path))
    assert [bundle.targets["shop"].options.look_ahead_ms for bundle in (usual, other)] == [1000, 0]
    assert list(other.policies.rules) == list(usual.policies.rules)


def test_a_line_has_median_and_tail_in_milliseconds() -> None:
    text = line("step", [number / 1000 for number in range(1, 101)])
    assert "p50    50.5 ms" in text and "p95    96.0 ms" in text and text.endswith("n 100")
