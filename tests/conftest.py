"""Servers that any test may ask for. They start when first asked, once per test process."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig import account
from rig.certificates import Certificates, ensure_certificates
from rig.postgres import EmbeddedPostgres


@pytest.fixture(scope="session")
def rig_directory() -> Iterator[Path]:
    """A short path that an unprivileged server can reach (pytest's own are closed to other users)."""
    directory = Path(tempfile.mkdtemp(prefix="blastwall-test-"))
    directory.chmod(0o711)
    yield directory
    account.remove_tree(directory)


@pytest.fixture(scope="session")
def certificates(rig_directory: Path) -> Certificates:
    """A local authority and a server certificate for localhost and 127.0.0.1."""
    return ensure_certificates(rig_directory / "tls", time.time())


@pytest.fixture(scope="session")
def postgres17(rig_directory: Path, certificates: Certificates) -> Iterator[EmbeddedPostgres]:
    """PostgreSQL 17, which speaks TLS with ``certificates`` (and plain text to those who do not ask)."""
    server = EmbeddedPostgres(rig_directory / "postgres17", major=17, certificates=certificates)
    with server:
        yield server
    server.destroy()


@pytest.fixture(scope="session")
def postgres18(rig_directory: Path) -> Iterator[EmbeddedPostgres]:
    """PostgreSQL 18, without TLS."""
    server = EmbeddedPostgres(rig_directory / "postgres18", major=18)
    with server:
        yield server
    server.destroy()


@pytest.fixture(scope="module")
def database17(postgres17: EmbeddedPostgres, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of an empty database of this test module's own on ``postgres17``."""
    yield from _own_database(postgres17, request)


@pytest.fixture(scope="module")
def database18(postgres18: EmbeddedPostgres, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of an empty database of this test module's own on ``postgres18``."""
    yield from _own_database(postgres18, request)


def _own_database(server: EmbeddedPostgres, request: pytest.FixtureRequest) -> Iterator[str]:
    name = request.node.path.stem[:50]
    server.drop_database(name)
    server.create_database(name)
    yield name
    server.drop_database(name)
