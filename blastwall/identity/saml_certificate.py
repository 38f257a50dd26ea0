"""An identity provider's signing certificate, as its metadata has it, and whether its key can be trusted. Pure."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")
RSA_BITS: Final = range(2048, 8193)  # as of tokens' keys

_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"


def read_certificate(text: str) -> x509.Certificate:
    """A certificate from PEM, or from the base64 of an ``X509Certificate``. Raises ValueError saying why not."""
    body = "".join(text.split())
    begin, end = "".join(_BEGIN.split()), "".join(_END.split())
    if body.startswith(begin) and body.endswith(end) and body.count(begin) == 1:
        body = body.removeprefix(begin).removesuffix(end)
    try:
        certificate = x509.load_der_x509_certificate(base64.b64decode(body, validate=True))
    except (ValueError, binascii.Error):
        raise ValueError("not one certificate: paste the X509Certificate of the provider's metadata, or PEM") from None
    problem = key_problem(certificate)
    if problem is not None:
        raise ValueError(problem)
    return certificate


def certified(text: str) -> str:
    """The same text, if it is a certificate that :func:`read_certificate` reads. Raises ValueError."""
    read_certificate(text)
    return text


def key_problem(certificate: x509.Certificate) -> str | None:
    """Why a certificate's key cannot be trusted with assertions; None when it can."""
    public = certificate.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        return None if public.key_size in RSA_BITS else f"its RSA key has {public.key_size} bits; 2048 to 8192 are used"
    if isinstance(public, ec.EllipticCurvePublicKey):
        return None if public.curve.name in CURVES else f"its key is on the curve {public.curve.name}; P-256 is usual"
    return "its key is neither RSA nor on an elliptic curve"
