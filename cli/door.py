"""Where the gateway is and what opens it: shared by the verbs that bring a client to a target."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from blastwall.errors import ClientFault
from blastwall.model import Secret
from cli import place
from cli.strings import Door
from rig import running

TOKEN_VARIABLE = "BLASTWALL_TOKEN"  # noqa: S105  # the variable's name
TOKEN_SECONDS = 3600.0
RENEW_SECONDS = 60.0  # a token is not used for a new connection this close to its end


@dataclass(frozen=True, slots=True)
class Way:
    """What the options of a verb say of the way to the gateway: a state directory, or an address and an authority."""

    state: Path
    gateway: str | None
    ca: Path | None


@dataclass(frozen=True, slots=True)
class Agent:
    """Whom a locally minted token is for."""

    name: str
    groups: tuple[str, ...]
    on_behalf_of: str | None


def _agent(given: dict[str, Any]) -> Agent:
    return Agent(given.pop("agent"), tuple(dict.fromkeys(given.pop("groups"))), given.pop("on_behalf_of"))


#: The options that say where the gateway is; they arrive as ``way``.
way_options = place.gathered(
    "way",
    lambda given: Way(given.pop("state"), given.pop("gateway"), given.pop("ca")),
    click.option(
        "--ca",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Certificates to trust for --gateway (PEM).",
    ),
    click.option("--gateway", metavar="HOST:PORT", envvar="BLASTWALL_GATEWAY", help="A gateway elsewhere."),
    place.state_option,
)
#: The options that say whom a local token is for; they arrive as ``agent``.
agent_options = place.gathered(
    "agent",
    _agent,
    click.option("--on-behalf-of", metavar="PERSON", help="The person whom the agent works for."),
    click.option(
        "--group",
        "groups",
        multiple=True,
        default=("agents",),
        show_default=True,
        help="A group of the agent; may be given again.",
    ),
    click.option("--agent", default="developer", show_default=True, help="The agent that a local token is made for."),
)


def find(way: Way, target: str, *, database: str | None, user: str | None) -> tuple[str, Door]:
    """The target's protocol and its door. Raises ClientFault when no gateway runs, UsageError for an unknown target."""
    login = target if user is None else f"{user}@{target}"
    if way.gateway is not None:
        if way.ca is None:
            raise click.UsageError("--gateway also needs --ca: the certificates to trust")
        try:
            return "postgres", Door.at(way.gateway, database or target, login, way.ca.resolve())
        except ValueError as fault:
            raise click.UsageError(f"--gateway: {fault}") from None
    found = running.read(way.state)
    if found is None:
        raise ClientFault(f"no gateway runs with the state directory {way.state}: start one with `blastwall up`")
    known = found.targets.get(target)
    if known is None:
        raise click.UsageError(f"there is no target {target!r}; known are {', '.join(sorted(found.targets))}")
    protocol = known["protocol"]
    return protocol, Door.at(found.listening[protocol], database or known["database"], login, Path(found.ca))


class Tokens:
    """The token of $BLASTWALL_TOKEN, or local ones: each is used for new connections until shortly before its end."""

    def __init__(self, way: Way, agent: Agent, clock: Callable[[], float] = time.monotonic) -> None:
        self._way = way
        self._agent = agent
        self._clock = clock
        self._token: Secret | None = None
        self._until = 0.0

    def get(self) -> Secret:
        """Raises ClientFault when there is none and none can be made."""
        given = os.environ.get(TOKEN_VARIABLE)
        if given:
            return Secret(given.strip())
        if self._way.gateway is not None:
            raise ClientFault(f"put a token of your identity provider into ${TOKEN_VARIABLE}")
        if self._token is None or self._clock() >= self._until:
            self._token = self._mint()
            self._until = self._clock() + TOKEN_SECONDS - RENEW_SECONDS
        return self._token

    def _mint(self) -> Secret:
        agent = self._agent
        with place.local_issuer(self._way.state) as issuer:
            return Secret(issuer.mint(agent.name, agent.groups, on_behalf_of=agent.on_behalf_of, ttl=TOKEN_SECONDS))
