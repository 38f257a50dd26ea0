"""Whole gateways killed under load: what PostgreSQL's own log says it was asked stands in the recordings, all of it.

``make soak`` does the same with many more kills (KILLS, SEED).
"""

from __future__ import annotations

import json
import os
import random
import re
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from blastwall.config.bundle import load_bundle
from blastwall.local.clock import SystemClock
from blastwall.local.finisher import Finisher
from blastwall.local.recordings import Entry, Shelf
from blastwall.local.signer import load_signer
from blastwall.recording.play import json_lines
from blastwall.recording.reader import Reader
from blastwall.recording.records import Intent
from blastwall.recording.verify import State
from cli.recordings import decoder
from rig import account
from rig.gateway import GatewayProcess
from rig.issuer import LocalIssuer
from rig.postgres import EmbeddedPostgres, RigFault

KILLS = max(int(os.environ.get("KILLS", "50")) // 25, 1)
SEED = int(os.environ.get("SEED", "0")) or time.time_ns() % 1_000_000
CONFIG = Path(__file__).parents[2] / "bench" / "config"
TARGETS = {"bench": "kernel", "durable": "power_loss"}
MARK = re.compile(rb"/\* (w\d+-\d+-\d+) \*/")


@dataclass
class Place:
    """A gateway over a database that writes down every statement, and where both keep their files."""

    state: Path
    server: EmbeddedPostgres
    gateway: GatewayProcess
    issuer: LocalIssuer

    def connect(self, target: str, agent: str) -> psycopg.Connection[tuple[object, ...]]:
        host, _, port = self.gateway.listening["postgres"].rpartition(":")
        token = self.issuer.mint(agent, ["agents"], ttl=600)
        return psycopg.connect(
            host=host, port=port, user=target, password=token, dbname="bench", sslmode="disable", autocommit=True
        )

    def database_saw(self) -> set[bytes]:
        """The marks in PostgreSQL's own log: of simple queries, and of what was executed of prepared ones."""
        log = (self.server.directory / "server.log").read_bytes()
        return {mark for line in log.splitlines() if b"LOG:" in line for mark in MARK.findall(line)}


@pytest.fixture(scope="module")
def place(rig_directory: Path) -> Iterator[Place]:
    home = rig_directory / "kills"
    state = home / "gateway"
    state.mkdir(parents=True, mode=0o711)
    server = EmbeddedPostgres(home / "postgres", settings={"log_statement": "all"})
    with server:
        server.psql("CREATE ROLE bench_agent LOGIN PASSWORD 'of-kills-only'")
        server.create_database("bench")
        issuer = LocalIssuer.open(state)
        issuer.serve()
        password = state / "target.password"
        account.write_private(password, b"of-kills-only")
        first = load_bundle(CONFIG).config.identity.issuers[0].model_dump(mode="json")
        section = load_bundle(CONFIG).config.targets["bench"].model_dump(mode="json", exclude_defaults=True)
        section |= {
            "host": server.host,
            "port": server.port,
            "credential": [{"kind": "static", "user": "bench_agent", "password_file": str(password)}],
        }
        overrides = {
            "listen": {"postgres": "127.0.0.1:0"},
            "identity": {"issuers": [first | {"issuer": issuer.issuer, "jwks_url": f"{issuer.issuer}/jwks.json"}]},
            "targets": {name: section | {"durability": durability} for name, durability in TARGETS.items()},
        }
        file = state / "overrides.json"
        account.write_private(file, json.dumps(overrides).encode())
        environment = {**os.environ, "BLASTWALL_BENCH_MASKING_KEY": secrets.token_hex(32)}
        gateway = GatewayProcess(CONFIG, state, file, state / "gateway.log", environment)
        yield Place(state, server, gateway, issuer)
        issuer.stop()
    server.destroy()


def ask_for_ever(place: Place, worker: int, kill: int, going: threading.Event) -> None:
    """Simple, prepared and pipelined statements, each with a mark of its own, until the gateway is gone."""
    chance = random.Random(SEED + worker * 1000 + kill)
    number = 0
    target = list(TARGETS)[worker % 2]

    def marked() -> sql.SQL:
        nonlocal number
        number += 1
        return sql.SQL(f"SELECT {number}, repeat('x', {chance.randrange(3000)}) /* w{worker}-{kill}-{number} */")

    try:
        with place.connect(target, f"agent-{worker}") as connection:
            while True:
                match chance.randrange(3):
                    case 0:
                        psycopg.ClientCursor(connection).execute(marked()).fetchall()
                    case 1:
                        connection.execute(marked(), prepare=True).fetchall()
                    case _:
                        with connection.pipeline():
                            for _ in range(chance.randrange(1, 6)):
                                connection.execute(marked())
                if number > 5:
                    going.set()
    except psycopg.Error:
        going.set()  # the gateway was killed, or had been when this began


def recorded(entry: Entry) -> set[bytes]:
    with entry.open() as file:
        intents = [record for record in Reader(file).records() if isinstance(record, Intent)]
    return {mark for intent in intents for mark in MARK.findall(intent.text.encode())}


def test_every_statement_that_reached_the_database_has_its_intent(place: Place) -> None:
    chance = random.Random(SEED)
    for kill in range(KILLS):
        place.gateway.start()
        events = [threading.Event() for _ in range(4)]
        workers = [
            threading.Thread(target=ask_for_ever, args=(place, worker, kill, going), daemon=True)
            for worker, going in enumerate(events)
        ]
        for worker in workers:
            worker.start()
        for going in events:
            assert going.wait(30)
        time.sleep(chance.uniform(0.0, 0.3))
        os.kill(place.gateway.pid, signal.SIGKILL)
        for worker in workers:
            worker.join(30)
        try:
            place.gateway.stop()
        except RigFault as fault:
            raise AssertionError(f"SEED={SEED}") from fault
    saw = place.database_saw()
    assert len(saw) > 40 * KILLS, f"SEED={SEED}: {len(saw)} statements are no load"
    shelf = Shelf(place.state)
    marks: set[bytes] = set()
    signer = load_signer(place.state / "keys")
    truncated = killed = 0
    for entry in shelf.entries():
        verdict = entry.verify({signer.key_id: signer.public})
        assert verdict.state in (State.TRUNCATED, State.INTACT), f"SEED={SEED}: {verdict}"
        truncated += verdict.state is State.TRUNCATED
        # A gateway that starts completes what the one before left, once that is half a minute old.
        killed += verdict.state is State.TRUNCATED or bool(verdict.completed_by)
        marks |= recorded(entry)
        with entry.open() as file:
            assert list(json_lines(iter(decoder("postgres")(Reader(file).records(), rows=1))))
    assert killed >= 4 * KILLS
    unrecorded = saw - marks
    assert not unrecorded, f"SEED={SEED}: {len(unrecorded)} ran unrecorded: {sorted(unrecorded)[:5]}"
    report = Finisher(shelf, SystemClock(), signer=signer, abandoned_seconds=0.0).run()
    assert not report.problems
    assert len(report.completed) >= truncated
    for entry in shelf.entries():
        assert entry.verify({signer.key_id: signer.public}).state is State.INTACT
