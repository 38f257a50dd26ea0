"""Faults say whose they are, and configuration faults say everything at once."""

from __future__ import annotations

import pytest

from blastwall import errors
from blastwall.errors import ClientFault, ConfigFault, Fault, OurFault, Problem, ProtocolViolation, UpstreamFault


def kinds() -> list[type[Fault]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Fault)]


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_every_fault_is_somebodys(kind: type[Fault]) -> None:
    sides = [side for side in (OurFault, ClientFault, UpstreamFault, ConfigFault) if issubclass(kind, side)]
    assert len(sides) == (0 if kind is Fault else 1)


def test_the_docstring_draws_the_whole_tree() -> None:
    for kind in kinds():
        assert kind.__name__ in (errors.__doc__ or "")


def test_a_violation_carries_its_code_and_whether_it_ends_the_connection() -> None:
    fault = ProtocolViolation("too long", code="08P01")
    assert (str(fault), fault.code, fault.fatal) == ("too long", "08P01", True)
    assert not ProtocolViolation("odd", code="42601", fatal=False).fatal


def test_an_upstream_fault_may_carry_the_targets_code() -> None:
    assert UpstreamFault("gone").code == ""
    assert UpstreamFault("gone", code="57P01").code == "57P01"


def test_a_configuration_fault_tells_every_problem_with_its_place() -> None:
    problems = (Problem("gateway.yaml", 3, "unknown key"), Problem("policies", 0, "nothing here"))
    fault = ConfigFault(problems)
    assert fault.problems == problems
    assert str(fault) == "gateway.yaml:3: unknown key\npolicies: nothing here"
