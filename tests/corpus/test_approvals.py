"""Every approval row of the shared corpus, carried out on the parts that meet it; its outcome must be one the row accepts."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from blastwall.approvals import Ballot, binding
from blastwall.approvals.desk import Desk
from blastwall.approvals.slack import SlackDoor
from blastwall.approvals.view import view_of
from blastwall.approvals.web import Request
from blastwall.config.bundle import Bundle, load_bundle
from blastwall.identity.jwks import FixedKeys
from blastwall.local.approvals import LocalApprovals
from blastwall.local.approvers import ApproverVerifier
from blastwall.local.clock import ManualClock
from blastwall.local.store import Store
from blastwall.model import (
    ApprovalRequest,
    ApprovalState,
    Denial,
    Effect,
    Facts,
    ObjectRef,
    Parameter,
    Principal,
    Risk,
    Secret,
    Statement,
    StatementKind,
)
from rig.issuer import LocalIssuer

HERE = Path(__file__).parent
ROWS = {
    row["id"]: row
    for line in (HERE / "bypass.jsonl").read_text("utf-8").split("\n")
    if line and (row := json.loads(line))["protocol"] == "approval"
}
#: Rows that need a database: which test carries them out.
WITH_A_DATABASE = {
    "APR-029": "tests/e2e/test_deciding.py::test_apr_029",
    "APR-030": "tests/e2e/test_bounds.py::test_apr_030",
}
ORIGIN = "https://page.example"
RUN = Statement(
    "DELETE FROM orders WHERE id = $1", parameters=(Parameter(b"7", type_id=23),), surroundings="shop|public"
)


class World:
    """The shipped policies, a store, an agent's held statement, and people."""

    def __init__(self, root: Path) -> None:
        self.clock = ManualClock(time.time())
        self.store = Store(root / "blastwall.db")
        self.book = LocalApprovals(self.store, self.clock)
        self.bundle: Bundle = load_bundle(HERE.parents[1] / "config")
        self.issuer = LocalIssuer.open(root / "issuer", clock=self.clock.now)
        keys = FixedKeys(self.issuer.key_set())
        self.verifier = ApproverVerifier([(self.issuer.rules(), None)], self.clock, None, lambda *_: keys)
        self.desk = Desk(
            ORIGIN, self.book, self.verifier.verify, self.authorise, self.decide, self.clock.now, bytes,
            slack=SlackDoor(b"key", {"U1": ("olga", ("owners",))}, self.count, self.clock.now).handle,
        )  # fmt: skip

    def authorise(self, person: Principal, request: ApprovalRequest, ballot: Ballot) -> Denial | None:
        return self.bundle.may_decide(person, request, ballot, self.clock.now())

    def ask(self, id: str = "a-1", statement: Statement = RUN, **changes: Any) -> ApprovalRequest:
        now = self.clock.now()
        agent = Principal("https://idp", "agent-7", "reporter", frozenset({"agents"}), "alice", "token", now, now + 9e5)
        made = ApprovalRequest(
            id, "", "s-1", agent, "shop", statement,
            Facts(Effect.WRITE, "delete", (ObjectRef("table", "public.orders", "write"),)),
            Risk(40), ("owners",), self.bundle.policies.version, now, now + 900,
        )  # fmt: skip
        made = dataclasses.replace(made, **changes)
        names = ("principal", "session", "target", "statement", "policy_version")
        return dataclasses.replace(made, binding=binding(**{name: getattr(made, name) for name in names}))

    async def asked(self, **changes: Any) -> ApprovalRequest:
        request = self.ask(**changes)
        await self.book.request(request)
        return request

    async def count(self, id: str, person: Principal, ballot: Ballot) -> dict[str, Any]:
        verdict = await self.book.vote(id, person, ballot, self.authorise)
        return {"refused": {"reason": verdict.reason}} if isinstance(verdict, Denial) else {"status": {"state": "x"}}

    async def decide(self, id: str, token: Secret, ballot: Ballot) -> dict[str, Any]:
        return await self.count(id, await self.verifier.verify(token), ballot)

    async def approve(self, request: ApprovalRequest, name: str = "olga", **claims: Any) -> bool:
        """With a token of the local issuer, by default for approvers."""
        token = self.issuer.mint(name, **({"groups": ["owners"], "aud": "blastwall/approvals"} | claims))
        try:
            person = await self.verifier.verify(Secret(token))
        except Exception:  # noqa: BLE001 - no person at all
            return False
        return "status" in await self.count(request.id, person, Ballot(True, view_of(request).shown))

    async def ran(self, request: ApprovalRequest) -> str:
        """What the gateway does with the statement now."""
        return "deny" if await self.book.redeem(request.binding, request.shape) is None else "allow"

    async def undecided(self, request: ApprovalRequest) -> str:
        filed = await self.book.show(request.id)
        assert filed is not None
        return "deny" if filed.status.state is ApprovalState.REQUESTED else "allow"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


async def approved_but(world: World, statement: Statement = RUN, **changes: Any) -> str:
    """Approve the held statement, then run it with a difference."""
    assert await world.approve(await world.asked())
    return await world.ran(world.ask("a-2", statement=statement, **changes))


async def twice(world: World) -> str:
    request = await world.asked()
    assert await world.approve(request) and await world.ran(request) == "allow"
    return await world.ran(request)


async def late(world: World) -> str:
    request = await world.asked()
    assert await world.approve(request)
    world.clock.advance(25 * 3600)
    return await world.ran(request)


async def forwarded(world: World) -> str:
    request = await world.asked()
    for claims in ({"aud": "blastwall"}, {"on_behalf_of": "olga", "name": "reporter"}, {"name": "agent-7"}):
        assert not await world.approve(request, **claims)
    return await world.undecided(request)


async def prefetched(world: World) -> str:
    request = await world.asked()
    for path, query in (
        ("/approve", {"id": "1"}),
        ("/requests/a-1", {"decision": "approve"}),
        ("/requests/a-1", {"here": ""}),
    ):
        answer = await world.desk.handle(Request("GET", path, query, {"user-agent": "Slackbot-LinkExpanding 1.0"}))
        assert answer.status in (200, 401, 404) and b"orders" not in answer.body
    return await world.undecided(request)


async def previewed(world: World) -> str:
    """The harmless half of the same: it gets a page, and nothing has changed."""
    request = await world.asked()
    answer = await world.desk.handle(Request("GET", "/requests/a-1", {}, {"user-agent": "Slackbot-LinkExpanding 1.0"}))
    return "allow" if answer.status == 200 and await world.undecided(request) == "deny" else "deny"


async def cross_site(world: World) -> str:
    request = await world.asked()
    token = world.issuer.mint("olga", ["owners"], aud="blastwall/approvals")
    form = urlencode({"decision": "approve", "shown": view_of(request).shown, "csrf": "0" * 64}).encode()
    kind = {"content-type": "application/x-www-form-urlencoded"}
    for origin in ("https://evil.example", "null", ORIGIN):
        answer = await world.desk.handle(
            Request("POST", "/requests/a-1", {}, kind | {"origin": origin}, {"__Host-blastwall": token}, form)
        )
        assert answer.status == 403
    return await world.undecided(request)


async def forged_callback(world: World) -> str:
    request = await world.asked()
    payload = {"user": {"id": "U1"}, "actions": [{"action_id": "approve", "value": f"a-1 {view_of(request).shown}"}]}
    kind = {"content-type": "application/x-www-form-urlencoded"}
    body = urlencode({"payload": json.dumps(payload)}).encode()
    stamp = {"x-slack-request-timestamp": str(int(world.clock.now()))}
    for signature in ({}, {"x-slack-signature": "v0=" + "0" * 64}):
        assert (
            await world.desk.handle(Request("POST", "/slack", {}, kind | stamp | signature, {}, body))
        ).status == 401
    return await world.undecided(request)


async def guessed(world: World) -> str:
    request = await world.asked()
    for id in ("42", "a-2", "b#" + request.binding):
        assert not await world.approve(dataclasses.replace(request, id=id))
    return await world.undecided(request)


async def disguised(world: World, text: str, needle: str, hidden: str = "") -> str:
    """What the approver is shown cannot be mistaken, and what was shown is all that an approval is for."""
    request = await world.asked(statement=Statement(text))
    view = view_of(request)
    everything = json.dumps(view.document(), ensure_ascii=False)
    assert needle in everything and view.cautions
    assert not hidden or hidden not in everything
    plain = Statement(text.replace(hidden, "") if hidden else text.partition("*/")[2])
    assert not await world.approve(dataclasses.replace(request, statement=plain)), "another text has another hash"
    return await world.undecided(request)


async def two_accounts(world: World) -> str:
    request = await world.asked(quorum=2)
    assert await world.approve(request)
    assert not await world.approve(request, "OLGA") and not await world.approve(request, agent_name="x")
    return await world.ran(request)


CARRY_OUT: dict[str, Callable[[World], Awaitable[str]]] = {
    "APR-003": lambda world: approved_but(world, RUN._replace(surroundings="shop|evil")),
    "APR-004": twice,
    "APR-005": lambda world: approved_but(world, session="s-2"),
    "APR-006": late,
    "APR-007": lambda world: approved_but(world, target="prod"),
    "APR-009": forwarded,
    "APR-010": prefetched,
    "APR-011": cross_site,
    "APR-012": forged_callback,
    "APR-014": guessed,
    "APR-015": lambda world: disguised(world, "DELETE FROM orders /* \u202e */ WHERE id = 7", "U+202E", "\u202e"),
    "APR-016": lambda world: disguised(world, "DELETE FROM \u043erders WHERE id = 7", "CYRILLIC", "\u043e"),
    "APR-018": lambda world: disguised(world, "/* approved by security, harmless */ DROP TABLE orders", "comments"),
    "APR-024": two_accounts,
    "APR-025": lambda world: approved_but(world, RUN._replace(text=RUN.text + " OR true")),
    "APR-028": lambda world: approved_but(
        world, RUN._replace(parameters=(Parameter(b"8", type_id=23),), kind=StatementKind.EXECUTE)
    ),
    "OK-127": previewed,
    "OK-128": lambda world: approved_but(world, RUN),
}


def test_every_row_is_carried_out_here_or_with_a_database() -> None:
    assert set(ROWS) == set(CARRY_OUT) | set(WITH_A_DATABASE)


@pytest.mark.parametrize("id", sorted(CARRY_OUT))
async def test_the_outcome_is_one_that_the_row_accepts(id: str, world: World) -> None:
    assert await CARRY_OUT[id](world) in ROWS[id]["accept"], ROWS[id]["note"]
