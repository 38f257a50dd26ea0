"""A local certificate authority and one server certificate, for loopback only.

Files in one directory: ``ca.pem`` (clients trust it), ``ca.key``, ``server.pem``, ``server.key``; all 0600 but
``ca.pem``, which is public. The authority is constrained to localhost and 127.0.0.0/8 (RFC 5280, 4.2.1.10), so a copied
``ca.key`` cannot speak for any other host. EC P-256 throughout.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS = 1825
SERVER_DAYS = 90
RENEW_DAYS = 30  # replaced when it would expire within this many days
BACKDATE = datetime.timedelta(minutes=5)  # a client's clock may lag


@dataclass(frozen=True, slots=True)
class Certificates:
    """What :func:`ensure_certificates` keeps in order. ``expires_at`` is the server certificate's, epoch seconds."""

    ca: Path
    certificate: Path
    key: Path
    expires_at: float


def ensure_certificates(directory: Path, now: float) -> Certificates:
    """Make what is missing in ``directory``, renew what expires within 30 days or does not fit together, keep the rest.

    ``now`` is in seconds since the epoch. Raises OSError when the directory cannot be written.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    authority = _read(directory / "ca.pem", directory / "ca.key")
    if authority is None or _stale(authority[0], moment):
        authority = _make_authority(moment)
        _write(directory, "ca", *authority)
    server = _read(directory / "server.pem", directory / "server.key")
    if server is None or _stale(server[0], moment) or not _signed_by(server[0], authority[0]):
        server = _make_server(moment, *authority)
        _write(directory, "server", *server)
    return Certificates(
        ca=directory / "ca.pem",
        certificate=directory / "server.pem",
        key=directory / "server.key",
        expires_at=server[0].not_valid_after_utc.timestamp(),
    )


def expiry(certificate: Path) -> float:
    """When a PEM certificate expires, in seconds since the epoch. Raises OSError or ValueError."""
    return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc.timestamp()


Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def _read(certificate: Path, key: Path) -> Pair | None:
    """The pair on disk; None when it is missing, damaged, or the key is another certificate's."""
    try:
        parsed = x509.load_pem_x509_certificate(certificate.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError):
        return None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or parsed.public_key() != private.public_key():
        return None
    return parsed, private


def _stale(certificate: x509.Certificate, now: datetime.datetime) -> bool:
    return certificate.not_valid_after_utc - now < datetime.timedelta(days=RENEW_DAYS)


def _signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _make_authority(now: datetime.datetime) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Blastwall local authority")])
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_network("127.0.0.0/8"))]
    certificate = (
        _builder(name, name, key, now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.NameConstraints(permitted_subtrees=names, excluded_subtrees=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _make_server(now: datetime.datetime, authority: x509.Certificate, signer: ec.EllipticCurvePrivateKey) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    certificate = (
        _builder(name, authority.subject, key, now, SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return certificate, key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _write(directory: Path, stem: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    """Key first: a crash between the two leaves a pair that does not fit together, which the next call replaces."""
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _replace(directory / f"{stem}.key", encoded, 0o600)
    public = 0o644 if stem == "ca" else 0o600
    _replace(directory / f"{stem}.pem", certificate.public_bytes(serialization.Encoding.PEM), public)


def _replace(path: Path, content: bytes, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    temporary.chmod(mode)
    temporary.replace(path)
