"""Large results: a million rows by SELECT and by COPY, and what the gateway's memory does meanwhile."""

from __future__ import annotations

from bench.client import Client
from bench.measure import BLASTWALL, DIRECT, Measure, Pace, reset_peak, resident
from bench.pgbench import BenchFault
from bench.stage import BULK_ROWS, Route, Stage

SELECT = "SELECT id, code, name, note FROM bench_bulk"
COPY = "COPY bench_bulk TO STDOUT"
#: Eight times the rows: about 1 GB.
TIMES = 8
HUGE = f"SELECT b.id, b.code, b.name, b.note FROM bench_bulk AS b, generate_series(1, {TIMES})"


def bulk(stage: Stage, pace: Pace) -> list[Measure]:
    """MB/s by SELECT and COPY, then the memory that 125 MB and 1 GB took."""
    select = Measure("bulk-select", f"SELECT of {BULK_ROWS:,} rows", "MB/s")
    copy = Measure("bulk-copy", f"COPY of {BULK_ROWS:,} rows to stdout", "MB/s")
    sizes: dict[tuple[str, str], int] = {}
    for measure, sql, tag in ((select, SELECT, "SELECT"), (copy, COPY, "COPY")):
        _ask(stage, stage.routes[DIRECT], sql, f"{tag} {BULK_ROWS}")  # caches fill before anything counts
        for route in pace.interleave(stage.routes.values(), measure.name):
            size, rate = _ask(stage, route, sql, f"{tag} {BULK_ROWS}")
            measure.add(route.name, rate)
            if sizes.setdefault((measure.id, DIRECT), size) != size:
                raise BenchFault(f"{route.name}: {size} bytes where the direct way gave {sizes[measure.id, DIRECT]}")
    return [select, copy, *_memory(stage, pace)]


def _ask(stage: Stage, route: Route, sql: str, tag: str) -> tuple[int, float]:
    """Bytes and MB/s of one answer on a connection of its own. Through the gateway it must have been recorded."""
    client = Client(route)
    answer = client.ask(sql)
    client.close()
    if answer.tag != tag:
        raise BenchFault(f"{route.name} answered {answer.tag!r} where {tag!r} was expected")
    if route.name == BLASTWALL:
        recorded = stage.recorded()
        if recorded < answer.size:
            raise BenchFault(f"only {recorded} of {answer.size} bytes were recorded: that is another benchmark")
        stage.drop_recordings()
    return answer.size, answer.rate


def _memory(stage: Stage, pace: Pace) -> list[Measure]:
    """How far the gateway's resident size rises above where it stood, during one result."""
    found = []
    route = stage.routes[BLASTWALL]
    for id, words, sql, rows in (
        ("memory-small", "resident size added by 125 MB", SELECT, BULK_ROWS),
        ("memory-large", "resident size added by 1 GB", HUGE, BULK_ROWS * TIMES),
    ):
        measure = Measure(id, words, "MiB", decimals=1)
        pace.say(words)
        reset_peak(route.pid)
        before, _ = resident(route.pid)
        _ask(stage, route, sql, f"SELECT {rows}")
        measure.add(BLASTWALL, resident(route.pid)[1] - before)
        found.append(measure)
    return found
