"""Large results, slow readers, many connections: what a client may make the gateway hold is bounded."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import psycopg

from tests.e2e.people import awaited, decide
from tests.e2e.raw import SYNC, Client, kinds, message, query, run
from tests.e2e.stacks import Stack

#: About 200 MB: 199,000 rows of a kilobyte.
LARGE = (
    "SELECT a.id, repeat('x', 1000) FROM orders AS a JOIN orders AS b ON a.id <> b.id JOIN products AS c ON c.id <= 5"
)
ROWS = 199 * 200 * 5
#: What the gateway's memory may grow by while such a result passes: buffers of two legs, TLS, the recorder's blocks.
GROWTH = 24 << 20


def memory(stack: Stack, name: str = "VmRSS") -> int:
    """Bytes, from /proc/PID/status."""
    for line in Path(f"/proc/{stack.gateway}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(name)


def forget_peak(stack: Stack) -> None:
    Path(f"/proc/{stack.gateway}/clear_refs").write_text("5")  # VmHWM starts anew (proc(5))


def descriptors(stack: Stack) -> int:
    return len(list(Path(f"/proc/{stack.gateway}/fd").iterdir()))


def test_two_hundred_megabytes_pass_without_being_held(corpus: Stack) -> None:
    with Client(corpus) as client:
        client.log_in()
        client.ask(query("SELECT 1"))
        before = memory(corpus)
        forget_peak(corpus)
        client.send(query(LARGE))
        total, tail = 0, b""
        while not tail.endswith(b"Z\0\0\0\5I"):
            data = client.sock.recv(1 << 20)
            assert data
            total += len(data)
            tail = (tail + data)[-64:]
        assert f"SELECT {ROWS}\0".encode() in tail
        assert total > ROWS * 1000
        assert memory(corpus, "VmHWM") - before < GROWTH


def test_a_reader_that_takes_nothing_makes_nobody_hold_anything(corpus: Stack) -> None:
    with Client(corpus) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.log_in()
        before = memory(corpus)
        forget_peak(corpus)
        client.send(run(LARGE), SYNC)
        seen = set()
        for _ in range(10):  # a second in all, of which the gateway needs a fraction to fill what it may fill
            time.sleep(0.1)
            seen.add(memory(corpus) >> 20)
            with Client(corpus) as other:  # and everybody else is served meanwhile
                other.log_in()
        assert memory(corpus, "VmHWM") - before < GROWTH
        assert max(seen) - min(seen) < 32, "it stands still"
        state = "SELECT wait_event FROM pg_stat_activity WHERE query = %s AND state = 'active'"
        assert corpus.direct(state, LARGE) == [("ClientWrite",)], "the database itself waits"


def test_a_copy_in_that_the_database_takes_slowly_holds_the_client_back(corpus: Stack) -> None:
    """A lock keeps the database from reading; the client cannot push more than the buffers hold."""
    copy = "COPY audit_log (what) FROM STDIN"
    with Client(corpus) as client, psycopg.connect(corpus.superuser()) as past:
        client.log_in(corpus.token("pushes"))
        client.ask(query(copy))
        decide(corpus, awaited(corpus, "pushes").request.id, "approve", "--rows", "1000000")
        past.execute("LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE")
        before = memory(corpus)
        client.send(query(copy))
        client.sock.settimeout(1.0)
        piece = message("d", b"y" * 8000 + b"\n") * 16
        pushed = 0
        try:
            while pushed < 100 << 20:
                pushed += client.sock.send(piece)
        except TimeoutError:
            pass
        assert pushed < 32 << 20
        assert memory(corpus) - before < GROWTH
        past.rollback()
    assert corpus.value("SELECT count(*) FROM audit_log WHERE what LIKE 'yyy%%'") == 0


def test_connections_leave_nothing_behind(corpus: Stack) -> None:
    token = corpus.token("visits")

    def visit() -> None:
        with Client(corpus) as client:
            client.log_in(token)
            assert kinds(client.ask(query("SELECT 1"))) == "TDCZ"

    def settled() -> int:
        count, deadline = descriptors(corpus), time.monotonic() + 10
        while time.monotonic() < deadline:
            time.sleep(0.2)
            if descriptors(corpus) == count and not corpus.value(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'corpus_agent'"
            ):
                break
            count = descriptors(corpus)
        return count

    for _ in range(5):
        visit()
    before, used = settled(), memory(corpus)
    for number in range(300):
        if number % 3 == 0:
            visit()
        elif number % 3 == 1:  # a client that hangs up in the middle
            with Client(corpus) as client:
                client.log_in(token)
                client.send(query("SELECT 1"))
        else:  # one that never says who it is
            with Client(corpus, tls=number % 2 == 0) as client:
                client.send(b"\0\0\0")
    assert settled() <= before
    assert memory(corpus) - used < 32 << 20
    assert corpus.session("visits")["connections"] == []
