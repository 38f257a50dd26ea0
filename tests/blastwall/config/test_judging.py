"""Facts without a connection, with the catalogue that the configuration names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from blastwall.config.bundle import load_bundle
from blastwall.config.judging import Judge
from blastwall.errors import ConfigFault
from blastwall.model import Effect

CORPUS = Path(__file__).parents[2] / "fixtures" / "corpus"
TARGET = load_bundle(CORPUS).targets["corpus"]
READ = "SELECT status FROM orders"


def test_the_targets_own_catalogue_resolves_names() -> None:
    facts = Judge().judge(TARGET, READ)
    assert facts.effect is Effect.READ
    assert [str(ref) for ref in facts.objects] == ["read table public.orders"]
    assert Judge().judge(TARGET, "SELECT 1 FROM nowhere").effect is Effect.UNKNOWN


def test_a_catalogue_is_loaded_once(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.json"
    file.write_bytes((CORPUS / "catalogue.json").read_bytes())
    judge = Judge(str(file))
    judge.judge(TARGET, READ)
    file.unlink()
    assert judge.judge(TARGET, READ).effect is Effect.READ


def test_a_given_catalogue_replaces_the_targets() -> None:
    with pytest.raises(ConfigFault, match="nowhere"):
        Judge("nowhere.json").judge(TARGET, READ)


def test_a_catalogue_at_hand_replaces_both() -> None:
    judge = Judge("nowhere.json")
    judge.use(TARGET, None)
    assert "no_catalogue" in judge.judge(TARGET, READ).flags


def test_a_target_without_a_catalogue_is_judged_without_one() -> None:
    bare = replace(TARGET, options=TARGET.options.model_copy(update={"catalogue_file": None}))
    assert "no_catalogue" in Judge().judge(bare, READ).flags
