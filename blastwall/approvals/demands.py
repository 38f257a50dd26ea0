"""Who must approve: what each rule that holds a statement demands, and whether the people who did are those.

Rules are not alternatives. Where one asks an owner and another somebody of security, two owners are not enough; one
person who is both is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from blastwall.model import ApprovalRequest, Demand, Pending, Principal


class Voice(NamedTuple):
    """Somebody who approved, and when (seconds since the epoch)."""

    person: Principal
    at: float


def demanded(each: Iterable[Demand]) -> tuple[Demand, ...]:
    """What all of them come to: of those that any other includes, only the other. In their order."""
    left: list[Demand] = []
    for demand in each:
        if not any(_includes(other, demand) for other in left):
            left = [other for other in left if not _includes(demand, other)] + [demand]
    return tuple(left)


def demands_of(held: ApprovalRequest | Pending) -> tuple[Demand, ...]:
    """Never empty: what names no demands is one for all its approvers."""
    return held.demands or (Demand(held.approvers, held.quorum),)


def covers(met: Sequence[Demand], wanted: Sequence[Demand]) -> bool:
    """Whether people who met these demands have met those as well, whoever they were."""
    return all(any(_includes(one, demand) for one in met) for demand in wanted)


def missing(request: ApprovalRequest, voices: Sequence[Voice]) -> tuple[Demand, ...]:
    """What is still to be met, each with the number of people who are missing; none: it is approved.

    A person counts for each demand that names a group of theirs. Whom no demand names counts for all of them: policy
    lets them decide for a reason of its own. So does, once the request has escalated, whom it escalated to.
    """
    short: list[Demand] = []
    for demand in demands_of(request):
        people = {voice.person.subject.casefold() for voice in voices if _counts(request, demand, voice)}
        if len(people) < demand.quorum:
            short.append(replace(demand, quorum=demand.quorum - len(people)))
    return tuple(short)


def spelt(demands: Sequence[Demand]) -> str:
    """In words: "2 of owners and 1 of security, dba"."""
    return " and ".join(f"{each.quorum} of {', '.join(each.groups) or 'those whom policy lets'}" for each in demands)


def _includes(one: Demand, other: Demand) -> bool:
    """Whether everybody who meets ``one`` meets ``other``."""
    within = set(one.groups) <= set(other.groups) and bool(one.groups or not other.groups)
    return within and one.quorum >= other.quorum


def _counts(request: ApprovalRequest, demand: Demand, voice: Voice) -> bool:
    groups = voice.person.groups
    if not groups.isdisjoint(demand.groups) or groups.isdisjoint(request.approvers):
        return True
    return 0 < request.escalate_at <= voice.at and not groups.isdisjoint(request.escalation)
