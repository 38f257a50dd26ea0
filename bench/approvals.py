"""What the machine adds to a person's decision: ``python -m bench.approvals``.

A local stack as ``blastwall up`` starts it, real PostgreSQL, the shipped policies. An agent sends an UPDATE that policy
holds; an approver that takes no time to think sees the request appear and approves it. Measured are the two ways of the
machine: from the statement leaving until the request can be shown, and from the approver saying so until the agent has
its result. The person's time between them is nobody's. The same UPDATE past the gateway stands beside them.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg

from blastwall.approvals import Ballot
from blastwall.approvals.view import view_of
from blastwall.local.approvals import LocalApprovals
from blastwall.local.clock import SystemClock
from blastwall.local.store import Store
from blastwall.model import ApprovalState, Principal
from rig import account
from rig.issuer import LocalIssuer
from rig.up import LocalStack

ROOT = Path(__file__).parents[1]
ROUNDS = 60
WARM_UP = 5
AT_ONCE = 8
OLGA = Principal("bench", "olga", "olga", frozenset({"owners"}), token_id="olga")


@dataclass
class Moments:
    """When what happened to a statement, by its text; seconds of one clock."""

    sent: dict[str, float] = field(default_factory=dict)
    shown: dict[str, float] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)

    def steps(self, texts: Sequence[str]) -> Mapping[str, list[float]]:
        """Seconds of each step, statement by statement."""
        asked = [self.shown[text] - self.sent[text] for text in texts]
        decided = [self.done[text] - self.answered[text] for text in texts]
        both = [one + other for one, other in zip(asked, decided, strict=True)]
        return {"sent until shown": asked, "approved until executed": decided, "the machine's part": both}


async def approve(file: Path, moments: Moments, over: threading.Event) -> None:
    """The approver: looks at what appears, and approves it at once."""
    store = Store(file)
    book = LocalApprovals(store, SystemClock())
    while not over.is_set():
        for filed in await book.ls(live=True):
            text = filed.request.statement.text
            if filed.status.state is not ApprovalState.REQUESTED or text in moments.shown:
                continue
            shown = view_of(filed.request).shown
            moments.shown[text] = time.perf_counter()
            moments.answered[text] = time.perf_counter()
            await book.vote(filed.request.id, OLGA, Ballot(True, shown), lambda *_: None)
        await book.changed(0.5)
    store.close()


def run(uri: str, token: str, texts: Sequence[str], moments: Moments) -> None:
    """The agent: one statement after the other."""
    with psycopg.connect(uri, password=token, autocommit=True) as connection:
        for text in texts:
            moments.sent[text] = time.perf_counter()
            connection.execute(text.encode())
            moments.done[text] = time.perf_counter()


def measure(stack: LocalStack, state: Path) -> dict[str, Sequence[float]]:
    """Seconds of each step: one agent, then eight at once, then the UPDATE itself past the gateway."""
    found = stack.running
    assert found is not None
    host, _, port = found.listening["postgres"].rpartition(":")
    uri = f"postgresql://shop@{host}:{port}/shop?sslmode=verify-full&sslrootcert={quote(found.ca)}"
    issuer, moments, over = LocalIssuer.open(state), Moments(), threading.Event()
    approver = threading.Thread(target=lambda: asyncio.run(approve(state / "blastwall.db", moments, over)))
    approver.start()
    try:
        alone = [_text(1, number) for number in range(WARM_UP + ROUNDS)]
        run(uri, issuer.mint("alone", ["agents"]), alone, moments)
        crowd = [[_text(agent + 10, number) for number in range(ROUNDS // AT_ONCE)] for agent in range(AT_ONCE)]
        agents = [
            threading.Thread(target=run, args=(uri, issuer.mint(f"agent-{agent}", ["agents"]), texts, moments))
            for agent, texts in enumerate(crowd)
        ]
        for agent in agents:
            agent.start()
        for agent in agents:
            agent.join()
    finally:
        over.set()
        approver.join()
    together = [text for texts in crowd for text in texts]
    return {
        **moments.steps(alone[WARM_UP:]),
        **{f"{step}, {AT_ONCE} agents": times for step, times in moments.steps(together).items()},
        "the same UPDATE past the gateway": _direct(state),
    }


def _text(cart: int, number: int) -> str:
    """Each is another statement: an approval is for one."""
    return f"UPDATE carts SET customer_id = {number + 1} WHERE id = {cart}"


def _direct(state: Path) -> list[float]:
    target = json.loads((state / "overrides.json").read_text())["targets"]["shop"]
    word = (state / "targets" / "shop" / "superuser.password").read_text()
    uri = f"postgresql://postgres:{quote(word, safe='')}@{target['host']}:{target['port']}/shop"
    times = []
    with psycopg.connect(uri, autocommit=True) as connection:
        for number in range(ROUNDS):
            began = time.perf_counter()
            connection.execute(_text(2, number).encode())
            times.append(time.perf_counter() - began)
    return times


def line(step: str, times: Sequence[float]) -> str:
    """Milliseconds: the median and what nineteen of twenty stay below."""
    high = sorted(times)[min(len(times) - 1, int(len(times) * 0.95))]
    return f"{step:44} p50 {statistics.median(times) * 1000:7.1f} ms   p95 {high * 1000:7.1f} ms   n {len(times)}"


def main() -> int:
    """Print one line for each step."""
    home = Path(tempfile.mkdtemp(prefix="blastwall-bench-"))
    home.chmod(0o711)
    try:
        state = home / "state"
        with LocalStack(ROOT / "config", state, listen={"postgres": "127.0.0.1:0"}) as stack:
            for step, times in measure(stack, state).items():
                sys.stdout.write(line(step, times) + "\n")
    finally:
        account.remove_tree(home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
