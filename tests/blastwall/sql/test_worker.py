"""Workers: they die, hang and run out of memory alone, and the next statement finds a new one."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from blastwall.sql import grammar, worker
from blastwall.sql.grammar import Unparsed
from blastwall.sql.limits import LIMITS, Limits
from blastwall.sql.worker import Pool

#: Lets through what the limits exist to stop, so that the worker meets it.
BLIND = replace(
    LIMITS,
    comment_openings=1 << 30,
    operator_run=1 << 20,
    nesting=1 << 30,
    structure_tokens=1 << 30,
    all_tokens=1 << 30,
)
STALLING = b"/*" * 60_000 + b"SELECT 1"
MakePool = Callable[[Limits], Pool]


@pytest.fixture
def pool_of() -> Iterator[MakePool]:
    pools: list[Pool] = []

    def make(limits: Limits) -> Pool:
        pools.append(Pool(limits))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def only_child(pool: Pool) -> worker._Child:
    (child,) = pool._children
    return child


def test_a_worker_parses_and_is_used_again(pool_of: MakePool) -> None:
    pool = pool_of(LIMITS)
    parsed = pool.parse(b"SELECT 0x1F")
    assert grammar.decode(parsed.data).stmts[0].stmt.HasField("select_stmt")
    assert parsed.fingerprint == grammar.fingerprint(b"SELECT 1")
    assert parsed.modern_numbers
    first = only_child(pool).process.pid
    assert not pool.parse(b"SELECT 2").modern_numbers
    assert pool.deparse(grammar.parse(b"select 1")) == "SELECT 1"
    assert pool.rename(b"EXECUTE a", {"a": "b"}, {}) == "EXECUTE b"
    assert only_child(pool).process.pid == first


def test_a_stalling_text_is_cut_off_at_the_deadline(pool_of: MakePool) -> None:
    pool = pool_of(replace(BLIND, worker_seconds=0.5))
    pool.start()
    child = only_child(pool)
    started = time.monotonic()
    with pytest.raises(Unparsed) as caught:
        pool.parse(STALLING)
    assert 0.4 < time.monotonic() - started < 3
    assert caught.value.code == "54001"
    assert child.process.returncode == -signal.SIGKILL
    assert pool.parse(b"SELECT 1").data


def test_a_worker_whose_parent_forgets_it_ends_itself(pool_of: MakePool) -> None:
    pool = pool_of(replace(BLIND, worker_seconds=0.2))
    pool.start()
    child = only_child(pool)
    with pytest.raises(EOFError):
        child.ask(b"p", STALLING, 30)
    assert child.process.wait(5) == -signal.SIGALRM


def test_a_crash_in_the_library_is_a_refusal_and_a_new_worker(pool_of: MakePool) -> None:
    pool = pool_of(replace(BLIND, worker_stack_bytes=1 << 20))
    pool.start()
    child = only_child(pool)
    with pytest.raises(Unparsed) as caught:
        pool.parse(b"SELECT " + b"1+" * 30_000 + b"1")
    assert caught.value.code == "54001"
    assert child.process.returncode == -signal.SIGSEGV
    assert pool.parse(b"SELECT 1").data


def test_the_same_chain_fits_the_stack_that_workers_have(pool_of: MakePool) -> None:
    assert pool_of(BLIND).parse(b"SELECT " + b"1+" * 30_000 + b"1").data


def test_memory_is_bounded(pool_of: MakePool) -> None:
    pool = pool_of(replace(BLIND, worker_memory_bytes=64 << 20, worker_seconds=20.0))
    with pytest.raises(Unparsed):
        pool.parse(b"SELECT " + b"1," * 500_000 + b"1")
    assert pool.parse(b"SELECT 1").data


def test_an_answer_has_a_limit(pool_of: MakePool) -> None:
    pool = pool_of(replace(LIMITS, worker_answer_bytes=1000))
    with pytest.raises(Unparsed):
        pool.parse(b"SELECT " + b"a," * 500 + b"a")
    assert pool.parse(b"SELECT 1").data


def test_a_worker_that_died_idle_costs_no_statement(pool_of: MakePool) -> None:
    pool = pool_of(LIMITS)
    pool.start()
    child = only_child(pool)
    os.kill(child.process.pid, signal.SIGKILL)
    child.process.wait()
    assert pool.parse(b"SELECT 1").data


def test_a_worker_that_is_killed_while_it_parses_costs_no_statement(
    pool_of: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine short of memory ends processes; what the text does to its worker it does to the next one, too."""
    pool = pool_of(LIMITS)
    pool.start()
    real, killed = worker._Child.ask, []

    def ask(child: worker._Child, operation: bytes, payload: bytes, seconds: float) -> tuple[bytes, bytes]:
        if payload and not killed:
            killed.append(child)
            os.kill(child.process.pid, signal.SIGKILL)
            child.process.wait()
        return real(child, operation, payload, seconds)

    monkeypatch.setattr(worker._Child, "ask", ask)
    assert pool.parse(b"SELECT 1").data
    assert killed and only_child(pool) is not killed[0]


def test_workers_are_renewed(pool_of: MakePool) -> None:
    pool = pool_of(replace(LIMITS, worker_requests=3))
    seen = set()
    for _ in range(4):
        assert pool.parse(b"SELECT 1").data
        seen |= {child.process.pid for child in pool._children}
    assert len(seen) > 1


def test_two_statements_parse_side_by_side_and_no_third_process_starts(pool_of: MakePool) -> None:
    pool = pool_of(LIMITS)
    with ThreadPoolExecutor(4) as threads:
        assert all(parsed.data for parsed in threads.map(pool.parse, [b"SELECT 1"] * 12))
    assert 1 <= len(pool._children) <= LIMITS.worker_processes


def test_a_busy_pool_says_so(pool_of: MakePool) -> None:
    pool = pool_of(replace(LIMITS, worker_processes=1, worker_start_seconds=0.1))
    taken = pool._idle.get_nowait()
    with pytest.raises(Unparsed) as caught:
        pool.start()
    assert caught.value.code == "53000"
    pool._idle.put(taken)


def test_limits_hold_in_the_worker(pool_of: MakePool) -> None:
    pool = pool_of(replace(LIMITS, all_tokens=10, structure_tokens=4))
    for text, said in ((b"SELECT 1,1,1,1,1,1", "tokens"), (b"SELECT a+b+c", "keywords"), (b"/*" * 501, "comments")):
        with pytest.raises(Unparsed, match=said) as caught:
            pool.parse(text)
        assert caught.value.code == "54000"
    assert pool.parse(b"SELECT 1,1,1,1").data


def test_a_worker_sees_nothing_of_its_parent(pool_of: MakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLASTWALL_SECRET", "hunter2")
    pool = pool_of(LIMITS)
    with Path(__file__).open("rb") as opened:
        os.set_inheritable(opened.fileno(), True)
        pool.start()
        proc = Path(f"/proc/{only_child(pool).process.pid}")
        assert b"hunter2" not in (proc / "environ").read_bytes()
        targets = {str(link.readlink()) for link in (proc / "fd").iterdir()}
    assert __file__ not in targets
    assert len([target for target in targets if target.startswith("socket:")]) == 1


def test_closing_ends_the_workers_and_what_they_do(pool_of: MakePool) -> None:
    pool = pool_of(replace(BLIND, worker_seconds=30.0))
    pool.start()
    child = only_child(pool)
    asked, ask = threading.Event(), child.ask
    child.ask = lambda *request: asked.set() or ask(*request)
    with ThreadPoolExecutor(1) as threads:
        stalled = threads.submit(pool.parse, STALLING)
        assert asked.wait(10)
        pool.close()
        assert isinstance(stalled.exception(timeout=5), Unparsed)
    assert child.process.returncode is not None
    with pytest.raises(Unparsed) as caught:
        pool.parse(b"SELECT 1")
    assert caught.value.code == "57P01"
    pool.close()


async def test_parse_async(pool_of: MakePool) -> None:
    assert (await pool_of(LIMITS).parse_async(b"SELECT 1")).data


def test_there_is_one_shared_pool() -> None:
    assert worker.shared() is worker.shared()
    first = worker.shared()
    first.close()
    assert worker.shared() is not first and not worker.shared().closed
