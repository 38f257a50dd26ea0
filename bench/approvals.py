"""What the machine adds to a person's decision, and what of it is looking ahead: ``python -m bench.approvals``.

Local stacks as ``blastwall up`` starts them, real PostgreSQL, shipped policies. An agent sends an UPDATE that policy
holds; an approver that takes no time to think sees the request appear and approves it. Measured are the two ways of the
machine: from the statement leaving until it is held and can be shown, and from the approver saying so until the agent
has its result. The person's time between them is nobody's. The same UPDATE past the gateway stands beside them.

Two stacks take turns, block by block: one finds out what the statement would do before it asks, as is usual, and one
does not (``look_ahead_ms: 0``). What looking ahead adds is the difference of their medians, block by block.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
import yaml

from bench.measure import differences
from bench.run import QUICK, QUICK_HELP, home
from blastwall.approvals import Ballot
from blastwall.approvals.view import view_of
from blastwall.local.approvals import LocalApprovals
from blastwall.local.clock import SystemClock
from blastwall.local.store import Store
from blastwall.model import ApprovalState, Principal
from rig.issuer import LocalIssuer
from rig.up import LocalStack

ROOT = Path(__file__).parents[1]
BLOCKS, BLOCK = 6, 10  # statements of each stack: so many times so many
QUICK_BLOCKS, QUICK_BLOCK = 2, 3
WARM_UP = 5
AT_ONCE = 8
HELD = "sent until the agent is told that it is held"
BLIND = "without looking ahead"
HOLDS = "blastwall: held for approval"  # how the notice begins
OLGA = Principal("bench", "olga", "olga", frozenset({"owners"}), token_id="olga")


@dataclass
class Moments:
    """When what happened to a statement, by its text; seconds of one clock."""

    sent: dict[str, float] = field(default_factory=dict)
    held: dict[str, float] = field(default_factory=dict)  # the agent was told that somebody is asked
    shown: dict[str, float] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)

    def steps(self, texts: Sequence[str]) -> Mapping[str, list[float]]:
        """Seconds of each step, statement by statement."""
        asked = [self.shown[text] - self.sent[text] for text in texts]
        decided = [self.done[text] - self.answered[text] for text in texts]
        both = [one + other for one, other in zip(asked, decided, strict=True)]
        held = [self.held[text] - self.sent[text] for text in texts]
        return {HELD: held, "sent until shown": asked, "approved until executed": decided, "the machine's part": both}


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
        sending = ""

        def hear(notice: psycopg.errors.Diagnostic) -> None:
            if HOLDS in (notice.message_primary or ""):
                moments.held.setdefault(sending, time.perf_counter())

        connection.add_notice_handler(hear)
        for text in texts:
            sending = text
            moments.sent[text] = time.perf_counter()
            connection.execute(text.encode())
            moments.done[text] = time.perf_counter()


@dataclass
class Site:
    """One stack with its approver, and what happened at it."""

    stack: LocalStack
    moments: Moments = field(default_factory=Moments)

    @property
    def uri(self) -> str:
        """Where agents connect."""
        found = self.stack.running
        assert found is not None
        host, _, port = found.listening["postgres"].rpartition(":")
        return f"postgresql://shop@{host}:{port}/shop?sslmode=verify-full&sslrootcert={quote(found.ca)}"

    def ask(self, agent: str, texts: Sequence[str]) -> None:
        """Have an agent send them, one after the other."""
        run(self.uri, LocalIssuer.open(self.stack.state).mint(agent, ["agents"]), texts, self.moments)


@contextmanager
def site(config: Path, state: Path) -> Iterator[Site]:
    """A stack that runs, and somebody who approves whatever it asks for."""
    over = threading.Event()
    with LocalStack(config, state, listen={"postgres": "127.0.0.1:0"}) as stack:
        found = Site(stack)
        approver = threading.Thread(target=lambda: asyncio.run(approve(state / "blastwall.db", found.moments, over)))
        approver.start()
        try:
            yield found
        finally:
            over.set()
            approver.join()


def blind(home: Path) -> Path:
    """The shipped configuration, with looking ahead switched off."""
    shutil.copytree(ROOT / "config", home / "blind" / "config")
    shutil.copytree(ROOT / "demo", home / "blind" / "demo")  # where its seed is
    file = home / "blind" / "config" / "gateway.yaml"
    settings = yaml.safe_load(file.read_text("utf-8"))
    settings["targets"]["shop"]["options"]["look_ahead_ms"] = 0
    file.write_text(yaml.safe_dump(settings), "utf-8")
    return file.parent


def measure(looking: Site, unseeing: Site, blocks: int, size: int) -> list[str]:
    """Lines: one agent, the same without looking ahead, the difference, eight agents at once, past the gateway."""
    for one in (looking, unseeing):
        one.ask("warm", [_text(1, number) for number in range(WARM_UP)])
    texts = [[_text(2, block * size + number) for number in range(size)] for block in range(blocks)]
    medians: dict[str, list[float]] = {"": [], BLIND: []}
    for block in texts:
        for name, one in (("", looking), (BLIND, unseeing)):
            one.ask("alone", block)
            medians[name].append(statistics.median(one.moments.steps(block)[HELD]))
    crowd = [[_text(agent + 10, number) for number in range(max(blocks * size // AT_ONCE, 1))] for agent in range(8)]
    agents = [
        threading.Thread(target=looking.ask, args=(f"agent-{agent}", theirs)) for agent, theirs in enumerate(crowd)
    ]
    for agent in agents:
        agent.start()
    for agent in agents:
        agent.join()
    everything = [text for block in texts for text in block]
    added = differences(medians[""], medians[BLIND])
    assert added is not None, "there is a block"
    return [
        *_lines(looking.moments.steps(everything)),
        *_lines(unseeing.moments.steps(everything), BLIND),
        f"{'what looking ahead adds to a statement that is held':70} {added.middle * 1000:+.1f} ms "
        f"({added.low * 1000:+.1f} to {added.high * 1000:+.1f} over {blocks} blocks)",
        *_lines(looking.moments.steps([text for theirs in crowd for text in theirs]), f"{AT_ONCE} agents"),
        line("the same UPDATE past the gateway", _direct(looking.stack.state, blocks * size)),
    ]


def _lines(steps: Mapping[str, Sequence[float]], how: str = "") -> list[str]:
    return [line(f"{step}, {how}" if how else step, times) for step, times in steps.items()]


def _text(cart: int, number: int) -> str:
    """Each is another statement: an approval is for one."""
    return f"UPDATE carts SET customer_id = {number + 1} WHERE id = {cart}"


def _direct(state: Path, count: int) -> list[float]:
    target = json.loads((state / "overrides.json").read_text())["targets"]["shop"]
    word = (state / "targets" / "shop" / "superuser.password").read_text()
    uri = f"postgresql://postgres:{quote(word, safe='')}@{target['host']}:{target['port']}/shop"
    times = []
    with psycopg.connect(uri, autocommit=True) as connection:
        for number in range(count):
            began = time.perf_counter()
            connection.execute(_text(3, number).encode())
            times.append(time.perf_counter() - began)
    return times


def line(step: str, times: Sequence[float]) -> str:
    """Milliseconds: the median and what nineteen of twenty stay below."""
    high = sorted(times)[min(len(times) - 1, int(len(times) * 0.95))]
    return f"{step:70} p50 {statistics.median(times) * 1000:7.1f} ms   p95 {high * 1000:7.1f} ms   n {len(times)}"


def main(arguments: list[str]) -> int:
    """Print one line for each step."""
    parser = argparse.ArgumentParser("python -m bench.approvals", description="What the machine adds to an approval.")
    parser.add_argument("--quick", action="store_true", help=QUICK_HELP)
    quick = parser.parse_args(arguments).quick
    with ExitStack() as stack:
        place = stack.enter_context(home())
        looking = stack.enter_context(site(ROOT / "config", place / "state"))
        unseeing = stack.enter_context(site(blind(place), place / "state-blind"))
        blocks, size = (QUICK_BLOCKS, QUICK_BLOCK) if quick else (BLOCKS, BLOCK)
        lines = measure(looking, unseeing, blocks, size)
    sys.stdout.write("".join(f"{text}\n" for text in ([QUICK] if quick else []) + lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
