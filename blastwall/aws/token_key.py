"""The key that signs the gateway's own tokens on AWS: an asymmetric KMS key (ECC_NIST_P256, SIGN_VERIFY).

Its private half never leaves KMS. Who verifies asks KMS for the public half once, by the ARN it was deployed with.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key

from blastwall.aws.signer import MOST_RAW
from blastwall.errors import OurFault


class KmsTokenKey:
    """Implements :class:`blastwall.identity.saml_token.TokenSigner`. ``kms`` is a boto3 client, ``key`` an ARN or id.

    Raises OurFault when KMS does not answer, or the key is of another kind.
    """

    def __init__(self, kms: Any, key: str) -> None:  # noqa: ANN401  boto3 has no types
        self._kms = kms
        self._key = key
        self.public = public_half(kms, key)

    async def sign(self, message: bytes) -> bytes:
        return await asyncio.to_thread(self._sign, message)

    def _sign(self, message: bytes) -> bytes:
        raw = len(message) <= MOST_RAW
        try:
            answer = self._kms.sign(
                KeyId=self._key,
                Message=message if raw else sha256(message).digest(),
                MessageType="RAW" if raw else "DIGEST",
                SigningAlgorithm="ECDSA_SHA_256",
            )
            r, s = decode_dss_signature(answer["Signature"])
        except (BotoCoreError, ClientError) as fault:
            raise OurFault(f"KMS does not sign with {self._key}: {fault}") from fault
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def public_half(kms: Any, key: str) -> EllipticCurvePublicKey:  # noqa: ANN401  boto3 has no types
    """The public half of a KMS key, for who verifies. Raises OurFault."""
    try:
        answer = kms.get_public_key(KeyId=key)
    except (BotoCoreError, ClientError) as fault:
        raise OurFault(f"KMS does not show the public half of {key}: {fault}") from fault
    public = load_der_public_key(answer["PublicKey"])
    usable = isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1)
    if not usable or answer.get("KeyUsage") != "SIGN_VERIFY":
        raise OurFault(f"{key} is no key for tokens: make one with ECC_NIST_P256 and SIGN_VERIFY")
    assert isinstance(public, EllipticCurvePublicKey)
    return public
