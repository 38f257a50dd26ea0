from __future__ import annotations

import pytest

from blastwall.model import Denial, Principal
from fargate_proxy.glass import reason_given

FIREMAN = Principal("https://idp", "f", "fireman", frozenset({"agents", "break-glass"}))
WORKER = Principal("https://idp", "w", "worker", frozenset({"agents"}))
MAY = ("break-glass",)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("break-glass: the site is down", "the site is down"),
        ("break-glass:x", "x"),
        (" Break Glass : ticket: 7 ", "ticket: 7"),
        ("BREAKGLASS:on\nfire", "on\nfire"),  # whether it can be read by people is looked at where it is kept
    ],
)
def test_its_group_breaks_it_with_a_reason(name: str, reason: str) -> None:
    assert reason_given(name, FIREMAN, MAY) == reason


@pytest.mark.parametrize("name", ["break-glass:", "break-glass", "break-glass:  ", "Break_Glass the site is down"])
def test_without_a_reason_behind_a_colon_it_is_refused_with_how_to_say_it(name: str) -> None:
    refusal = reason_given(name, FIREMAN, MAY)
    assert isinstance(refusal, Denial) and "needs a reason" in refusal.reason and "break-glass: " in refusal.hint


@pytest.mark.parametrize("groups", [MAY, ("others",), ()])
@pytest.mark.parametrize("name", ["break-glass: let me", "break-glass"])
def test_of_whoever_is_not_of_the_group_it_is_refused(name: str, groups: tuple[str, ...]) -> None:
    refusal = reason_given(name, WORKER, groups)
    assert isinstance(refusal, Denial) and "worker asks to break the glass" in refusal.reason


@pytest.mark.parametrize("name", ["", "psql", "break-glass-monitor", "breakglassware", "a break-glass: b", "glass: x"])
def test_other_names_ask_for_nothing(name: str) -> None:
    assert reason_given(name, FIREMAN, MAY) is None
