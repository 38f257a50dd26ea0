"""SQL of a stranger: one SELECT over the events, and nothing of the machine."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from blastwall.errors import ClientFault
from blastwall.local.query import ask


def write(directory, *events, day="2026-11-22"):
    directory.mkdir(exist_ok=True)
    with (directory / f"{day}.jsonl").open("a") as file:
        for event in events:
            file.write(json.dumps(event) + "\n")


def event(number, **more):
    return {"metadata": {"uid": f"r-{number}"}, "time": 1_795_000_000_000 + number, **more}


def values(directory, sql, **options):
    return [row[0] for row in ask(directory, sql, **options).rows]


def test_each_event_once_with_its_partitions(tmp_path):
    write(tmp_path, event(1), event(2), event(1))
    with (tmp_path / "2026-11-22.jsonl").open("a") as file:
        file.write('{"time": 3, "half\n')
    write(tmp_path, event(3))
    assert values(tmp_path, "SELECT metadata.uid FROM audit_events ORDER BY 1") == ["r-1", "r-2", "r-3"]
    assert ask(tmp_path, "SELECT DISTINCT dt, hour FROM audit_events").rows == (("2026-11-18", "11"),)


def test_no_events_is_an_empty_table(tmp_path):
    assert values(tmp_path / "none", "SELECT count(*) FROM audit_events") == [0]


def test_only_the_days_that_were_asked_for_are_read(tmp_path):
    write(tmp_path, event(1), day="2026-11-20")
    write(tmp_path, event(2), day="2026-11-21")
    (tmp_path / "other.jsonl").write_text("not a day\n")
    assert values(tmp_path, "SELECT metadata.uid FROM audit_events", since="2026-11-21") == ["r-2"]


def test_rows_are_limited_and_it_says_so(tmp_path):
    write(tmp_path, *(event(number) for number in range(10)))
    found = ask(tmp_path, "SELECT 1 AS one FROM audit_events", limit=4)
    assert (found.columns, len(found.rows), found.more) == (("one",), 4, True)
    assert not ask(tmp_path, "SELECT 1 FROM audit_events", limit=10).more


def test_the_functions_of_athena_that_the_documentation_uses(tmp_path):
    write(tmp_path, event(1, privileges=["a", "b"]))
    sql = (
        "SELECT array_join(privileges, ', '), regexp_like('abc', 'b'), cardinality(privileges), "
        "(SELECT approx_distinct(metadata.uid) FROM audit_events), CAST(from_iso8601_timestamp('2026-11-22T10:00:00.000Z') AS VARCHAR) FROM audit_events"
    )
    (row,) = ask(tmp_path, sql).rows
    assert row[:4] == ("a, b", True, 2, 1)
    assert row[4].startswith("2026-11-22")


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "SELECT 1; SELECT 2",
        "CREATE TABLE x AS SELECT 1",
        "INSERT INTO audit_events (time) VALUES (1)",
        "DELETE FROM audit_events",
        "UPDATE audit_events SET time = 0",
        "DROP TABLE audit_events",
        "COPY (SELECT 1) TO '{out}'",
        "COPY audit_events FROM '{secret}'",
        "ATTACH '{out}'",
        "EXPORT DATABASE '{out}'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET memory_limit = '99GB'",
        "RESET enable_external_access",
        "PRAGMA enable_external_access",
        "EXPLAIN ANALYZE SELECT 1",
        "SELECT * FROM read_csv('{secret}')",
        "SELECT * FROM read_text('{secret}')",
        "SELECT * FROM read_blob('{secret}')",
        "SELECT * FROM read_json('{secret}')",
        "SELECT * FROM read_parquet('https://example.com/x')",
        "SELECT * FROM '{secret}'",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM sniff_csv('{secret}')",
        "SELECT * FROM sqlite_scan('{secret}', 'x')",
        "SELECT getenv('HOME')",
        "SELECT * FROM files",
        "SELECT * FROM columns",
        "WITH x AS (SELECT * FROM read_text('{secret}')) SELECT * FROM x",
        "SELECT (SELECT content FROM read_text('{secret}'))",
        "SELECT nothing FROM audit_events",
    ],
)
def test_everything_but_a_select_over_the_events_is_refused(tmp_path, sql):
    secret, out = tmp_path / "secret.csv", tmp_path / "out.db"
    secret.write_text("planted,secret\n1,2\n")
    write(tmp_path / "audit", event(1))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ClientFault) as refused:
        ask(tmp_path / "audit", sql.format(secret=secret, out=out))
    assert "planted" not in str(refused.value)
    assert sorted(tmp_path.rglob("*")) == before
    assert values(tmp_path / "audit", "SELECT metadata.uid FROM audit_events") == ["r-1"]


def test_time_is_limited(tmp_path):
    started = time.monotonic()
    with pytest.raises(ClientFault, match=r"more than 0\.3 s"):
        ask(tmp_path, "SELECT count(*) FROM range(1000000000) a, range(1000) b", seconds=0.3)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("seconds", [0.01, 0.03, 0.05, 0.5], ids=str)
def test_ctrl_c_is_no_failure_of_the_query(tmp_path, seconds):
    """Nor while the engine is loaded, which takes some hundredths of a second."""
    script = (
        "import os, pathlib, signal, sys, threading\n"
        "from blastwall.local.query import ask\n"
        f"alarm = threading.Timer({seconds}, os.kill, (os.getpid(), signal.SIGINT))\n"
        "try:\n"
        "    alarm.start()\n"
        "    ask(pathlib.Path(sys.argv[1]), 'SELECT count(*) FROM range(1000000000) a, range(1000) b', seconds=600)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


def test_memory_is_limited(tmp_path):
    with pytest.raises(ClientFault, match=r"of memory|more than"):
        ask(tmp_path, "SELECT list(repeat('x', 1000) || a.range) FROM range(50000000) a", seconds=4)
