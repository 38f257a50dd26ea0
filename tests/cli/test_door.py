"""The way to a target: from a running stack or from options; and which token opens it."""

from __future__ import annotations

import os
from pathlib import Path

import click
import jwt
import pytest
from click.testing import CliRunner

from blastwall.errors import ClientFault
from cli import door
from cli.door import Agent, Tokens, Way
from rig import running
from rig.running import Running

AGENT = Agent("robot", ("agents", "night"), "owner@example.test")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(door.TOKEN_VARIABLE, raising=False)
    place = tmp_path / "state"
    place.mkdir(mode=0o700)
    targets = {
        "shop": {"protocol": "postgres", "database": "store"},
        "crm": {"protocol": "postgres", "database": "crm"},
    }
    running.write(place, Running(os.getpid(), "/config", {"postgres": "127.0.0.1:7432"}, "/ca.pem", targets))
    return place


def test_a_running_stack_tells_the_way(state: Path) -> None:
    protocol, found = door.find(Way(state, None, None), "shop", database=None, user=None)
    assert (protocol, found.host, found.port, found.database, found.login) == (
        "postgres",
        "127.0.0.1",
        7432,
        "store",
        "shop",
    )


def test_database_and_user_are_the_callers_choice(state: Path) -> None:
    _, found = door.find(Way(state, None, None), "shop", database="archive", user="reader")
    assert (found.database, found.login) == ("archive", "reader@shop")


def test_an_unknown_target_names_the_known_ones(state: Path) -> None:
    with pytest.raises(click.UsageError, match="crm, shop"):
        door.find(Way(state, None, None), "shoe", database=None, user=None)


def test_nothing_running_says_what_to_start(tmp_path: Path) -> None:
    with pytest.raises(ClientFault, match="start one with `blastwall up`"):
        door.find(Way(tmp_path, None, None), "shop", database=None, user=None)


def test_a_gateway_elsewhere_needs_an_authority(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="--ca"):
        door.find(Way(tmp_path, "gw.example.test:5432", None), "shop", database=None, user=None)
    ca = tmp_path / "ca.pem"
    ca.write_text("")
    for address in ("gw.example.test", "gw.example.test:", ":5432", "gw.example.test:65536", "gw.example.test:x"):
        with pytest.raises(click.UsageError, match="HOST:PORT"):
            door.find(Way(tmp_path, address, ca), "shop", database=None, user=None)
    _, found = door.find(Way(tmp_path, "gw.example.test:5432", ca), "shop", database=None, user=None)
    assert (found.host, found.database, found.ca) == ("gw.example.test", "shop", ca.resolve())


def test_a_given_token_is_used_as_it_is(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(door.TOKEN_VARIABLE, "given\n")
    assert Tokens(Way(state, None, None), AGENT).get().reveal() == "given"


def test_a_local_token_says_who_it_is_for_and_is_renewed_before_its_end(state: Path) -> None:
    now = [1000.0]
    tokens = Tokens(Way(state, None, None), AGENT, lambda: now[0])
    first = tokens.get()
    claims = jwt.decode(first.reveal(), options={"verify_signature": False})
    assert (claims["agent"], sorted(claims["groups"]), claims["on_behalf_of"]) == (
        "robot",
        ["agents", "night"],
        "owner@example.test",
    )
    assert claims["exp"] - claims["iat"] == door.TOKEN_SECONDS
    now[0] += door.TOKEN_SECONDS - door.RENEW_SECONDS - 1
    assert tokens.get() is first
    now[0] += 1
    assert tokens.get() is not first


def test_options_arrive_as_a_way_and_an_agent_whose_groups_are_counted_once(state: Path) -> None:
    @click.command
    @door.way_options
    @door.agent_options
    def command(way: Way, agent: Agent) -> None:
        click.echo(f"{way} {agent}")

    found = CliRunner().invoke(command, ["--state", str(state), "--group", "a", "--group", "b", "--group", "a"])
    assert found.output == f"{Way(state, None, None)} {Agent('developer', ('a', 'b'), None)}\n"


def test_no_local_token_opens_a_gateway_elsewhere(tmp_path: Path, state: Path) -> None:
    with pytest.raises(ClientFault, match=door.TOKEN_VARIABLE):
        Tokens(Way(state, "gw.example.test:5432", tmp_path), AGENT).get()
