"""Stacks that tests of real clients share. Each starts when first asked for, once per test process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browser import find
from tests.e2e.hosts import Agent, arrive
from tests.e2e.raw import ORDERS, Client
from tests.e2e.stacks import ROOT, Change, Stack, begin, on_the_database_of

#: The pages' own tests need a browser: tools/browser.sh gets one where it can, and says so where it cannot.
collect_ignore = [] if find() else ["test_page.py", "test_saml_page.py"]

CORPUS = ROOT / "tests" / "fixtures" / "corpus"

TEST_SECONDS = 60.0

Start = Callable[..., Stack]


@pytest.fixture(scope="session")
def stacks() -> list[Stack]:
    """Those that run."""
    return []


@pytest.fixture(scope="session")
def start(rig_directory: Path, stacks: list[Stack]) -> Iterator[Start]:
    """Starts a stack of a configuration folder: ``start(name, config, target, change)``. All end with the tests."""

    def start(
        name: str,
        config: Path,
        target: str,
        change: Change | None = None,
        *,
        protocol: str = "postgres",
        masked: bool = True,
    ) -> Stack:
        stack = begin(rig_directory / name, config, target, change, protocol=protocol, masked=masked)
        stacks.append(stack)
        return stack

    yield start
    for stack in reversed(stacks):
        stack.stop()


@pytest.fixture(scope="session")
def shop(start: Start) -> Stack:
    """The shipped configuration, without its masks: what clients receive is held against the database."""
    return start("shop", ROOT / "config", "shop", masked=False)


@pytest.fixture(scope="session")
def variants(start: Start, shop: Stack) -> Stack:
    """Targets that differ from the shop in one thing each, on the shop's own database.

    ``brief`` holds for a second, ``small`` has small budgets, ``watched`` is in observe mode,
    ``watched-small`` is both.
    """

    def differ(document: dict[str, Any]) -> None:
        base = on_the_database_of(shop, document)
        document["targets"] = {
            "brief": base | {"hold_seconds": 1.0},
            "small": base | {"budgets": {"rows": 100, "statements": 12, "bytes": 100_000}},
            "watched": base | {"mode": "observe"},
            "watched-small": base | {"mode": "observe", "budgets": {"rows": 100, "bytes": 100_000}},
        }

    return start("variants", ROOT / "config", "brief", differ, masked=False)


@pytest.fixture(scope="session")
def corpus(start: Start) -> Stack:
    """The configuration that the statement corpus is tried against; nobody waits there for a person.

    The gateway's own user is a superuser (schema.sql): nothing but the gateway keeps an attack from its aim.
    """

    def at_once(document: dict[str, Any]) -> None:
        document["targets"]["corpus"]["hold_seconds"] = 0.0

    return start("corpus", CORPUS, "corpus", at_once)


@pytest.fixture(scope="session")
def hosts(start: Start) -> Stack:
    """An OpenSSH host behind the gateway."""
    return start("hosts", ROOT / "tests" / "fixtures" / "ssh", "web", protocol="ssh")


@pytest.fixture
def agent(hosts: Stack, tmp_path: Path) -> Agent:
    """A new agent with a certificate for the host."""
    return arrive(hosts, tmp_path / "ssh")


@pytest.fixture
def client(corpus: Stack) -> Iterator[Client]:
    with Client(corpus) as client:
        client.log_in()
        yield client
    assert corpus.value("SELECT count(*) FROM orders") == ORDERS


@pytest.fixture
def shopper(shop: Stack) -> Iterator[Client]:
    """Where putting session state back (DEALLOCATE, DISCARD) is permitted."""
    with Client(shop) as client:
        client.log_in()
        yield client
    assert shop.value("SELECT count(*) FROM orders") == 1000


@pytest.fixture(autouse=True)
def in_time(request: pytest.FixtureRequest) -> Iterator[None]:
    """No client waits for ever; a module may say ``TEST_SECONDS`` itself."""
    seconds: float = getattr(request.module, "TEST_SECONDS", TEST_SECONDS)

    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"a test of a client took more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def sound(stacks: list[Stack]) -> Iterator[None]:
    """Whatever a client does, the gateway meets no defect of its own: its log says nothing of one."""
    read = {stack.state: len(stack.log) for stack in stacks}
    yield
    for stack in stacks:
        said = stack.log[read.get(stack.state, 0) :]
        assert "defect" not in said and "Traceback" not in said, said
