from __future__ import annotations

import time

import pytest

from bench.client import END, READY, Client
from bench.pgbench import BenchFault
from bench.stage import Route
from rig.certificates import Certificates
from rig.postgres import EmbeddedPostgres


@pytest.fixture
def route(postgres17: EmbeddedPostgres, certificates: Certificates) -> Route:
    return Route(
        "direct",
        postgres17.port,
        postgres17.superuser,
        postgres17.password,
        0,
        certificates.ca,
        database="postgres",
    )


@pytest.mark.parametrize("tls", [False, True])
def test_counts_every_byte_of_an_answer(route: Route, tls: bool) -> None:
    client = Client(route, tls=tls)
    answer = client.ask("SELECT n, repeat('x', 100) AS word FROM generate_series(1, 50000) AS n")
    assert answer.tag == "SELECT 50000"
    digits = sum(len(str(n)) for n in range(1, 50001))
    rows = 50000 * (1 + 4 + 2 + 4 + 4 + 100) + digits
    layout = 1 + 4 + 2 + len(b"n\0word\0") + 2 * 18
    assert answer.size == layout + rows + (1 + 4 + len(b"SELECT 50000\0")) + 6
    assert 0 < answer.seconds < 30
    assert client.ask("COPY (SELECT 1) TO STDOUT").tag == "COPY 1"
    client.close()


def test_a_refused_statement_is_no_answer(route: Route) -> None:
    client = Client(route)
    with pytest.raises(BenchFault, match="nosuch"):
        client.ask("SELECT nosuch")
    client.close()


def test_an_answer_ends_with_its_completion() -> None:
    assert END.search(b"D\0\0\0\x0a...C\0\0\0\x0dSELECT 1\0" + READY)
    assert not END.search(b"C\0\0\0\x0dSELECT 1\0" + READY + b"N")
    assert not END.search(b"E\0\0\0\x0dERROR\0\0" + READY)


def test_the_rate_is_in_millions_of_bytes(route: Route) -> None:
    before = time.perf_counter()
    client = Client(route)
    answer = client.ask("SELECT repeat('x', 1000000)")
    client.close()
    assert answer.rate == pytest.approx(answer.size / answer.seconds / 1e6)
    assert answer.seconds < time.perf_counter() - before
