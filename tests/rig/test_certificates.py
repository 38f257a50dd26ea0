"""The local authority: who accepts what it signs, when it is renewed, who may read its keys."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rig.certificates import Certificates, ensure_certificates, expiry

DAY = 86400.0


def handshake(ca: Path, certificate: Path, key: Path, name: str) -> None:
    """One TLS handshake over a socket pair; raises what the client raises."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    ours, theirs = socket.socketpair()

    def answer() -> None:
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        client = ssl.create_default_context(cafile=str(ca))
        client.verify_flags |= ssl.VERIFY_X509_STRICT
        client.wrap_socket(ours, server_hostname=name).close()
    finally:
        ours.close()
        thread.join(5)


@pytest.fixture
def made(tmp_path: Path) -> Certificates:
    return ensure_certificates(tmp_path / "tls", time.time())


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_a_strict_client_accepts_the_server_under_its_local_names(made: Certificates, name: str) -> None:
    handshake(made.ca, made.certificate, made.key, name)


def test_a_client_refuses_the_server_under_another_name(made: Certificates) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(made.ca, made.certificate, made.key, "example.test")


def test_a_stolen_authority_key_cannot_speak_for_another_host(made: Certificates, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    signer = serialization.load_pem_private_key((made.ca.parent / "ca.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    authority = x509.load_pem_x509_certificate(made.ca.read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    forged = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example.test")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("example.test")]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    (tmp_path / "forged.pem").write_bytes(forged.public_bytes(serialization.Encoding.PEM))
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "forged.key").write_bytes(key.private_bytes(*pem))
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
        handshake(made.ca, tmp_path / "forged.pem", tmp_path / "forged.key", "example.test")


def test_private_files_are_for_their_owner_only(made: Certificates) -> None:
    directory = made.ca.parent
    assert directory.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}
    assert modes == {"ca.pem": 0o644, "ca.key": 0o600, "server.pem": 0o600, "server.key": 0o600}


def test_nothing_changes_while_everything_is_good(made: Certificates) -> None:
    directory = made.ca.parent
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    again = ensure_certificates(directory, time.time() + 59 * DAY)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    assert again == made
    assert expiry(made.certificate) == made.expires_at


def test_the_server_certificate_is_renewed_a_month_before_it_expires_under_the_same_authority(
    made: Certificates,
) -> None:
    directory = made.ca.parent
    authority, old = made.ca.read_bytes(), made.certificate.read_bytes()
    renewed = ensure_certificates(directory, time.time() + 61 * DAY)
    assert made.ca.read_bytes() == authority
    assert made.certificate.read_bytes() != old
    assert renewed.expires_at == pytest.approx(made.expires_at + 61 * DAY, abs=60)


def test_the_authority_is_renewed_with_everything_below_it(made: Certificates) -> None:
    directory = made.ca.parent
    old = made.ca.read_bytes()
    renewed = ensure_certificates(directory, time.time() + 1800 * DAY)
    assert made.ca.read_bytes() != old
    leaf = x509.load_pem_x509_certificate(renewed.certificate.read_bytes())
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(renewed.ca.read_bytes()))


@pytest.mark.parametrize("damage", ["server.key", "server.pem", "ca.key", "ca.pem"])
def test_a_damaged_or_missing_file_is_replaced_so_that_a_client_connects_again(made: Certificates, damage: str) -> None:
    directory = made.ca.parent
    (directory / damage).write_bytes(b"-----BEGIN NOTHING-----\n")
    again = ensure_certificates(directory, time.time())
    handshake(again.ca, again.certificate, again.key, "localhost")
    (directory / damage).unlink()
    again = ensure_certificates(directory, time.time())
    handshake(again.ca, again.certificate, again.key, "localhost")
