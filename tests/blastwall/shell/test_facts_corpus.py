"""Every exec row of the attack corpus: reads pass exactly, nothing else is taken for one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from blastwall.model import Effect
from blastwall.policy.vocabulary import FLAGS
from blastwall.shell.facts import Bounds, judge

ROWS = [
    json.loads(line)
    for name in ("bypass.jsonl", "own.jsonl")
    for line in (Path(__file__).parents[2] / "corpus" / name).read_text("utf-8").split("\n")
    if line
]
EXEC = [row for row in ROWS if row["protocol"] == "ssh" and row["payload"].startswith("exec: ")]


def test_the_corpus_is_there() -> None:
    assert len(EXEC) > 100


@pytest.mark.parametrize("row", EXEC, ids=[row["id"] for row in EXEC])
def test_a_row(row: dict[str, str]) -> None:
    text = row["payload"].removeprefix("exec: ")
    facts = judge("" if text == "(empty command)" else text, Bounds()).facts
    if row["class"] == "safe_read":
        assert facts.effect is Effect.READ
    else:
        assert facts.effect in (Effect.DESTROY, Effect.ADMINISTER, Effect.UNKNOWN)
        assert facts.reason
    assert facts.flags <= FLAGS
