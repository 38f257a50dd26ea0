"""Small values: equal, shown, hashed and copied by their members."""

from __future__ import annotations

import copy
import pickle
import runpy
import sys
from pathlib import Path

import pytest

from blastwall import value
from blastwall.model import Chunk, Masked, Parameter, Statement
from blastwall.value import Fixed

ASKED = Statement("SELECT $1", parameters=(Parameter(b"1", type_id=23),), number=7)


def test_values_are_equal_by_kind_and_members() -> None:
    assert Chunk(b"a", 1) == Chunk(b"a", 1)
    assert Chunk(b"a", 1) != Chunk(b"a", 2)
    assert Chunk(b"a") != Masked(b"a")
    assert repr(Parameter(b"1")) == "Parameter(value=b'1', binary=False, type_id=0, withheld=False)"


def test_what_may_change_has_no_hash_and_what_may_not_has() -> None:
    with pytest.raises(TypeError, match="Chunk may change"):
        hash(Chunk(b"a"))
    assert hash(ASKED) == hash(ASKED._replace(number=7))
    assert hash(ASKED) != hash(ASKED._replace(number=8))


def test_a_copy_differs_in_nothing_but_what_was_named() -> None:
    changed = ASKED._replace(text="SELECT 2")
    assert (changed.text, ASKED.text) == ("SELECT 2", "SELECT $1")
    assert changed._asdict() == ASKED._asdict() | {"text": "SELECT 2"}
    with pytest.raises(TypeError):
        ASKED._replace(nothing=1)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_it_survives_being_copied_and_carried(again: object) -> None:
    assert again(ASKED) == ASKED  # type: ignore[operator]
    assert isinstance(ASKED, Fixed)


def test_values_need_no_compiler_where_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mypy_extensions", None)  # as in a Lambda function's bundle
    found = runpy.run_path(str(Path(value.__file__).with_suffix(".py")))
    assert found["mypyc_attr"](free_list_len=1)(found["Fixed"]) is found["Fixed"]
