"""The doctor knocks at targets: who is not there, is somebody else, or has no secret here, is said with what to do."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from blastwall.config.bundle import Bundle, load_bundle
from blastwall.findings import Finding, Verdict
from cli import reach
from rig.certificates import Certificates
from rig.postgres import EmbeddedPostgres

CONFIG = Path(__file__).parents[2] / "config"


@contextmanager
def saying(words: bytes) -> Iterator[int]:
    """A port that says so to whoever connects, and then hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer, suppress(ConnectionError):
                    peer.sendall(words)
                    peer.recv(64)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def bundle(place: Path, **shop: Any) -> Bundle:
    """The shipped configuration with another target; its credential is a password that is nowhere."""
    config = place / "config"
    if not config.exists():
        shutil.copytree(CONFIG, config)
        gateway = config / "gateway.yaml"
        gateway.write_text(gateway.read_text().partition("    local:")[0])
    static = {"kind": "static", "user": "u", "password_env": "NO_SUCH_VARIABLE"}
    return load_bundle(config, {"targets": {"shop": {"credential": [static], "tls": {"mode": "verify-full"}, **shop}}})


def looked(place: Path, **shop: Any) -> list[Finding]:
    return list(reach.targets(bundle(place, **shop), running=False))


def test_a_server_whose_certificate_is_trusted(
    tmp_path: Path, postgres17: EmbeddedPostgres, certificates: Certificates
) -> None:
    tls = {"mode": "verify-full", "ca_file": str(certificates.ca)}
    there, variable = looked(tmp_path, port=postgres17.port, tls=tls)
    assert there.verdict is Verdict.OK and "certificate that is trusted" in there.found
    assert variable.verdict is Verdict.WARN and "NO_SUCH_VARIABLE" in variable.advice


def test_a_server_whose_certificate_is_not(tmp_path: Path, postgres17: EmbeddedPostgres) -> None:
    there = looked(tmp_path, port=postgres17.port)[0]
    assert there.verdict is Verdict.FAIL and "ca_file" in there.advice


def test_a_server_without_tls(tmp_path: Path, postgres18: EmbeddedPostgres) -> None:
    there = looked(tmp_path, port=postgres18.port)[0]
    assert there.verdict is Verdict.FAIL and "no TLS" in there.found
    there = looked(tmp_path, port=postgres18.port, tls={"mode": "disable"})[0]
    assert there.verdict is Verdict.OK


def test_nobody_is_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    there = looked(tmp_path, port=port)[0]
    assert there.verdict is Verdict.FAIL and "refused" in there.found and "targets.shop.host" in there.advice


def test_a_password_file_that_is_missing_or_empty(tmp_path: Path) -> None:
    file = tmp_path / "password"
    credential = [{"kind": "static", "user": "u", "password_file": str(file)}]
    missing = looked(tmp_path, port=1, credential=credential)[1]
    file.write_text("\n")
    empty = looked(tmp_path, port=1, credential=credential)[1]
    file.write_text("word\n")
    assert [missing.verdict, empty.verdict] == [Verdict.FAIL, Verdict.FAIL] and "empty" in empty.found
    assert len(looked(tmp_path, port=1, credential=credential)) == 1


def test_local_targets_are_looked_at_only_while_they_run(postgres18: EmbeddedPostgres) -> None:
    shop = {"port": postgres18.port}
    shipped = load_bundle(CONFIG, {"targets": {"shop": shop}})
    assert not list(reach.targets(shipped, running=False))
    assert next(iter(reach.targets(shipped, running=True))).verdict is Verdict.OK


def test_an_ssh_server_is_known_by_its_first_word() -> None:
    with saying(b"SSH-2.0-x\r\n") as port:
        reach.greet_ssh("127.0.0.1", port)
    with saying(b"HTTP/1.1 400\r\n") as port, pytest.raises(ValueError, match="no SSH server"):
        reach.greet_ssh("127.0.0.1", port)


def test_tls_that_is_none_is_no_greeting() -> None:
    with saying(b"N") as port, pytest.raises(ValueError, match="no TLS"):
        reach.greet("127.0.0.1", port, ssl.create_default_context(), postgres=True)
