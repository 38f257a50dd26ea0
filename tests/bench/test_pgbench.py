from __future__ import annotations

import pytest

from bench.pgbench import BenchFault, Outcome, read_median, read_outcome, run
from rig.postgres import EmbeddedPostgres

OUTPUT = """\
pgbench (17.10)
transaction type: script.sql
scaling factor: 1
query mode: prepared
number of clients: 8
number of threads: 2
maximum number of tries: 1
duration: 4 s
number of transactions actually processed: 120345
number of failed transactions: 0 (0.000%)
latency average = 0.265 ms
initial connection time = 21.520 ms
tps = 30123.456789 (without initial connection time)
"""


def test_reads_transactions_and_their_rate() -> None:
    assert read_outcome(OUTPUT, 12.5) == Outcome(120345, 30123.456789, 12.5)


def test_reads_the_rate_with_connecting() -> None:
    text = OUTPUT.replace(
        "tps = 30123.456789 (without initial connection time)",
        "average connection time = 9.121 ms\ntps = 99.500000 (including reconnection times)",
    )
    assert read_outcome(text).rate == 99.5


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tps = 30123.456789 (without initial connection time)\n", ""),
        ("number of transactions actually processed: 120345\n", ""),
        ("number of failed transactions: 0", "number of failed transactions: 3"),
        ("actually processed: 120345", "actually processed: 0"),
    ],
)
def test_a_run_that_proves_nothing_is_a_fault(old: str, new: str) -> None:
    assert old in OUTPUT
    with pytest.raises(BenchFault):
        read_outcome(OUTPUT.replace(old, new))


def test_the_median_is_of_the_logs_third_column() -> None:
    log = "0 1 300 0 1700000000 1\n0 2 100 0 1700000000 2\n1 1 200 0 1700000000 3\n"
    assert read_median(log) == 200
    with pytest.raises(BenchFault):
        read_median("")


def test_runs_against_a_server(postgres17: EmbeddedPostgres) -> None:
    environment = {
        "PGHOST": postgres17.host,
        "PGPORT": str(postgres17.port),
        "PGUSER": postgres17.superuser,
        "PGPASSWORD": postgres17.password,
        "PGDATABASE": "postgres",
    }
    slow = run("SELECT pg_sleep(0.002);\n", environment, mode="prepared", seconds=1, latencies=True)
    assert slow.transactions > 1
    assert 2_000 <= slow.median < 1e6, "microseconds: the statement sleeps for two thousand of them"
    outcome = run("SELECT 1;\n", environment, mode="prepared", seconds=1)
    assert run("SELECT 1;\n", environment, clients=2, seconds=1, reconnect=True).rate < outcome.rate
    assert run("SELECT 1;\n", environment, clients=3, once=True).transactions == 3
    with pytest.raises(BenchFault, match="nosuch"):
        run("SELECT nosuch;\n", environment, seconds=1)
