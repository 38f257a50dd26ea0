"""Masking: scans with masked columns against the same masks written by hand, detectors against what does their work
elsewhere, and what masks add to judging a statement.

The columns of the table mean something else here than in the others; each measure says what stands under "direct".
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any
from urllib.parse import quote

from bench.client import Client
from bench.measure import BLASTWALL, DIRECT, Measure, Pace, processor_seconds
from bench.pgbench import BenchFault
from bench.stage import BULK_ROWS, CONFIG, MASKED, WATCHED, Route, Stage
from blastwall.config.bundle import load_bundle
from blastwall.masking.checks import CHECKS, TABLE
from blastwall.masking.detectors import Detectors, Tally, detectors
from blastwall.masking.plan import Plan
from blastwall.masking.spelling import pattern
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.classify import Classifier, Surroundings, classify
from blastwall.protocols.postgres.layout import PASS, SEARCH, Column
from blastwall.protocols.postgres.live import read_catalogue
from blastwall.protocols.postgres.sheet import RowSheet
from blastwall.sql.masking import with_views

SOURCE = "SELECT * FROM bench_people"
SINK = "SELECT * FROM bench_hashed"
#: What the rewrite comes to, as somebody would write it who knows the masks.
BY_HAND = "SELECT id, name, {email} AS email, {ssn} AS ssn, note FROM bench_people"
WARM = "SELECT count(*) FROM bench_people"
CHUNK = 64 * 1024
ROWS = 40_000  # of about 120 bytes that detectors look into
STATEMENTS = 400
STATEMENT = (
    "SELECT p.id, p.email, o.code FROM bench_people p JOIN bench_bulk o ON o.id = p.id WHERE p.id = {} ORDER BY o.code"
)
MICRO = 1e6


def masking(stage: Stage, pace: Pace) -> list[Measure]:
    """Rows per second of masked scans, MB/s of detectors, microseconds added to judging."""
    return [*_scans(stage, pace), *_detecting(pace), *_planning(stage, pace)]


# ------------------------------------------------------------ scans


def _scans(stage: Stage, pace: Pace) -> Iterator[Measure]:
    masked, watched = stage.masked[MASKED], stage.masked[WATCHED]
    plain = stage.routes[BLASTWALL]
    direct = stage.routes[DIRECT]
    by_hand = _by_hand(_surroundings(stage)[1].plan)
    for route in (
        direct,
        plain,
        masked,
        watched,
    ):  # catalogues are read and tables are in memory before anything counts
        Client(route).ask(WARM)
    ways: dict[str, tuple[str, tuple[Route, str], tuple[Route, str]]] = {
        "masking-rewrite": ("direct: the same by hand, through the gateway", (plain, by_hand), (masked, SOURCE)),
        "masking-source": ("direct: the same by hand", (direct, by_hand), (masked, SOURCE)),
        "masking-raw": ("direct: unmasked", (direct, SOURCE), (masked, SOURCE)),
        "masking-sink": ("hashed and faked at the gateway; direct: unmasked", (direct, SINK), (masked, SINK)),
        "masking-detectors": (
            "with detectors; direct: without, through the gateway",
            (masked, SOURCE),
            (watched, SOURCE),
        ),
    }
    for id, (words, theirs, ours) in ways.items():
        measure = Measure(id, f"{BULK_ROWS:,} rows, two columns masked; {words}", "rows/s")
        cost = Measure(f"{id}-cpu", f"proxy CPU of {words}", "ms")
        for name, (route, sql) in pace.interleave(((DIRECT, theirs), (BLASTWALL, ours)), measure.name):
            before = processor_seconds(route.pid) if route.pid else 0.0
            measure.add(name, _rows_per_second(stage, route, sql))
            if route.pid:
                cost.add(name, (processor_seconds(route.pid) - before) * 1000)
        yield measure
        yield cost


def _by_hand(plan: Plan) -> str:
    """The same masks in the columns' own places, without a sub-select."""
    sources = {
        mask.column.rpartition(".")[2]: mask.source.replace("{}", mask.column.rpartition(".")[2])
        for masks in plan.relations.values()
        for mask in masks.values()
        if mask.column.startswith("public.bench_people.")
    }
    return BY_HAND.format(**sources)


def _rows_per_second(stage: Stage, route: Route, sql: str) -> float:
    client = Client(route)
    answer = client.ask(sql)
    client.close()
    if answer.tag != f"SELECT {BULK_ROWS}":
        raise BenchFault(f"{route.name} answered {answer.tag!r} where {BULK_ROWS} rows were expected")
    stage.drop_recordings()
    return BULK_ROWS / answer.seconds


# ------------------------------------------------------------ detectors


def _detecting(pace: Pace) -> Iterator[Measure]:
    """MB/s over result rows: this engine, the standard library's re, and Presidio's recognisers where installed."""
    engine = detectors()
    assert engine is not None, "on by default"
    ways: dict[str, Callable[[Sequence[bytes]], int]] = {
        DIRECT: _with_re,
        BLASTWALL: lambda chunks: _with_ours(engine, chunks),
    }
    presidio = _presidio()
    for id, words, every in (
        ("detectors-rare", "a value in 1 % of rows", 100),
        ("detectors-every", "a value in every row", 1),
    ):
        chunks, values = _chunks(every)
        size = sum(map(len, chunks))
        measure = Measure(id, f"detectors, {words}; direct: stdlib re", "MB/s", decimals=1)
        peer = Measure(
            f"{id}-presidio", f"detectors, {words}; direct: Presidio's pattern recognisers", "MB/s", decimals=2
        )
        for name in pace.interleave(ways, measure.name):
            measure.add(name, size / _timed(ways[name], chunks, values) / 1e6)
        yield measure
        if presidio is not None:
            few, found = _chunks(every, ROWS // 100)
            for name in pace.interleave((DIRECT, BLASTWALL), peer.name):
                way = presidio if name == DIRECT else ways[BLASTWALL]
                peer.add(name, sum(map(len, few)) / _timed(way, few, found) / 1e6)
            yield peer


def _timed(search: Callable[[Sequence[bytes]], int], chunks: Sequence[bytes], values: int) -> float:
    start = time.perf_counter()
    found = search(chunks)
    seconds = time.perf_counter() - start
    if found < values:
        raise BenchFault(f"{found} values were found where {values} are: that is another benchmark")
    return seconds


def _chunks(every: int, count: int = ROWS) -> tuple[list[bytes], int]:
    """Result rows in chunks as the gateway sees them, and how many of them hold a mail address."""
    rows: list[bytes] = []
    for n in range(count):
        note = f"write to person.{n}@example.com" if n % every == 0 else "nothing that anybody would look for "
        cells = (str(n), f"customer {n * 7919:032x}", "2026-11-22 10:00:00+00", note, f"{n * 37 % 9973}.50")
        rows.append(messages.data_row([cell.encode() for cell in cells]))
    size = CHUNK // len(rows[0])
    return [b"".join(rows[at : at + size]) for at in range(0, count, size)], len(range(0, count, every))


def _with_ours(engine: Detectors, chunks: Sequence[bytes]) -> int:
    columns = [Column(PASS), Column(SEARCH), Column(PASS), Column(SEARCH), Column(PASS)]
    sheet = RowSheet(columns, engine, lambda mask, text: text, lambda kind, mode: None)
    return sum(sheet.masked(chunk)[1] for chunk in chunks)


_RE = re.compile(
    b"|".join(
        b"(?P<%s>%s)" % (name.encode(), pattern(kind["exact"]).replace(b"(", b"(?:").replace(b"(?:?", b"(?"))
        for name, kind in TABLE["kinds"].items()
        if kind["mode"] == "mask" and name != "aws_secret_key"
    )
)


def _with_re(chunks: Sequence[bytes]) -> int:
    """The same kinds as one alternation of the standard library, with the same checks."""
    tally = Tally()
    for chunk in chunks:
        for found in _RE.finditer(chunk):
            kind = found.lastgroup or ""
            check = TABLE["kinds"][kind].get("check")
            tally.masked[kind] += 1 if check is None else len(list(CHECKS[check](chunk, *found.span())))
    return tally.masked.total()


def _presidio() -> Callable[[Sequence[bytes]], int] | None:
    """Microsoft Presidio's pattern recognisers for the same kinds; None where it is not installed."""
    try:
        known: Any = import_module("presidio_analyzer.predefined_recognizers")
    except ImportError:
        return None
    recognizers = [
        getattr(known, name)()
        for name in ("EmailRecognizer", "CreditCardRecognizer", "UsSsnRecognizer", "IbanRecognizer", "PhoneRecognizer")
    ]

    def search(chunks: Sequence[bytes]) -> int:
        found = 0
        for chunk in chunks:
            text = chunk.decode("latin-1")
            for recognizer in recognizers:
                found += len(recognizer.analyze(text, recognizer.supported_entities, None))
        return found

    return search


# ------------------------------------------------------------ planning


def _planning(stage: Stage, pace: Pace) -> Iterator[Measure]:
    """Microseconds of judging one statement: new to the gateway, and known to it."""
    plain, masked = _surroundings(stage)
    texts = [STATEMENT.format(n) for n in range(STATEMENTS)]
    new = Measure("planning-new", "judging a new statement over masked columns; direct: without masks", "µs")
    for name in pace.interleave((DIRECT, BLASTWALL), new.name):
        around = masked if name == BLASTWALL else plain
        start = time.perf_counter()
        for text in texts:
            classify(text, around)
        new.add(name, (time.perf_counter() - start) / STATEMENTS * MICRO)
    yield new
    known = Measure(
        "planning-known", "judging a known statement over masked columns; direct: without masks", "µs", decimals=2
    )
    classifier = Classifier()
    for name in pace.interleave((DIRECT, BLASTWALL), known.name):
        around = masked if name == BLASTWALL else plain
        classifier.classify(texts[0], around)
        start = time.perf_counter()
        for _ in range(STATEMENTS * 100):
            classifier.classify(texts[0], around)
        known.add(name, (time.perf_counter() - start) / STATEMENTS / 100 * MICRO)
    yield known
    if classify(texts[0], masked).masked is None:
        raise BenchFault("the statement was not masked: that is another benchmark")


def _surroundings(stage: Stage) -> tuple[Surroundings, Surroundings]:
    route = stage.routes[DIRECT]
    url = f"postgresql://{route.user}:{quote(route.password, safe='')}@{route.host}:{route.port}/{route.database}"
    catalogue = read_catalogue(f"{url}?sslmode=verify-full&sslrootcert={quote(str(route.ca), safe='')}")
    rules = load_bundle(CONFIG).targets[MASKED].masking
    plan: Plan = with_views(rules.plan(catalogue), catalogue)
    plain = Surroundings(catalogue=catalogue, server_version=catalogue.server_version)
    return plain, Surroundings(catalogue=catalogue, server_version=catalogue.server_version, plan=plan)
