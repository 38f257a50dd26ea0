"""``python -m bench.floor``: what any proxy in Python costs, beside what the gateway costs, in the same rounds.

Two proxies that do nothing (``bench.passing``): one passes bytes on, the other also appends to a file as a recording
does. What lies between them and PgBouncer is the loop's and the interpreter's; what the gateway takes more is its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import pgbench, report, run
from bench.measure import BLASTWALL, DIRECT, PGBOUNCER, Measure, Pace, machine, processor_seconds, ratios
from bench.select import MICRO, MODES, SELECT
from bench.stage import Route, Stage
from blastwall.errors import Fault

BEGIN, END = "<!-- bench floor: begin -->", "<!-- bench floor: end -->"
PASSING, WRITING = "passes on", "passes on, writes"
WAYS = (PGBOUNCER, PASSING, WRITING, BLASTWALL)
CLIENTS = 8
START_SECONDS = 20.0


@contextmanager
def passing(name: str, direct: Route, directory: Path | None) -> Iterator[Route]:
    """The way through a proxy that does nothing; ended with the context."""
    command = [sys.executable, "-m", "bench.passing", str(direct.port), *([str(directory)] if directory else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline().strip()
            if not said.isdecimal():
                raise pgbench.BenchFault(f"the proxy {name!r} did not start")
            yield dataclasses.replace(direct, name=name, port=int(said), pid=process.pid)
        finally:
            process.terminate()


def floor(stage: Stage, pace: Pace) -> list[Measure]:
    """Transactions per second and processor time of each way, connecting included: it is little of so many."""
    rates: list[Measure] = []
    costs: list[Measure] = []
    direct = stage.routes[DIRECT]
    with (
        tempfile.TemporaryDirectory(dir=stage.state) as place,
        passing(PASSING, direct, None) as plain,
        passing(WRITING, direct, Path(place)) as writing,
    ):
        routes = [stage.routes[PGBOUNCER], plain, writing, stage.routes[BLASTWALL]]
        for mode in MODES:
            rate = Measure(f"floor-{mode}", f"point select, {mode}, {CLIENTS} clients", "/s")
            cost = Measure(
                f"floor-cpu-{mode}", f"proxy CPU per transaction, {mode}, {CLIENTS} clients", "µs", decimals=1
            )
            for route in routes:
                _run(route, mode, 1.0)
            stage.settle()
            for route in pace.interleave(routes, rate.name):
                before = processor_seconds(route.pid)
                outcome = _run(route, mode, pace.seconds)
                stage.settle()
                rate.add(route.name, outcome.rate)
                cost.add(route.name, (processor_seconds(route.pid) - before) / outcome.transactions * MICRO)
            stage.drop_recordings()
            rates.append(rate)
            costs.append(cost)
    return rates + costs


def _run(route: Route, mode: str, seconds: float) -> pgbench.Outcome:
    return pgbench.run(SELECT, route.environment(tls=False), mode=mode, clients=CLIENTS, seconds=seconds)


def table(measures: Sequence[Measure]) -> str:
    """Medians of each way, and behind them their ratios to PgBouncer."""
    rows = [("measure", "unit", *WAYS, *(f"{way} / {PGBOUNCER}" for way in WAYS[1:]))]
    for measure in measures:
        medians = [f"{measure.median(way) or 0.0:,.{measure.decimals}f}" for way in WAYS]
        rows.append((measure.name, measure.unit, *medians, *(_ratio(measure, way) for way in WAYS[1:])))
    return report.aligned(rows)


def _ratio(measure: Measure, way: str) -> str:
    spread = ratios(measure.samples.get(way, ()), measure.samples.get(PGBOUNCER, ()))
    return "" if spread is None else f"{spread.middle:.2f} ({spread.low:.2f} to {spread.high:.2f})"


def main(arguments: list[str]) -> int:
    """Exit status 0 when everything was measured; 1 when something could not be."""
    parser = argparse.ArgumentParser("python -m bench.floor", description=__doc__)
    run.options(parser, "the table")
    options = run.parsed(parser, arguments)
    try:
        with Stage(options.state) as stage:
            measures = floor(stage, run.pace(options.quick))
        text = f"{run.revision()}; {machine()}; {', '.join(stage.versions)}.\n\n{table(measures)}"
        print(f"{run.QUICK}\n\n{text}" if options.quick else text)
        if options.write:
            document = run.DOCUMENT.read_text("utf-8")
            run.DOCUMENT.write_text(
                report.place(document, f"`python -m bench.floor`, revision {text}", BEGIN, END), "utf-8"
            )
    except (Fault, OSError, subprocess.SubprocessError) as fault:
        print(f"bench.floor: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
