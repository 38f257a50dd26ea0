"""Approved changes while gateways, backends and clients are killed: each ran at most once for each approval, and on record.

What a client was told holds: a change that succeeded is in the database, one that was refused is not; only where the
connection died in the midst may it be either. ``make soak`` does the same with many more kills (KILLS, SEED).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from blastwall.approvals import Ballot
from blastwall.approvals.view import view_of
from blastwall.local.approvals import LocalApprovals
from blastwall.local.audit import AuditTrail
from blastwall.local.clock import SystemClock
from blastwall.local.finisher import Finisher
from blastwall.local.recordings import Shelf
from blastwall.local.signer import load_signer
from blastwall.local.store import Store
from blastwall.model import ApprovalState, Principal
from blastwall.recording.reader import Reader
from blastwall.recording.records import Intent
from blastwall.recording.verify import State
from tests.e2e.stacks import ROOT, Stack, begin

ROUNDS = max(int(os.environ.get("KILLS", "50")) // 25, 2)
SEED = int(os.environ.get("SEED", "0")) or time.time_ns() % 1_000_000
MARK = re.compile(r"m\d+x\d+x\d+")
OLGA = Principal("https://idp", "olga", "olga", frozenset({"owners"}), token_id="olgas")
AGENTS = 3
ENOUGH = 4  # changes of a round before something dies

Connection = psycopg.Connection[Any]


def simple(on: Connection, insert: str, mark: str) -> None:
    psycopg.ClientCursor(on).execute(insert.encode())


def extended(on: Connection, insert: str, mark: str) -> None:
    on.execute(insert.encode())


def in_transaction(on: Connection, insert: str, mark: str) -> None:
    on.execute("BEGIN")
    on.execute(insert.encode())
    on.execute("COMMIT")


def among_others(on: Connection, insert: str, mark: str) -> None:
    psycopg.ClientCursor(on).execute(f"SELECT 1; {insert}; SELECT 2".encode())


def copied(on: Connection, insert: str, mark: str) -> None:
    with on.cursor() as cursor, cursor.copy(f"COPY marks FROM STDIN /* {mark} */".encode()) as copy:
        copy.write(f"{mark}\n")


FORMS: tuple[Callable[[Connection, str, str], None], ...] = (simple, extended, in_transaction, among_others, copied)


class Load:
    """Agents who change a table, each change with a mark of its own, and somebody who approves all they ask for."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.told: Counter[str] = Counter()  # changes that their agents were told of as done
        self.unknown: Counter[str] = Counter()  # ... in whose midst the connection died
        self.clients: dict[int, Connection] = {}
        self.over = threading.Event()
        self._number = 0
        self._lock = threading.Lock()

    def approve(self) -> None:
        async def answer() -> None:
            store = Store(self.stack.state / "blastwall.db")
            book = LocalApprovals(store, SystemClock())
            while not self.over.is_set():
                for filed in await book.ls(live=True):
                    if filed.status.state is ApprovalState.REQUESTED:
                        ballot = Ballot(True, view_of(filed.request).shown, rows=5)
                        await book.vote(filed.request.id, OLGA, ballot, lambda *_: None)
                await asyncio.sleep(0.05)
            store.close()

        asyncio.run(answer())

    def change(self, agent: int) -> None:
        """Whatever died in the midst is sent again, word for word: its approval may have been used, or not."""
        dice = random.Random(SEED + agent)  # a repeatable draw
        token = self.stack.token(f"changer-{agent}")
        again: list[tuple[str, int]] = []
        while not self.over.is_set():
            with (
                contextlib.suppress(psycopg.OperationalError),
                self.stack.connect(token, autocommit=True) as connection,
            ):
                self.clients[agent] = connection
                while not self.over.is_set():
                    mark, form = again.pop() if again else (self._mark(agent), dice.randrange(len(FORMS)))
                    if not self._one(connection, mark, form):
                        again.append((mark, form))
                        break
            time.sleep(0.05)  # what it connects to is starting

    def _mark(self, agent: int) -> str:
        with self._lock:
            self._number += 1
            return f"m{SEED}x{agent}x{self._number}"

    def _one(self, connection: Connection, mark: str, form: int) -> bool:
        try:
            FORMS[form](connection, f"INSERT INTO marks VALUES ('{mark}')", mark)
        except psycopg.Error:
            if not connection.closed:
                with contextlib.suppress(psycopg.Error):
                    connection.rollback()
            if not connection.closed:
                return True  # refused, or withdrawn: it did not run
            with self._lock:
                self.unknown[mark] += 1
            return False
        with self._lock:
            self.told[mark] += 1
        return True


def strike(load: Load, dice: random.Random, number: int) -> None:
    """Let somebody die: gateways every other time."""
    stack = load.stack
    gateway = stack.local.gateway
    kind = number % 2 or dice.randrange(4)
    if kind == 1:
        if dice.random() < 0.7:
            os.kill(gateway.pid, signal.SIGKILL)
        gateway.stop()
        gateway.start()
        stack.port = int(gateway.listening["postgres"].rpartition(":")[2])
    elif kind == 2:
        with contextlib.suppress(OSError, psycopg.Error, ValueError):
            client = load.clients[dice.randrange(AGENTS)]
            socket.socket(fileno=os.dup(client.fileno())).shutdown(socket.SHUT_RDWR)
    else:
        sessions = "SELECT pid FROM pg_stat_activity WHERE usename LIKE 'bw\\_s%' AND backend_type = 'client backend'"
        pids = [pid for (pid,) in stack.direct(sessions)]
        if kind == 3 and pids:
            stack.direct("SELECT pg_terminate_backend(%s)", dice.choice(pids))
        elif pids:
            os.kill(dice.choice(pids), signal.SIGKILL)  # and the server recovers, without any of its sessions


@pytest.fixture(scope="module")
def struck(rig_directory: Path) -> Iterator[Load]:
    """After everything: the gateway has stopped, the database runs."""

    def ask_often(document: dict[str, Any]) -> None:
        document["approvals"]["limits"] = {"asked": 10_000}

    stack = begin(rig_directory / "changes", ROOT / "config", "shop", ask_often, masked=False)
    stack.direct("CREATE TABLE marks (mark text); ALTER TABLE marks OWNER TO shop_agent")
    load = Load(stack)
    threads = [threading.Thread(target=load.approve)]
    threads += [threading.Thread(target=load.change, args=(agent,)) for agent in range(AGENTS)]
    for thread in threads:
        thread.start()
    dice = random.Random(SEED)  # a repeatable draw
    try:
        for number in range(2 * ROUNDS):
            wanted = len(load.told) + ENOUGH
            deadline = time.monotonic() + 60
            while len(load.told) < wanted:
                assert time.monotonic() < deadline, f"SEED={SEED}: nothing moves any more"
                time.sleep(0.02)
            time.sleep(dice.uniform(0.0, 0.3))
            strike(load, dice, number)
    finally:
        load.over.set()
        for thread in threads:
            thread.join(90)
    stack.local.gateway.stop()
    yield load
    stack.stop()


def test_each_change_ran_as_often_as_it_was_told_and_approved(struck: Load) -> None:
    rows = Counter(mark for (mark,) in struck.stack.direct("SELECT mark FROM marks"))
    store = Store(struck.stack.state / "blastwall.db")
    filed = asyncio.run(LocalApprovals(store, SystemClock()).ls(limit=100_000))
    store.close()
    used: Counter[str] = Counter()
    for one in filed:
        for mark in set(MARK.findall(one.request.statement.text)):
            used[mark] += one.status.used
    assert len(struck.told) >= 2 * ROUNDS * ENOUGH
    for mark in {*rows, *struck.told, *struck.unknown}:
        least = struck.told[mark]
        assert least <= rows[mark] <= least + struck.unknown[mark], f"SEED={SEED}: {mark}"
        assert rows[mark] <= used[mark], f"SEED={SEED}: {mark} ran more often than it was approved"


def test_what_ran_is_on_record_and_the_trail_is_that_of_the_recordings(struck: Load, tmp_path: Path) -> None:
    state = struck.stack.state
    signer, shelf = load_signer(state / "keys"), Shelf(state)
    report = Finisher(shelf, SystemClock(), signer=signer, abandoned_seconds=0.0).run()
    assert not report.problems, f"SEED={SEED}"
    intents: Counter[str] = Counter()
    for entry in shelf.entries():
        assert entry.verify({signer.key_id: signer.public}).state is State.INTACT, f"SEED={SEED}: {entry.id}"
        assert struck.stack.played(entry)
        with entry.open() as file:
            for record in Reader(file).records():
                if isinstance(record, Intent) and record.kind == "execute" and record.decision["verdict"] == "permit":
                    intents.update(set(MARK.findall(record.text)))
    for mark, count in Counter(mark for (mark,) in struck.stack.direct("SELECT mark FROM marks")).items():
        assert intents[mark] >= count, f"SEED={SEED}: {mark} ran unrecorded"
    for part in ("recordings", "keys"):
        shutil.copytree(state / part, tmp_path / part)
    assert events(state) == events(tmp_path), f"SEED={SEED}: followed through all deaths, and read once afterwards"


def events(state: Path) -> dict[str, str]:
    """The trail's events by their ids, once it has caught up with the recordings."""
    trail = AuditTrail(state)
    while trail.catch_up():
        pass
    return {str(event["metadata"]["uid"]): json.dumps(event, sort_keys=True) for event in trail.events()}
