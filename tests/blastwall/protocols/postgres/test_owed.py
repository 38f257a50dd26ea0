"""Owed: first in, first out, whatever is put in and taken away in between."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blastwall.protocols.postgres.answers import Expected, Step
from blastwall.protocols.postgres.owed import Owed


@given(st.lists(st.sampled_from(["put", "put", "take", "second"]), max_size=600))
def test_it_is_a_queue(moves: list[str]) -> None:
    owed, model = Owed(), deque[Expected]()
    for number, move in enumerate(moves):
        if move == "put":
            step = Expected(Step.SYNC, number)
            owed.put(step)
            model.append(step)
        elif move == "take" and model:
            assert owed.take() is model.popleft()
        elif move == "second" and len(model) > 1:
            taken = model[1]
            del model[1]
            assert owed.take_second() is taken
        assert [step.number for step in owed] == [step.number for step in model]
        assert owed.first is (model[0] if model else None)
        assert owed.second is (model[1] if len(model) > 1 else None)
        assert owed.last is (model[-1] if model else None)


def test_nothing_comes_out_of_an_empty_one() -> None:
    for taking in (Owed().take, Owed().take_second):
        with pytest.raises(IndexError):
            taking()
