"""Point selects by primary key: transactions per second, processor time of the proxy, added time, connections."""

from __future__ import annotations

from bench import pgbench
from bench.measure import Measure, Pace, processor_seconds
from bench.stage import ACCOUNTS, Route, Stage
from blastwall.local.audit import PROGRAM as FOLLOWER

MODES = ("simple", "extended", "prepared")
CLIENTS = (1, 8, 32)
#: In simple mode the key stands in the text: every statement is a text the gateway has most likely not seen.
SELECT = f"\\set aid random(1, {ACCOUNTS})\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n"
CONNECT = "SELECT 1;\n"
CONNECTORS = 4
WARM_SECONDS = 1.0
MICRO = 1e6


def select(stage: Stage, pace: Pace, *, tls: bool = False) -> list[Measure]:
    """Transactions per second and processor time per transaction, for each mode and number of clients."""
    rates: list[Measure] = []
    costs: list[Measure] = []
    suffix = "-tls" if tls else ""
    for mode in MODES:
        for route in stage.routes.values():  # caches fill before anything counts
            pgbench.run(SELECT, route.environment(tls=tls), mode=mode, seconds=WARM_SECONDS)
        stage.settle()
        for clients in CLIENTS:
            who = f"{mode}, {clients} client{'s' if clients > 1 else ''}"
            rate = Measure(f"select-{mode}-{clients}{suffix}", f"point select, {who}", "/s")
            cost = Measure(f"cpu-{mode}-{clients}{suffix}", f"proxy CPU per transaction, {who}", "µs", decimals=1)
            own = Measure(f"own-{mode}-{clients}{suffix}", f"... but for audit events, {who}", "µs", decimals=1)
            connecting = {name: _connecting(stage, route, mode, clients, tls) for name, route in stage.routes.items()}
            for route in pace.interleave(stage.routes.values(), rate.name):
                outcome, spent = _timed(stage, route, mode, clients, pace.seconds, tls)
                rate.add(route.name, outcome.rate)
                if route.pid:
                    for measure, of, before in zip((cost, own), spent, connecting[route.name], strict=True):
                        measure.add(route.name, (of - before) / outcome.transactions * MICRO)
            rates.append(rate)
            costs += [cost, own]
            stage.drop_recordings()
    return rates + costs


def _connecting(stage: Stage, route: Route, mode: str, clients: int, tls: bool) -> tuple[float, float]:
    """Processor seconds that the proxy takes for connecting so many clients: no part of a transaction's cost."""
    before = _spent(route)
    pgbench.run(SELECT, route.environment(tls=tls), mode=mode, clients=clients, once=True)
    stage.settle()
    return _since(route, before)


def _timed(
    stage: Stage, route: Route, mode: str, clients: int, seconds: float, tls: bool
) -> tuple[pgbench.Outcome, tuple[float, float]]:
    """One run and the processor seconds that the proxy took for it, connecting and audit events included."""
    before = _spent(route)
    outcome = pgbench.run(SELECT, route.environment(tls=tls), mode=mode, clients=clients, seconds=seconds)
    stage.settle()
    return outcome, _since(route, before)


def _spent(route: Route) -> tuple[float, float]:
    """Processor seconds of the proxy so far: all of it, and without the process that makes audit events."""
    return (processor_seconds(route.pid), processor_seconds(route.pid, but=FOLLOWER)) if route.pid else (0.0, 0.0)


def _since(route: Route, before: tuple[float, float]) -> tuple[float, float]:
    now = _spent(route)
    return now[0] - before[0], now[1] - before[1]


def latency(stage: Stage, pace: Pace) -> list[Measure]:
    """A query's median time with one client."""
    found = []
    for mode in ("simple", "prepared"):
        measure = Measure(f"latency-{mode}", f"query time (p50), {mode}, 1 client", "µs")
        for route in pace.interleave(stage.routes.values(), measure.name):
            environment = route.environment(tls=False)
            outcome = pgbench.run(SELECT, environment, mode=mode, seconds=pace.seconds, latencies=True)
            stage.settle()
            measure.add(route.name, outcome.median)
        found.append(measure)
    stage.drop_recordings()
    return found


def connect(stage: Stage, pace: Pace) -> list[Measure]:
    """Connections per second, each for one SELECT 1. PgBouncer keeps its server connections, the others do not."""
    measure = Measure("connect", f"connect, SELECT 1, close; {CONNECTORS} clients", "/s")
    for route in pace.interleave(stage.routes.values(), measure.name):
        environment = route.environment(tls=False)
        outcome = pgbench.run(CONNECT, environment, clients=CONNECTORS, seconds=pace.seconds, reconnect=True)
        stage.settle()
        measure.add(route.name, outcome.rate)
    stage.drop_recordings()
    return [measure]
