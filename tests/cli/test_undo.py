"""What ``blastwall undo`` says of the database's refusal; that it undoes is in tests/e2e/test_undo.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from blastwall.errors import UpstreamFault
from cli.__main__ import run
from cli.undo import _meaning


def test_a_wrong_state_directory_is_told_and_nothing_is_made_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["undo", "a-1", "--state", str(tmp_path / "typo")]) == 4
    assert "nothing was run with the state directory" in capsys.readouterr().err
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize(
    ("code", "says"), [("22P02", "changed since"), ("23505", "there again"), ("23503", "is gone"), ("57014", "")]
)
def test_where_the_databases_words_are_withheld_the_code_says_what_it_means(code: str, says: str) -> None:
    meaning = _meaning(UpstreamFault("the database refused: a text is not a value of the type", code=code))
    assert says in meaning and bool(meaning) is bool(says)


def test_the_restoring_texts_own_words_are_enough() -> None:
    told = "changed since, or never committed: only 1 of 2 rows are as the change left them; nothing is undone"
    assert _meaning(UpstreamFault(f"the database refused: {told}", code="22P02")) == ""
