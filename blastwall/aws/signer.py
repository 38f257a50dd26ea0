"""The key that signs recordings on AWS: an asymmetric KMS key (ECC_NIST_P256, SIGN_VERIFY) that never leaves KMS."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from blastwall.aws.objects import explain
from blastwall.errors import RecordingFault
from blastwall.recording.manifest import P256, key_id, public_bytes

MOST_RAW = 4096  # bytes of a message that KMS takes whole (Sign, Message)
ATTEMPTS = 3  # a throttled or lost call is made again; each waits for `objects.READ_SECONDS` at most


class KmsSigner:
    """``recording.manifest.Signer`` over ``kms:Sign``. It asks for the public key once, when it is made.

    Raises RecordingFault when KMS does not answer, or the key is of another kind.
    """

    algorithm = P256

    def __init__(self, kms: Any, key: str) -> None:  # noqa: ANN401  boto3 has no types
        self._kms = kms
        self._key = key
        answer = self._ask("get_public_key", KeyId=key)
        public = load_der_public_key(answer["PublicKey"])
        self.public = public_bytes(public)
        if len(self.public) != 65 or answer.get("KeyUsage") != "SIGN_VERIFY":
            raise RecordingFault(f"{key} is not a key for recordings: make one with ECC_NIST_P256 and SIGN_VERIFY.")
        #: For ``blastwall recordings verify --key``.
        self.pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.key_id = key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        """Sign the SHA-256 of the message; a short one KMS hashes itself."""
        raw = len(message) <= MOST_RAW
        answer = self._ask(
            "sign",
            KeyId=self._key,
            Message=message if raw else sha256(message).digest(),
            MessageType="RAW" if raw else "DIGEST",
            SigningAlgorithm="ECDSA_SHA_256",
        )
        signature: bytes = answer["Signature"]
        return signature

    def _ask(self, verb: str, **arguments: object) -> Mapping[str, Any]:
        left = ATTEMPTS
        while True:
            left -= 1
            try:
                answer: Mapping[str, Any] = getattr(self._kms, verb)(**arguments)
                return answer
            except (ClientError, BotoCoreError) as error:
                words, passing = explain(error)
                if not passing or not left:
                    raise RecordingFault(f"KMS does not sign with {self._key}: {words}") from error
