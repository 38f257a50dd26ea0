"""What the gateway trusts when it is the client of a target."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

BUNDLE = "BLASTWALL_CA_BUNDLE"


def verifying(ca_file: str | None, environ: Mapping[str, str]) -> ssl.SSLContext:
    """A context that verifies names and certificates, TLS 1.2 or later.

    ``ca_file`` (PEM) is all that is trusted when it is given. Otherwise the machine's own authorities are, and those in
    the file that the environment's ``BLASTWALL_CA_BUNDLE`` names: where the process was deployed with RDS's.
    Raises OSError (ssl.SSLError is one) for a file that is missing or holds no certificate.
    """
    context = ssl.create_default_context(cafile=str(Path(ca_file)) if ca_file else None)
    if not ca_file and (bundle := environ.get(BUNDLE)):
        context.load_verify_locations(bundle)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def check_bundle(environ: Mapping[str, str]) -> None:
    """Raises ValueError when the bundle that the environment names cannot be used: said at start, not to an agent."""
    try:
        if bundle := environ.get(BUNDLE):
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(bundle)
    except OSError as fault:
        raise ValueError(
            f"{BUNDLE}={bundle!r} holds no certificates ({fault}); was the image built with one?"
        ) from None
