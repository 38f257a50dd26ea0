"""Which configuration decides, and whose token."""

from __future__ import annotations

import json
import os

import pytest

from blastwall.approvals import Ballot
from blastwall.errors import ConfigFault
from blastwall.model import ApprovalRequest, Denial, Effect, Facts, Principal, Risk, Statement, Target
from cli.approver import Keyboard, identify, policies
from rig import running
from rig.issuer import LocalIssuer
from rig.running import Running

GATEWAY = """
version: 1
listen: {postgres: "127.0.0.1:0"}
insecure_local: true
identity: {issuers: [{issuer: "https://idp.example", audience: blastwall}]}
targets:
  shop:
    protocol: postgres
    host: 127.0.0.1
    port: 5432
    credential: {kind: static, user: shop}
    options: {databases: [shop]}
"""


@pytest.fixture
def config(tmp_path):
    config = tmp_path / "config"
    (config / "policies").mkdir(parents=True)
    (config / "gateway.yaml").write_text(GATEWAY)
    (config / "policies" / "p.cedar").write_text(
        '@id("all") permit (principal, action == Action::"approve", resource);'
    )
    return config


@pytest.fixture
def state(tmp_path):
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    return state


def keyboard(state, config=None) -> Keyboard:
    return Keyboard(state, config, "bob", ("owners",))


def test_a_named_configuration_is_used(state, config):
    assert set(policies(keyboard(state, config)).targets) == {"shop"}


def test_else_the_running_gateways_with_its_overrides(state, config):
    running.write(state, Running(os.getpid(), str(config), {}, "", {}))
    (state / "overrides.json").write_text(json.dumps({"targets": {"shop": {"port": 6543}}}))
    assert policies(keyboard(state)).targets["shop"].port == 6543


def test_overrides_that_do_not_read_are_named(state, config):
    (state / "overrides.json").write_text("{")
    with pytest.raises(ConfigFault, match=r"overrides\.json"):
        policies(keyboard(state, config))


async def test_the_person_at_the_keyboard_has_a_verified_name(state, config, monkeypatch):
    monkeypatch.delenv("BLASTWALL_APPROVER_TOKEN", raising=False)
    found = await identify(keyboard(state, config), policies(keyboard(state, config)))
    assert (found.subject, found.groups, found.on_behalf_of) == ("bob", {"owners"}, None)
    assert found.issuer == LocalIssuer.open(state).issuer


def request_at(target: str) -> ApprovalRequest:
    agent = Principal("https://idp.example", "agent-7", "reporter", on_behalf_of="alice")
    return ApprovalRequest(
        "a-1", "", "s-1", agent, target, Statement("x"), Facts(Effect.WRITE, "x"), Risk(1), ("owners",), "v", 0, 1
    )


def test_policy_is_asked_with_the_configured_target(state, config):
    bundle = policies(keyboard(state, config))
    bob = Principal("https://idp.example", "bob", "bob", frozenset({"owners"}))
    assert bundle.may_decide(bob, request_at("shop"), Ballot(True, ""), 0.0) is None
    assert isinstance(bundle.targets["shop"], Target)
    refused = bundle.may_decide(bob, request_at("warehouse"), Ballot(True, ""), 0.0)
    assert isinstance(refused, Denial)
    assert "--config" in refused.hint
