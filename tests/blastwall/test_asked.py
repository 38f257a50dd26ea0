from __future__ import annotations

from blastwall import asked, model


def test_the_values_are_those_of_the_model() -> None:
    assert model.Demand is asked.Demand and model.ApprovalState is asked.ApprovalState
    assert asked.Demand(("owners",)) == asked.Demand(("owners",), 1)
