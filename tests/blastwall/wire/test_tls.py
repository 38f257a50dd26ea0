"""Whom the gateway believes when it connects, tried with a real server."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from blastwall.wire.tls import BUNDLE, check_bundle, verifying
from rig.certificates import Certificates, ensure_certificates


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return ensure_certificates(tmp_path_factory.mktemp("ours"), time.time())


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return ensure_certificates(tmp_path_factory.mktemp("others"), time.time())


@pytest.fixture(scope="module")
def port(ours: Certificates) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ours.certificate, ours.key)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    accepted, _ = listening.accept()
                except OSError:
                    return
                try:
                    with accepted, context.wrap_socket(accepted, server_side=True):
                        pass
                except OSError:
                    continue

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def connect(port: int, context: ssl.SSLContext) -> None:
    plain = socket.create_connection(("127.0.0.1", port), 30)
    with plain, context.wrap_socket(plain, server_hostname="localhost"):
        pass


def test_the_bundle_is_believed_beside_the_machines_own(ours: Certificates, port: int) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(port, verifying(None, {}))
    context = verifying(None, {BUNDLE: str(ours.ca)})
    connect(port, context)
    assert len(context.get_ca_certs()) == len(verifying(None, {}).get_ca_certs()) + 1
    assert context.check_hostname and context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_target_that_names_its_authority_believes_that_one_alone(
    ours: Certificates, others: Certificates, port: int
) -> None:
    connect(port, verifying(str(ours.ca), {BUNDLE: str(others.ca)}))
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(port, verifying(str(others.ca), {BUNDLE: str(ours.ca)}))


def test_a_bundle_that_cannot_be_used_is_told_at_start(ours: Certificates, tmp_path: Path) -> None:
    check_bundle({})
    check_bundle({BUNDLE: str(ours.ca)})
    (tmp_path / "empty.pem").write_text("")
    for name in ("absent.pem", "empty.pem"):
        file = str(tmp_path / name)
        with pytest.raises(ValueError, match=f"BLASTWALL_CA_BUNDLE='{file}' holds no certificates"):
            check_bundle({BUNDLE: file})
        with pytest.raises(OSError):
            verifying(None, {BUNDLE: file})
