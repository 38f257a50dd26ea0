"""Output that people and programs read."""

from __future__ import annotations

import getpass

import pytest

from blastwall.errors import ClientFault
from cli import place


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 s"), (0, "0 s"), (59.6, "60 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (172_800, "2 d")],
)  # fmt: skip
def test_spans_are_told_roughly(seconds, words):
    assert place.span(seconds) == words


def test_moments_are_told_in_utc():
    assert place.moment(1_800_000_000.9) == "2027-01-15 08:00:00 UTC"


def test_json_is_ascii_and_an_object_a_line(capsys):
    place.echo_json({"b": "\u202e", "a": 1}, {})
    assert capsys.readouterr().out == '{"a": 1, "b": "\\u202e"}\n{}\n'


def test_a_table_keeps_ids_whole_and_brackets_as_they_are(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    place.echo_table(("id", "text"), [("a-" + "x" * 60, "[bold]not markup[/bold] " + "word " * 50)])
    out = capsys.readouterr().out
    assert "a-" + "x" * 60 in out
    assert "[bold]not markup[/bold]" in out
    assert out.count("word") == 50


def test_a_pipe_is_wide_unless_it_is_told_how_wide(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert place.console().width == place.PIPED_WIDTH
    monkeypatch.setenv("COLUMNS", "60")
    assert place.console().width == 60


def test_a_state_directory_that_was_never_used_is_not_made(tmp_path):
    with pytest.raises(ClientFault, match="blastwall up"):
        place.open_store(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_whoever_has_no_account_is_an_operator(monkeypatch):
    assert place.user() == getpass.getuser()

    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert place.user() == "operator"
