"""A secret does not show itself, does not travel, and compares by its text."""

from __future__ import annotations

import copy
import pickle

import pytest

from blastwall.secret import Secret


@pytest.mark.parametrize("show", [repr, str, "{}".format, "%s".__mod__, lambda secret: f"{[secret]!r} {secret!s:>12}"])
def test_a_secret_shows_nothing_of_itself(show: object) -> None:
    assert callable(show)
    assert "hunter2" not in show(Secret("hunter2"))


def test_a_secret_is_told_only_when_asked() -> None:
    assert Secret("hunter2").reveal() == "hunter2"


def test_secrets_compare_by_their_text_and_with_nothing_else() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("ä") != Secret("a")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


@pytest.mark.parametrize("carry", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_does_not_travel(carry: object) -> None:
    assert callable(carry)
    with pytest.raises(TypeError, match="not pickled"):
        carry(Secret("hunter2"))


def test_a_secret_has_no_attributes_to_dump() -> None:
    assert not hasattr(Secret("hunter2"), "__dict__")
