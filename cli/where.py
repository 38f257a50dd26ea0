"""Which sessions and approvals a verb is about: those of this machine's state directory, or of a deployment on AWS."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from blastwall.credentials.lease import Lease
from blastwall.local.clock import SystemClock
from blastwall.local.leases import LocalLeases
from blastwall.local.sessions import LocalSessions
from blastwall.model import Session
from blastwall.settings import OperatorSettings
from cli import place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blastwall.aws.operations import Operations

T = TypeVar("T")
STACK = "Blastwall"


class Row(Protocol):
    """A session as an operator sees it. ``ended_at`` None: it lives."""

    @property
    def session(self) -> Session: ...

    @property
    def connections(self) -> tuple[str, ...]: ...

    @property
    def usage(self) -> Mapping[str, int]: ...

    @property
    def ended_at(self) -> float | None: ...

    @property
    def reason(self) -> str: ...

    @property
    def ended_by(self) -> str: ...


class Sessions(Protocol):
    """What operators do to sessions, wherever they are."""

    async def ls(self, *, live: bool = True) -> Sequence[Row]: ...

    async def show(self, id: str) -> Row | None: ...

    async def kill(self, id: str, reason: str, by: str) -> bool: ...

    async def lock(self, agent: str, reason: str, by: str) -> int: ...

    async def unlock(self, agent: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Where:
    """``aws``: a deployment, found by the name its stacks begin with."""

    state: Path
    aws: bool = False
    stack: str = STACK
    region: str | None = None

    def operations(self) -> Operations:
        """The deployment, by the AWS credentials of whoever runs this. Raises ClientFault."""
        from blastwall.aws.clients import client  # here, like all of AWS: most verbs are about this machine
        from blastwall.aws.operations import Operations, find

        def make(service: str) -> Any:  # noqa: ANN401  boto3 has no types
            return client(service, self.region)

        settings = find(self.stack, OperatorSettings.from_env(os.environ), make)
        return Operations(settings, SystemClock(), make)

    def sessions(self, ask: Callable[[Sessions], Awaitable[T]]) -> T:
        """What ``ask`` finds out of the sessions or does to them. Raises ClientFault when they are not there."""
        if self.aws:
            return _run(ask(self.operations()))

        async def run() -> T:
            store = place.open_store(self.state)
            try:
                return await ask(LocalSessions(store, SystemClock()))
            finally:
                store.close()

        return asyncio.run(run())

    def leases(self, id: str) -> Sequence[Lease]:
        """What was vended to a session."""
        if self.aws:
            return _run(self.operations().history(id))

        async def run() -> Sequence[Lease]:
            store = place.open_store(self.state)
            try:
                return await LocalLeases(store).history(id)
            finally:
                store.close()

        return asyncio.run(run())

    def user(self) -> str:
        """Who does it: as AWS knows them, or this machine."""
        return self.operations().who() if self.aws else place.user()


def _run(asked: Awaitable[T]) -> T:
    async def run() -> T:
        return await asked

    return asyncio.run(run())


#: The options that say where; they arrive as ``where``.
options = place.gathered(
    "where",
    lambda given: Where(*(given.pop(name) for name in ("state", "aws", "stack", "region"))),
    click.option("--region", metavar="NAME", help="With --aws: the region; the environment's own unless given."),
    click.option(
        "--stack",
        default=STACK,
        show_default=True,
        envvar="BLASTWALL_STACK",
        help="With --aws: what the deployment's stacks are called.",
    ),
    click.option(
        "--aws", is_flag=True, envvar="BLASTWALL_AWS", help="A deployment on AWS, by your own AWS credentials."
    ),
    place.state_option,
)
