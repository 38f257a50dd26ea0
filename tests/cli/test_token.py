"""``blastwall token``: one line that opens the local gateway, and nothing else."""

from __future__ import annotations

import json
import os
import time

import pytest

from blastwall.identity.jwt import verify
from blastwall.local.store import Store
from blastwall.model import Secret
from cli.__main__ import run
from rig import running
from rig.issuer import LocalIssuer
from rig.running import Running


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def token(capsys, state, *arguments: str) -> str:
    assert run(["token", "--state", str(state), *arguments]) == 0
    return capsys.readouterr().out


def principal(state, text: str):
    issuer = LocalIssuer.open(state)
    return verify(Secret(text), issuer.rules(), issuer.key_set(), time.time())


def test_the_token_is_all_that_is_printed_and_it_verifies(capsys, state):
    text = token(
        capsys, state, "--agent", "reporter", "--group", "agents", "--group", "analysts", "--on-behalf-of", "alice"
    )
    assert text.count("\n") == 1
    found = principal(state, text.strip())
    assert (found.agent, found.groups, found.on_behalf_of) == ("reporter", {"agents", "analysts"}, "alice")
    assert found.expires_at - found.issued_at == 3600


@pytest.mark.parametrize(("ttl", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("2h", 7200), ("1d", 86_400)])
def test_ttl_takes_units(capsys, state, ttl, seconds):
    document = json.loads(token(capsys, state, "--agent", "a", "--ttl", ttl, "--format", "json"))
    assert seconds - 5 < document["expires_at"] - time.time() <= seconds
    assert document["issuer"] == LocalIssuer.open(state).issuer
    assert document["audience"] == "blastwall"
    assert document["token"].count(".") == 2


@pytest.mark.parametrize("ttl", ["0", "-1", "1w", "", "1.5h", "9999999999"])
def test_a_ttl_that_is_none_is_a_mistake_of_usage(capsys, state, ttl):
    assert run(["token", "--agent", "a", "--state", str(state), f"--ttl={ttl}"]) == 2
    assert "duration" in capsys.readouterr().err


def test_an_agent_is_required(capsys, state):
    assert run(["token", "--state", str(state)]) == 2
    assert "--agent" in capsys.readouterr().err


def test_an_agent_without_a_name_gets_none(capsys, state):
    assert run(["token", "--state", str(state), "--agent", " "]) == 2
    assert "--agent" in capsys.readouterr().err
    assert not state.exists()


def test_a_token_for_no_gateway_says_so_beside_it(capsys, state):
    assert run(["token", "--state", str(state), "--agent", "a"]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    assert f"no gateway runs with {state}" in captured.err
    running.write(state, Running(os.getpid(), "/config", {}, "/ca.pem", {}))
    assert run(["token", "--state", str(state), "--agent", "a"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("damage", ["", "garbage", "[]", '{"port": 1}', "{"])
def test_damaged_keys_are_told_of_by_every_verb_that_uses_them(capsys, state, damage):
    token(capsys, state, "--agent", "a")
    file = state / "issuer" / "issuer.json"
    running.write(
        state,
        Running(
            os.getpid(), "config", {"postgres": "127.0.0.1:1"}, "/ca", {"t": {"protocol": "postgres", "database": "d"}}
        ),
    )
    file.write_text(damage)
    Store(state / "blastwall.db").close()
    for verb in (["token", "--agent", "a"], ["connect", "t"], ["approvals", "deny", "a-b"]):
        assert run([*verb, "--state", str(state)]) == 3, verb
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "issuer.json is damaged: remove it" in captured.err, verb
        assert "internal error" not in captured.err


def test_keys_that_others_can_read_are_not_used(capsys, state):
    token(capsys, state, "--agent", "a")
    (state / "issuer" / "issuer.json").chmod(0o644)
    assert run(["token", "--agent", "a", "--state", str(state)]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "chmod 600" in captured.err
