"""What connections use of their session's budgets is counted somewhere at every moment."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from blastwall.config.bundle import Bundle
from blastwall.errors import OurFault
from blastwall.model import Session
from tests.fargate_proxy.test_gateway import Play, bundle, finish, serve

__all__ = ["bundle"]


@pytest.mark.parametrize("fails", [False, True])
async def test_what_was_used_is_counted_until_the_store_has_it(bundle: Bundle, fails: bool) -> None:
    play = Play()
    gateway, task = serve(play, bundle)
    counted: list[bool] = []

    async def detach(session: Session, connection: str, usage: Mapping[str, int]) -> None:
        counted.append("s-1" in gateway.ledgers)
        if fails:
            raise OurFault("the disk is full")

    gateway.ports.sessions.detach = detach  # type: ignore[method-assign]
    await finish(task)
    assert counted == [True], "who connects meanwhile is given no budget of its own"
    assert ("s-1" in gateway.ledgers) is fails
