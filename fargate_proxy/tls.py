"""The gateway's own certificate and key: from files, or from the environment that a task was started with."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping, MutableMapping

from cryptography import x509

from blastwall.config.model import ListenerTls
from blastwall.errors import ConfigFault, Problem

CERTIFICATE, KEY = "BLASTWALL_TLS_CERTIFICATE", "BLASTWALL_TLS_KEY"


def server_context(files: ListenerTls | None, environ: MutableMapping[str, str]) -> ssl.SSLContext | None:
    """What listeners speak TLS with; None when neither files nor the environment give a certificate.

    What the environment gives wins, and is removed from it: processes that are started later do not inherit the key.
    It never touches a disk. Raises ConfigFault for what is no certificate with its key.
    """
    pem = environ.pop(CERTIFICATE, ""), environ.pop(KEY, "")
    if files is None and not any(pem):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if any(pem):
        _load(context, *pem)
    elif files is not None:
        context.load_cert_chain(files.certificate, files.key)
    context.set_alpn_protocols(["postgresql"])
    return context


def certificate_ends(files: ListenerTls | None, environ: Mapping[str, str]) -> float | None:
    """When the certificate that :func:`server_context` takes is no longer valid, in epoch seconds; to be asked before
    that. None: there is none, or none that can be read, which it says itself."""
    try:
        pem = environ.get(CERTIFICATE, "").encode() or (files.certificate.read_bytes() if files is not None else b"")
        return x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return None


def _load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """OpenSSL wants files: these are in memory, and gone when it has read them."""
    with os.fdopen(os.memfd_create("certificate"), "wb") as chain, os.fdopen(os.memfd_create("key"), "wb") as private:
        chain.write(certificate.encode())
        private.write(key.encode())
        chain.flush()
        private.flush()
        try:
            context.load_cert_chain(f"/proc/self/fd/{chain.fileno()}", f"/proc/self/fd/{private.fileno()}")
        except ssl.SSLError as fault:
            message = f"{CERTIFICATE} and {KEY} are no certificate (PEM, with its chain) and its key: {fault.reason}"
            raise ConfigFault((Problem("environment", 0, message),)) from None
