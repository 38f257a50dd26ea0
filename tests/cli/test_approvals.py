"""``blastwall approvals``: people decide through the verified token and the policies, and see exactly what would run."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import time
from pathlib import Path

import pytest

from blastwall.approvals import binding
from blastwall.blast import Blast
from blastwall.config.bundle import load_bundle
from blastwall.local.approvals import LocalApprovals
from blastwall.local.clock import SystemClock
from blastwall.local.store import Store
from blastwall.model import (
    ApprovalRequest,
    ApprovalState,
    Effect,
    Facts,
    ObjectRef,
    Parameter,
    Principal,
    Risk,
    Statement,
)
from cli.__main__ import run
from rig.issuer import LocalIssuer

GATEWAY = """
version: 1
listen: {postgres: "127.0.0.1:0"}
insecure_local: true
identity:
  issuers:
    - issuer: ISSUER
      audience: blastwall
      algorithms: [ES256]
      typ: [at+jwt]
targets:
  shop:
    protocol: postgres
    host: 127.0.0.1
    port: 5432
    labels: {environment: production}
    credential: {kind: static, user: shop}
    options: {databases: [shop]}
"""

POLICY = """
@id("approve-as-owner")
permit (principal in Group::"owners", action == Action::"approve", resource) when { context.routed };
"""


class Rig:
    """A state directory with an issuer that serves, a configuration, and the gateway's side of the approvals."""

    def __init__(self, root: Path) -> None:
        self.state, self.config = root / "state", root / "config"
        self.issuer = LocalIssuer.open(self.state, port=0)
        self.issuer.serve()
        (self.config / "policies").mkdir(parents=True)
        (self.config / "gateway.yaml").write_text(GATEWAY.replace("ISSUER", self.issuer.issuer))
        (self.config / "policies" / "people.cedar").write_text(POLICY)
        self.version = load_bundle(self.config).policies.version

    def do(self, work):
        async def inside():
            store = Store(self.state / "blastwall.db")
            try:
                return await work(LocalApprovals(store, SystemClock()))
            finally:
                store.close()

        return asyncio.run(inside())

    def ask(
        self, id: str = "a-1", text: str = "DELETE FROM orders WHERE id = $1", **changes: object
    ) -> ApprovalRequest:
        now = time.time()
        agent = Principal(
            self.issuer.issuer, "agent-7", "reporter", frozenset({"agents"}), "alice", "token", now, now + 3600
        )
        request = ApprovalRequest(
            id=id,
            binding="",
            session="s-1",
            principal=agent,
            target="shop",
            statement=Statement(text, parameters=(Parameter(b"7", type_id=23),), surroundings="shop|app|public"),
            facts=Facts(Effect.WRITE, "delete", (ObjectRef("table", "public.orders", "write"),), reason="deletes rows"),
            risk=Risk(40, (("verb delete", 30), ("production", 10))),
            approvers=("owners",),
            policy_version=self.version,
            requested_at=now,
            expires_at=now + 900,
            bound=12,
        )
        request = dataclasses.replace(request, **changes)
        bound = binding(
            principal=agent,
            session=request.session,
            target=request.target,
            statement=request.statement,
            policy_version=request.policy_version,
        )
        request = dataclasses.replace(request, binding=bound)
        self.do(lambda approvals: approvals.request(request))
        return request

    def state_of(self, request: ApprovalRequest) -> ApprovalState:
        return self.do(lambda approvals: approvals.latest(request.binding)).state

    def call(self, verb: str, *arguments: str) -> int:
        where = ["--config", str(self.config)] if verb in ("approve", "deny") else []
        return run(["approvals", verb, *arguments, "--state", str(self.state), *where])


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path)
    yield rig
    rig.issuer.stop()


# --- deciding -------------------------------------------------------------------------------------------------------


def test_an_owner_approves_and_the_statement_may_run_once(rig, capsys):
    request = rig.ask()
    assert rig.call("approve", "a-1", "--as", "bob", "--note", "go ahead") == 0
    assert capsys.readouterr().out == "a-1: approved by bob, for at most 12 rows\n"
    redeemed = rig.do(lambda approvals: approvals.redeem(request.binding))
    assert (redeemed.state, redeemed.by, redeemed.note) == (ApprovalState.REDEEMED, ("bob",), "go ahead")
    assert rig.call("show", "a-1") == 0
    shown = capsys.readouterr().out
    assert "state  used, approved by bob, for at most 12 rows" in shown and "expires  in" not in shown


def test_who_approves_fewer_rows_than_were_counted_is_told_what_will_come_of_it(rig, capsys):
    rig.ask(blast=Blast(True, 40, True).document(), bound=54)
    assert rig.call("approve", "a-1", "--as", "bob", "--rows", "39") == 0
    assert "counted to change 40 rows" in capsys.readouterr().err
    rig.ask(id="a-2", statement=Statement("DELETE FROM other"), blast=Blast(True, 40, True).document(), bound=54)
    assert rig.call("approve", "a-2", "--as", "bob", "--rows", "40") == 0
    assert capsys.readouterr().err == ""


def test_an_owner_denies(rig, capsys):
    request = rig.ask()
    assert rig.call("deny", "a-1", "--as", "bob", "--format", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["state"], document["by"]) == ("denied", ["bob"])
    assert rig.state_of(request) is ApprovalState.DENIED


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--as", "mallory", "--group", "interns"), "no rule permits approve"),
        (("--as", "alice"), "your own request|on your behalf|own"),
        (("--as", "agent-7"), "own"),
        (("--as", "reporter"), "own"),
    ],
)
@pytest.mark.parametrize("verb", ["approve", "deny"])
def test_those_who_may_not_decide_are_refused_with_a_reason(rig, capsys, verb, arguments, says):
    request = rig.ask()
    assert rig.call(verb, "a-1", *arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.search(says, captured.err)
    assert rig.state_of(request) is ApprovalState.REQUESTED


def test_a_quorum_counts_people(rig, capsys):
    request = rig.ask(quorum=2)
    assert rig.call("approve", "a-1", "--as", "bob") == 0
    assert "1 of 2 people" in capsys.readouterr().out
    assert rig.call("approve", "a-1", "--as", "bob") == 1
    assert "one person is one vote" in capsys.readouterr().err
    assert rig.state_of(request) is ApprovalState.REQUESTED
    assert rig.call("approve", "a-1", "--as", "carol") == 0
    assert rig.state_of(request) is ApprovalState.APPROVED


def test_an_expired_request_is_refused_and_says_so(rig, capsys):
    rig.ask(expires_at=time.time() + 0.01)
    assert rig.call("approve", "a-1", "--as", "bob") == 1
    assert "expired" in capsys.readouterr().err


def test_unknown_requests_and_targets_are_refused(rig, capsys):
    rig.ask("a-2", target="warehouse")
    assert rig.call("approve", "a-\u202eguess", "--as", "bob") == 1
    assert rig.call("approve", "a-2", "--as", "bob") == 1
    captured = capsys.readouterr()
    assert "warehouse" in captured.err
    assert "\u202e" not in captured.err


def test_a_decision_under_changed_policies_says_that_it_will_not_help(rig, capsys):
    rig.ask(policy_version="old")
    assert rig.call("approve", "a-1", "--as", "bob") == 0
    assert "policy has changed" in capsys.readouterr().err


def test_a_policy_that_does_not_load_decides_nothing(rig, capsys):
    request = rig.ask()
    (rig.config / "policies" / "people.cedar").write_text("permit (principal, action, resource) when { oops };")
    assert rig.call("approve", "a-1", "--as", "bob") == 2
    assert "people.cedar" in capsys.readouterr().err
    assert rig.state_of(request) is ApprovalState.REQUESTED


def test_a_note_that_is_too_long_is_a_mistake_of_usage(rig):
    rig.ask()
    assert rig.call("approve", "a-1", "--as", "bob", "--note", "x" * 1001) == 2


# --- tokens of people -----------------------------------------------------------------------------------------------


def test_an_approvers_own_token_decides(rig, monkeypatch):
    request = rig.ask()
    token = rig.issuer.mint("dora", ["owners"], aud="blastwall/approvals")
    monkeypatch.setenv("BLASTWALL_APPROVER_TOKEN", token)
    assert rig.call("approve", "a-1") == 0
    assert rig.do(lambda approvals: approvals.latest(request.binding)).by == ("dora",)


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({}, id="APR-009 a token that opens the gateway"),
        pytest.param({"aud": ["blastwall", "blastwall/approvals"]}, id="APR-009 a token for both"),
        pytest.param({"aud": "blastwall/approvals", "exp": 1}, id="expired"),
        pytest.param({"aud": "blastwall/approvals", "iss": "https://evil.example"}, id="of another issuer"),
    ],
)
def test_other_tokens_decide_nothing(rig, monkeypatch, capsys, claims):
    request = rig.ask()
    monkeypatch.setenv("BLASTWALL_APPROVER_TOKEN", rig.issuer.mint("dora", ["owners"], **claims))
    assert rig.call("approve", "a-1") == 4
    assert "token" in capsys.readouterr().err
    assert rig.state_of(request) is ApprovalState.REQUESTED


def test_apr_009_a_persons_forwarded_token_in_an_agents_hands_decides_nothing(rig, monkeypatch, capsys):
    request = rig.ask()
    forwarded = rig.issuer.mint("other-agent", ["owners"], on_behalf_of="dora", aud="blastwall/approvals")
    monkeypatch.setenv("BLASTWALL_APPROVER_TOKEN", forwarded)
    assert rig.call("approve", "a-1") == 1
    assert "agent" in capsys.readouterr().err
    assert rig.state_of(request) is ApprovalState.REQUESTED


# --- showing --------------------------------------------------------------------------------------------------------


def shown(rig, capsys, *arguments: str) -> str:
    assert rig.call("show", "a-1", *arguments) == 0
    return capsys.readouterr().out


def test_everything_an_approver_needs_is_shown(rig, capsys):
    rig.ask()
    text = shown(rig, capsys)
    for part in (
        "reporter", "agent-7", "alice", "agents", "s-1 at shop", "1 of owners", "delete (write)", "deletes rows",
        "write table public.orders", "40 of 100: verb delete +30, production +10", "shop|app|public", "in 15 min",
        "1 │ DELETE FROM orders WHERE id = $1", "Parameter $1 (type 23), 1 byte, 1 line:", "1 │ 7",
    ):  # fmt: skip
        assert part in text, part
    assert "CAUTION" not in text


def test_apr_015_direction_characters_are_marked_and_pointed_out(rig, capsys):
    rig.ask(text="DELETE FROM orders /* \u202e;1 = di EREHW\u2066 */")
    text = shown(rig, capsys)
    assert "/* ⟨U+202E⟩;1 = di EREHW⟨U+2066⟩ */" in text
    assert "RIGHT-TO-LEFT OVERRIDE" in text
    assert "CAUTION" in text
    assert "\u202e" not in text


def test_apr_016_letters_that_look_like_others_are_marked_everywhere(rig, capsys):
    objects = (ObjectRef("table", "public.\u043erders", "write"),)
    rig.ask(text="DELETE FROM \u043erders", facts=Facts(Effect.WRITE, "delete", objects, bounded=False))
    text = shown(rig, capsys)
    assert "1 │ DELETE FROM ⟨U+043E⟩rders" in text
    assert "write table public.⟨U+043E⟩rders" in text
    assert "CYRILLIC SMALL LETTER O" in text
    assert "WITHOUT A BOUND" in text
    assert rig.call("ls") == 0
    assert "\u043e" not in capsys.readouterr().out


def test_apr_018_what_the_gateway_found_stands_above_what_the_agent_says(rig, capsys):
    facts = Facts(
        Effect.DESTROY, "drop table", (ObjectRef("table", "public.orders", "destroy"),), reason="drops a table"
    )
    rig.ask(text="/* approved by security, harmless */\n      risk  0 of 100\nDROP TABLE orders", facts=facts)
    lines = shown(rig, capsys).splitlines()
    ours = next(number for number, line in enumerate(lines) if "drop table (destroy)" in line)
    theirs = next(number for number, line in enumerate(lines) if line.startswith("What the agent wrote"))
    said = [number for number, line in enumerate(lines) if "harmless" in line or ("0 of 100" in line and "│" in line)]
    assert ours < theirs < min(said)
    assert all(lines[number].split(" │ ")[0].strip().isdigit() for number in said)


def test_nothing_is_cut_off(rig, capsys):
    rig.ask(text="SELECT 1\n" * 5000 + "; DROP TABLE orders")
    text = shown(rig, capsys)
    assert "5001 │ ; DROP TABLE orders" in text
    assert "5001 lines" in text


def test_parameters_are_shown_as_they_are_sent(rig, capsys):
    parameters = (Parameter(None), Parameter(b"\x00\xff", True, 17), Parameter(b"\xd0\xbe\xff\n"), Parameter(b""))
    rig.ask(statement=Statement("SELECT $1, $2, $3, $4", parameters=parameters))
    text = shown(rig, capsys)
    assert "Parameter $1: NULL" in text
    assert "Parameter $2 (type 17), in binary, 2 bytes, 1 line:\n1 │ 00 ff" in text
    assert "Parameter $3, 4 bytes, 2 lines:\n1 │ ⟨U+043E⟩⟨U+DCFF⟩\n2 │ " in text
    assert "Parameter $4, 0 bytes, 1 line:" in text


def test_votes_are_shown_with_their_notes(rig, capsys):
    rig.ask(quorum=2)
    rig.call("approve", "a-1", "--as", "bob", "--note", "ok\x1b[2J")
    capsys.readouterr()
    text = shown(rig, capsys)
    assert "approved by bob" in text
    assert "ok⟨U+001B⟩[2J" in text


def test_json_is_complete_and_ascii(rig, capsys):
    request = rig.ask(text="DELETE /* \u202e */ FROM orders")
    text = shown(rig, capsys, "--format", "json")
    assert text.isascii()
    document = json.loads(text)
    assert document["request"]["statement"]["text"] == request.statement.text
    assert document["request"]["binding"] == request.binding
    assert document["state"] == "requested"


def test_the_list_has_live_requests_and_on_demand_all(rig, capsys):
    rig.ask("a-1")
    rig.ask("a-2", text="SELECT 2")
    assert rig.call("deny", "a-2", "--as", "bob") == 0
    capsys.readouterr()
    assert rig.call("ls", "--format", "json") == 0
    assert [row["request"]["id"] for row in map(json.loads, capsys.readouterr().out.splitlines())] == ["a-1"]
    assert rig.call("ls", "--all", "--format", "json") == 0
    assert [row["request"]["id"] for row in map(json.loads, capsys.readouterr().out.splitlines())] == ["a-2", "a-1"]
    assert rig.call("ls") == 0
    assert "a-1" in capsys.readouterr().out


def test_an_unknown_request_is_a_no(rig, capsys):
    rig.ask()
    assert rig.call("show", "a-none") == 1
    assert "ls --all" in capsys.readouterr().err


# --- what was shown, shapes, links ----------------------------------------------------------------------------------


def test_a_hash_of_something_else_decides_nothing(rig, capsys):
    request = rig.ask()
    assert rig.call("approve", "a-1", "--as", "bob", "--shown", "0" * 64) == 1
    assert "not what is stored" in capsys.readouterr().err
    assert rig.state_of(request) is ApprovalState.REQUESTED
    shown_hash = json.loads(shown(rig, capsys, "--format", "json"))["view"]["shown"]
    assert rig.call("approve", "a-1", "--as", "bob", "--shown", shown_hash) == 0


@pytest.mark.parametrize("arguments", [("--for", "10m"), ("--same-shape",), ("--for", "soon", "--same-shape")])
def test_a_grant_says_what_and_for_how_long(rig, arguments):
    rig.ask()
    assert rig.call("approve", "a-1", "--as", "bob", *arguments) == 2


def test_a_grant_needs_a_rule_of_its_own(rig, capsys):
    about = {"shape": "s" * 64, "statement": Statement("DELETE FROM orders WHERE id = 7")}
    request = rig.ask(**about)
    assert rig.call("approve", "a-1", "--as", "bob", "--for", "10m", "--same-shape") == 1
    assert "no rule permits grant" in capsys.readouterr().err
    grant = '@id("g") permit (principal, action == Action::"grant", resource) when { context.seconds <= 600 };'
    (rig.config / "policies" / "grants.cedar").write_text(grant)
    assert rig.call("approve", "a-1", "--as", "bob", "--for", "11m", "--same-shape") == 1
    assert rig.call("approve", "a-1", "--as", "bob", "--for", "10m", "--same-shape") == 0
    assert "every statement of its shape until" in capsys.readouterr().out
    status = rig.do(lambda approvals: approvals.latest(request.binding))
    assert status.same_shape and status.uses == 1000


def test_a_link_needs_a_page_that_runs(rig, capsys):
    assert run(["approvals", "link", "--state", str(rig.state)]) == 4
    assert "blastwall up" in capsys.readouterr().err


def test_watching_needs_a_terminal(rig, capsys):
    assert run(["approvals", "watch", "--state", str(rig.state)]) == 2
    assert "terminal" in capsys.readouterr().err
