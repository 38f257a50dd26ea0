"""``python -m bench.recording``: what recording costs. The same gateway with recording off, on disk, and towards S3.

Four gateways over one database, measured in turn: *off* records nothing and is what the others are compared with;
*kernel* and *power loss* are the two durabilities on this machine's disk; *S3* is the recorder of AWS with its spool on
this machine's disk, and moto's server in this process as S3 and KMS. moto is slow and shares the processors, so that
column shows what the gateway pays, not what AWS is like.
"""

from __future__ import annotations

import argparse
import datetime
import json
import logging
import os
import platform
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from moto.server import ThreadedMotoServer

from bench import pgbench, run
from bench.bulk import SELECT as BULK
from bench.client import Client
from bench.measure import BLASTWALL, Measure, Pace, machine, processor_seconds, ratios, reset_peak, resident
from bench.pgbench import BenchFault
from bench.recorders import OFF, S3
from bench.report import aligned, place
from bench.select import MICRO, SELECT
from bench.stage import BULK_ROWS, CONFIG, ROOT, TARGET, Route, Stage, settle
from blastwall.aws.objects import client
from blastwall.errors import Fault
from blastwall.settings import RecordingSettings
from rig.account import write_private
from rig.gateway import GatewayProcess, compiled_environment

KERNEL, POWER_LOSS = "kernel", "power loss"
WAYS = (OFF, KERNEL, POWER_LOSS, S3)
BUCKET = "bench-recordings"
BEGIN, END = "<!-- bench recording: begin -->", "<!-- bench recording: end -->"
#: 125 MB each: about 2 GB in one answer.
TIMES = 16
HUGE = f"SELECT b.id, b.code, b.name, b.note FROM bench_bulk AS b, generate_series(1, {TIMES})"
CLIENTS = 8


@dataclass(slots=True)
class Way:
    """One gateway, and where its recordings go."""

    name: str
    route: Route
    state: Path
    s3: Any = None  # the client of its bucket; boto3 has no types

    def stored(self) -> int:
        """Bytes of all recordings at hand."""
        if self.s3 is None:
            return sum(file.stat().st_size for file in (self.state / "recordings").rglob("*.bwr"))
        return sum(item["Size"] for page in self._pages() for item in page.get("Contents", ()))

    def drop(self) -> None:
        """Give back what they take."""
        shutil.rmtree(self.state / "recordings", ignore_errors=True)
        if self.s3 is not None:
            for page in list(self._pages()):
                for item in page.get("Contents", ()):
                    self.s3.delete_object(Bucket=BUCKET, Key=item["Key"])

    def _pages(self) -> Iterator[Mapping[str, Any]]:
        yield from self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)


@contextmanager
def ways(stage: Stage) -> Iterator[dict[str, Way]]:
    """Start the four gateways beside the stage's own."""
    overrides = json.loads((stage.state / "gateway" / "overrides.json").read_text())
    with ExitStack() as stack:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells of every request
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        stack.callback(server.stop)
        url = "http://{}:{}".format(*server.get_host_and_port())
        account = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1"}
        os.environ.update(account)
        s3, kms = client("s3", url), client("kms", url)
        s3.create_bucket(Bucket=BUCKET)
        key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        made = {}
        for name in WAYS:
            state = stage.state / f"recording-{name.replace(' ', '-')}"
            state.mkdir(mode=0o700, exist_ok=True)
            more = {"targets": {n: t | _durability(name) for n, t in overrides["targets"].items()}}
            file = state / "overrides.json"
            write_private(file, json.dumps(overrides | more).encode())
            settings = RecordingSettings(BUCKET, key, str(state), endpoint_url=url)
            environment = {**os.environ, **account, **settings.to_env(), "BENCH_RECORDER": name}
            environment["BLASTWALL_BENCH_MASKING_KEY"] = secrets.token_hex(32)
            environment = compiled_environment(ROOT, environment)
            environment["PYTHONPATH"] = os.pathsep.join(
                part for part in (environment.get("PYTHONPATH"), str(ROOT)) if part
            )
            module = "bench.recorders" if name in (OFF, S3) else "fargate_proxy"
            gateway = GatewayProcess(CONFIG, state, file, state / "gateway.log", environment, module)
            stack.callback(gateway.stop)
            gateway.start()
            port = int(gateway.listening["postgres"].rpartition(":")[2])
            route = replace(stage.routes[BLASTWALL], name=name, port=port, pid=gateway.pid, user=TARGET)
            made[name] = Way(name, route, state, s3 if name == S3 else None)
            made[name].drop()
        yield made
        for way in made.values():
            way.drop()


def _durability(name: str) -> dict[str, str]:
    return {"durability": "power_loss" if name == POWER_LOSS else "kernel"}


def statements(found: Mapping[str, Way], pace: Pace) -> list[Measure]:
    """What a statement costs: rate and processor time with several clients, time with one."""
    measures = []
    for mode in ("simple", "prepared"):
        rate = Measure(f"recording-rate-{mode}", f"point select, {mode}, {CLIENTS} clients", "/s")
        cost = Measure(f"recording-cpu-{mode}", f"gateway CPU per transaction, {mode}", "µs", decimals=1)
        time = Measure(f"recording-time-{mode}", f"query time (p50), {mode}, 1 client", "µs")
        for way in pace.interleave(found.values(), rate.name):
            environment = way.route.environment(tls=False)
            before = processor_seconds(way.route.pid)
            outcome = pgbench.run(SELECT, environment, mode=mode, clients=CLIENTS, seconds=pace.seconds)
            settle(way.state)
            rate.add(way.name, outcome.rate)
            cost.add(way.name, (processor_seconds(way.route.pid) - before) / outcome.transactions * MICRO)
            one = pgbench.run(SELECT, environment, mode=mode, seconds=max(pace.seconds / 2, 1.0), latencies=True)
            time.add(way.name, one.median)
            way.drop()
        measures += [rate, cost, time]
    return measures


def results(found: Mapping[str, Way], pace: Pace) -> list[Measure]:
    """A million rows: speed, and what stands in the recording for each byte on the wire."""
    rate = Measure("recording-bulk", f"SELECT of {BULK_ROWS:,} rows", "MB/s")
    stored = Measure("recording-stored", "bytes recorded per byte on the wire", "", decimals=3)
    for way in pace.interleave(found.values(), rate.name):
        size, speed = ask(way, BULK, BULK_ROWS)
        rate.add(way.name, speed)
        stored.add(way.name, settled(way, size) / size)
        way.drop()
    return [rate, stored]


def memory(found: Mapping[str, Way], pace: Pace, times: int = TIMES) -> list[Measure]:
    """How far the gateway's resident size rises during one small and one very large result."""
    small = Measure("recording-memory-small", "resident size added by 125 MB", "MiB", decimals=1)
    large = Measure("recording-memory-large", f"resident size added by {times * 125 / 1000:g} GB", "MiB", decimals=1)
    for measure, sql, rows in ((small, BULK, BULK_ROWS), (large, HUGE, BULK_ROWS * TIMES)):
        pace.say(measure.name)
        for way in found.values():
            reset_peak(way.route.pid)
            before, _ = resident(way.route.pid)
            ask(way, sql, rows)
            measure.add(way.name, max(resident(way.route.pid)[1] - before, 0.0))
            way.drop()
    return [small, large]


def ask(way: Way, sql: str, rows: int) -> tuple[int, float]:
    """Bytes and MB/s of one answer on a connection of its own."""
    asking = Client(way.route)
    answer = asking.ask(sql)
    asking.close()
    if answer.tag != f"SELECT {rows}":
        raise BenchFault(f"{way.name} answered {answer.tag!r}")
    return answer.size, answer.rate


def settled(way: Way, size: int) -> int:
    """Bytes of the recording, once it is where it belongs. Raises BenchFault when it does not come."""
    if way.name == OFF:
        return 0
    last = -1
    for _ in range(600):
        now = way.stored()
        spooled = way.s3 is not None and any((way.state / "recordings").rglob("*.bwr"))
        if now and now == last and not spooled:
            return now
        last = now
        threading.Event().wait(0.1)
    raise BenchFault(f"the recording of {size} bytes did not arrive in a minute")


def table(measures: Sequence[Measure]) -> str:
    """A Markdown table: medians, and for each way its ratio to recording off."""
    rows = [("measure", "unit", *WAYS, *(f"{way} / off" for way in WAYS[1:]))]
    for measure in measures:
        medians = [measure.median(way) for way in WAYS]
        shown = ["" if middle is None else f"{middle:,.{measure.decimals}f}" for middle in medians]
        compared = []
        for way in WAYS[1:]:
            spread = ratios(measure.samples.get(way, []), measure.samples.get(OFF, []))
            if spread is None or measure.unit in ("", "MiB"):
                compared.append("")
            else:
                compared.append(f"{spread.middle:.2f} ({spread.low:.2f} to {spread.high:.2f})")
        rows.append((measure.name, measure.unit, *shown, *compared))
    return aligned(rows)


def main(arguments: list[str]) -> int:
    """Exit status 0 when everything was measured, 1 when something could not be."""
    parser = argparse.ArgumentParser("python -m bench.recording", description=__doc__)
    run.options(parser, "the table")
    options = run.parsed(parser, arguments)
    pace = run.pace(options.quick)
    try:
        with Stage(options.state) as stage, ways(stage) as found:
            measures = statements(found, pace) + results(found, pace) + memory(found, pace)
            versions = f"Python {platform.python_version()}, {', '.join(stage.versions[:2])}"
        command = "python -m bench.recording" + (" --quick" if options.quick else "")
        day = datetime.datetime.now(datetime.UTC).date()
        head = f"`{command}`, {day.isoformat()}, revision {run.revision()}; {machine()}; {versions}."
        head += f"\n{run.QUICK}" if options.quick else ""
        text = f"{head}\n\n{table(measures)}"
        print(text)
        if options.write:
            run.DOCUMENT.write_text(place(run.DOCUMENT.read_text("utf-8"), text, BEGIN, END), "utf-8")
    except (Fault, OSError, subprocess.SubprocessError) as fault:
        print(f"bench: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
