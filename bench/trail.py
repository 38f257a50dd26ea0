"""``python -m bench.trail``: what audit events cost, and how long after a burst of statements they are all there.

*cost* is processor time for each event of point selects that were recorded, by the follower's own code and, as what it
is compared with, by projecting each record and writing it as JSON (which gives the same lines). *burst* is the gateway
under load from eight clients: its rate, and how long after the end the last event stands in the trail.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import pgbench, report, run
from bench.measure import BLASTWALL, Measure, Pace, machine, ratios
from bench.select import MICRO, SELECT
from bench.stage import Stage
from blastwall.audit.project import project_all
from blastwall.audit.sink import line
from blastwall.errors import Fault
from blastwall.local.audit import AuditTrail
from blastwall.local.clock import SystemClock
from blastwall.local.recorder import LocalRecorder
from blastwall.local.recordings import AUDIT, Shelf
from blastwall.model import Effect, Facts, Masked, ObjectRef, Permit, Principal, Risk, Session, Statement, Target
from blastwall.recording.reader import Reader

BEGIN, END = "<!-- bench trail: begin -->", "<!-- bench trail: end -->"
FOLLOWED, STRAIGHT = "follower", "straight"
STATEMENTS = 20_000
CLIENTS = 8


def record(state: Path, statements: int) -> None:
    """One recording of point selects that differ in their key, as pgbench sends them."""
    principal = Principal("https://idp", "subject", "agent", frozenset({"agents"}), token_id="t")
    session = Session("s-1", principal, "shop", 0.0, 4e9)
    facts = Facts(Effect.READ, "select", (ObjectRef("table", "public.accounts", "read"),), fingerprint="f" * 16)
    recorder = LocalRecorder(state, SystemClock())
    recording = recorder.open(session, Target("shop", "postgres", "db", 5432), "c-1", {})
    for number in range(1, statements + 1):
        text = f"SELECT abalance FROM accounts WHERE aid = {number};"
        recording.intent(Statement(text, number=number), facts, Permit(text, ("reads",), Risk(15)))
        recording.commit()
        recording.relayed(Masked(b"D" * 71, number, 1, "SELECT 1"))
    recording.close("the client left")
    recorder.close()


def straight(state: Path) -> int:
    """Every record projected, every event written as JSON, to the file that the trail would write."""
    (state / AUDIT).mkdir(exist_ok=True)
    made = 0
    with (state / AUDIT / "straight.jsonl").open("w", encoding="ascii") as out:
        for entry in Shelf(state).entries():
            with entry.open() as file:
                for event in project_all(Reader(file).records()):
                    out.write(line(event) + "\n")
                    made += 1
    return made


def cost(pace: Pace, statements: int = STATEMENTS) -> Measure:
    """Microseconds for each event; both read the same recording."""
    measure = Measure("trail-event", "processor time for each event", "µs", decimals=1)
    with tempfile.TemporaryDirectory() as place:
        state = Path(place)
        record(state, statements)
        works: dict[str, Callable[[], int]] = {
            STRAIGHT: lambda: straight(state),
            FOLLOWED: lambda: AuditTrail(state).catch_up(),
        }
        for way in pace.interleave(works, measure.name):
            shutil.rmtree(state / AUDIT, ignore_errors=True)
            before = time.process_time()
            made = works[way]()
            measure.add(way, (time.process_time() - before) / made * MICRO)
            if made <= statements:  # the statements, and the session's end
                raise pgbench.BenchFault(f"{made} events of {statements} statements: that is another benchmark")
    return measure


def burst(stage: Stage, pace: Pace) -> list[Measure]:
    """The rate under load, and the seconds from its end to the last event."""
    rate = Measure("trail-rate", f"point select, prepared, {CLIENTS} clients", "/s")
    late = Measure("trail-late", "from the last answer to the last event", "s", decimals=2)
    route = stage.routes[BLASTWALL]
    for _ in pace.interleave([BLASTWALL], rate.name):
        outcome = pgbench.run(
            SELECT, route.environment(tls=False), mode="prepared", clients=CLIENTS, seconds=pace.seconds
        )
        ended = time.monotonic()
        stage.settle()
        rate.add(BLASTWALL, outcome.rate)
        late.add(BLASTWALL, time.monotonic() - ended)
        stage.drop_recordings()
    return [rate, late]


def table(event: Measure, under_load: Sequence[Measure]) -> str:
    """Medians, and the follower's ratio to the straight way."""
    spread = ratios(event.samples.get(FOLLOWED, ()), event.samples.get(STRAIGHT, ()))
    rows: list[tuple[str, ...]] = [("measure", "unit", STRAIGHT, FOLLOWED, f"{FOLLOWED} / {STRAIGHT}")]
    medians = [f"{event.median(way) or 0.0:,.1f}" for way in (STRAIGHT, FOLLOWED)]
    told = "" if spread is None else f"{spread.middle:.2f} ({spread.low:.2f} to {spread.high:.2f})"
    rows.append((event.name, event.unit, *medians, told))
    for measure in under_load:
        rows.append((measure.name, measure.unit, "", f"{measure.median(BLASTWALL) or 0.0:,.{measure.decimals}f}", ""))
    return report.aligned(rows)


def main(arguments: list[str]) -> int:
    """Exit status 0 when everything was measured; 1 when something could not be."""
    parser = argparse.ArgumentParser("python -m bench.trail", description=__doc__)
    run.options(parser, "the table")
    options = run.parsed(parser, arguments)
    pace = run.pace(options.quick)
    try:
        event = cost(pace)
        with Stage(options.state) as stage:
            under_load = burst(stage, pace)
        text = f"{run.revision()}; {machine()}.\n\n{table(event, under_load)}"
        print(f"{run.QUICK}\n\n{text}" if options.quick else text)
        if options.write:
            document = run.DOCUMENT.read_text("utf-8")
            told = f"`python -m bench.trail`, revision {text}"
            run.DOCUMENT.write_text(report.place(document, told, BEGIN, END), "utf-8")
    except (Fault, OSError, subprocess.SubprocessError) as fault:
        print(f"bench.trail: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
