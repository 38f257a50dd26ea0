from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from blastwall.identity.saml_certificate import read_certificate
from tests.blastwall.identity.saml_forge import Signer, idp


def test_pem_and_the_metadatas_base64_are_the_same_certificate() -> None:
    der = base64.encodebytes(idp().certificate.public_bytes(Encoding.DER)).decode()
    assert read_certificate(idp().pem.decode()) == read_certificate(der) == idp().certificate


@pytest.mark.parametrize("text", ["", "MIIC", "-----BEGIN CERTIFICATE-----", "nonsense!", "\u00e9"])
def test_what_is_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not one certificate"):
        read_certificate(text)


def test_two_certificates_are_not_one() -> None:
    with pytest.raises(ValueError, match="not one certificate"):
        read_certificate(idp().pem.decode() * 2)


@pytest.mark.parametrize(
    ("kind", "bits", "reason"), [("rsa", 1024, "1024 bits"), ("p224", 0, "secp224r1"), ("ed", 0, "RSA")]
)
def test_weak_keys_are_refused(kind: str, bits: int, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_certificate(Signer(kind, bits=bits).pem.decode())
