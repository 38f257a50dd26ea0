"""Ending one login: dropped first, then tried; what cannot be told is a fault, never a proof."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from blastwall.conversation import Admin, RoleEnd
from blastwall.credentials import ending
from blastwall.credentials.ending import end_role
from blastwall.credentials.lease import Lease
from blastwall.errors import UpstreamFault
from blastwall.model import Credential, Secret, Target

LEASE = Lease("s-1", "bw_s_1", "shop", "role", "profile", "here", 0.0, 100.0)
TARGET = Target("shop", "postgres", "h", 1)


class Roles:
    def __init__(self, opens: bool = False, present: bool = False, slow: str = "") -> None:
        self.calls: list[str] = []
        self._answers = {"opens": opens, "present": present, "drop": RoleEnd(3, ("x",))}
        self._slow = slow

    async def _call(self, name: str) -> Any:
        self.calls.append(name)
        if name == self._slow:
            await asyncio.sleep(60)
        return self._answers[name]

    async def drop(self, *_: object) -> Any:
        return await self._call("drop")

    async def present(self, *_: object) -> Any:
        return await self._call("present")

    async def opens(self, target: Target, credential: Credential) -> Any:
        assert credential.user == "bw_s_1"
        return await self._call("opens")


async def _login() -> Credential:
    raise AssertionError("only roles log in")


async def ended(roles: Any, secret: Secret | None) -> Any:
    return await end_role(LEASE, TARGET, Admin("admin", _login), roles, secret, since=50.0, now=51.5)


async def test_a_known_password_is_tried_after_the_drop() -> None:
    roles = Roles()
    done = await ended(roles, Secret("p"))
    assert roles.calls == ["drop", "opens"] and done.verified and done.proof == "the target refuses it"
    assert (done.user, done.connections, done.left) == ("bw_s_1", 3, ("x",)) and 1.5 <= done.seconds < 2


async def test_an_unknown_one_is_looked_for() -> None:
    roles = Roles()
    done = await ended(roles, None)
    assert roles.calls == ["drop", "present"] and done.verified and done.proof == "the target has no such login"


@pytest.mark.parametrize(("roles", "secret"), [(Roles(opens=True), Secret("p")), (Roles(present=True), None)])
async def test_what_still_works_is_not_verified(roles: Roles, secret: Secret | None) -> None:
    assert not (await ended(roles, secret)).verified


@pytest.mark.parametrize("slow", ["drop", "opens"])
async def test_a_target_that_takes_too_long_proves_nothing(slow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "DROP_SECONDS", 0.05)
    monkeypatch.setattr(ending, "TRY_SECONDS", 0.05)
    with pytest.raises(UpstreamFault, match="within"):
        await ended(Roles(slow=slow), Secret("p"))
