"""A running gateway with an embedded database behind it, as ``blastwall up`` starts it, and clients' credentials."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rig.issuer import LocalIssuer
from rig.postgres import EmbeddedPostgres
from rig.up import LocalStack

ROOT = Path(__file__).parents[2]


@dataclass
class Stack:
    """What a test of a real client needs. ``database`` is the target behind the gateway, reached without it."""

    name: str
    state: Path
    config: Path
    host: str
    port: int
    ca: str
    issuer: LocalIssuer
    database: EmbeddedPostgres
    stack: LocalStack
    agents: int = field(default=0)

    def token(self, agent: str = "", groups: tuple[str, ...] = ("agents",), **more: Any) -> str:
        """A token of a new agent, so that no test meets another's session; name one to share it."""
        self.agents += 1
        return self.issuer.mint(agent or f"agent-{self.agents}", groups, **more)

    def uri(self, database_user: str = "") -> str:
        user = f"{database_user}%40{self.name}" if database_user else self.name
        return (
            f"postgresql://{user}@{self.host}:{self.port}/{self.name}?sslmode=verify-full&sslrootcert={self.ca}"
        )

    def connect(self, token: str | None = None, **more: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(self.uri(), password=token or self.token(), **more)

    def direct(self, **more: Any) -> psycopg.Connection[Any]:
        """The database's own superuser, past the gateway: what really happened there."""
        return psycopg.connect(self.database.dsn(self.name), **more)

    def recorded(self) -> list[dict[str, Any]]:
        """Every recorded event so far, oldest first, as ``recordings play --format json`` tells them."""
        from blastwall.recording.play import as_json  # local: the recording is only read by some tests

        files = sorted((self.state / "recordings").rglob("*.bwr"), key=lambda file: file.stat().st_mtime)
        return [json.loads(line) for file in files for line in as_json(file)]


@pytest.fixture(scope="session")
def start(rig_directory: Path) -> Iterator[Callable[[Path, str], Stack]]:
    """Starts a stack from a configuration folder (copied, so that a test may change it); all end with the tests."""
    running: list[LocalStack] = []

    def begin(config: Path, target: str) -> Stack:
        home = rig_directory / f"stack-{len(running)}"
        home.mkdir(mode=0o711)
        for part in ("config", "demo"):
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, home / part, ignore=shutil.ignore_patterns("__pycache__"))
        if config != ROOT / "config":
            shutil.rmtree(home / "config")
            shutil.copytree(config, home / "config")
        local = LocalStack(home / "config", home / "state", listen={"postgres": "127.0.0.1:0"})
        found = local.start()
        running.append(local)
        host, _, port = found.listening["postgres"].rpartition(":")
        issuer = LocalIssuer.open(home / "state")
        (server,) = [item for item in local.targets if item.name == target]
        return Stack(target, home / "state", home / "config", host, int(port), found.ca, issuer, server.server, local)

    yield begin
    for local in reversed(running):
        local.stop()


@pytest.fixture(scope="session")
def shop(start: Callable[[Path, str], Stack]) -> Stack:
    """The shipped configuration."""
    return start(ROOT / "config", "shop")


@pytest.fixture(scope="session")
def corpus(start: Callable[[Path, str], Stack]) -> Stack:
    """The configuration that the statement corpus is tried against."""
    return start(ROOT / "tests" / "fixtures" / "corpus", "corpus")
