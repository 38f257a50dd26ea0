"""KMS signs what verifies with its public key, and says so when it does not."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from blastwall.aws.signer import ATTEMPTS, KmsSigner
from blastwall.errors import RecordingFault
from blastwall.local.signer import trusted_keys
from blastwall.recording.manifest import check_signature, signed
from tests.blastwall.aws.cloud import DENIED, NO_ANSWER


class Local:
    """KMS as its API reference says: a digest is signed as it is, a raw message is hashed first."""

    def __init__(self, usage="SIGN_VERIFY", curve=None):
        self.key = ec.generate_private_key(curve or ec.SECP256R1())
        self.usage = usage
        self.asked = []
        self.failures = []

    def get_public_key(self, KeyId):
        der = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return {"PublicKey": der, "KeyUsage": self.usage}

    def sign(self, KeyId, Message, MessageType, SigningAlgorithm):
        self.asked.append((MessageType, SigningAlgorithm))
        if self.failures:
            raise self.failures.pop()
        hashing = SHA256() if MessageType == "RAW" else Prehashed(SHA256())
        return {"Signature": self.key.sign(Message, ec.ECDSA(hashing))}


@pytest.mark.parametrize("size", [10, 5000])
def test_what_it_signs_verifies_with_its_public_key(size):
    signer = KmsSigner(Local(), "key")
    value = json.loads(signed({"chain": "00", "reason": "x" * size}, signer))
    assert check_signature(value, {signer.key_id: signer.public}) is None
    value["reason"] += "!"
    assert check_signature(value, {signer.key_id: signer.public}) is not None


def test_motos_kms_signs_too(signer, trusted):
    assert check_signature(json.loads(signed({"chain": "00"}, signer)), trusted) is None


def test_its_public_key_is_given_away_as_a_file(signer, tmp_path, trusted):
    (tmp_path / "kms.pub").write_bytes(signer.pem)
    assert trusted_keys(tmp_path / "kms.pub") == trusted


@pytest.mark.parametrize("kms", [Local(usage="KEY_AGREEMENT"), Local(curve=ec.SECP256K1())])
def test_a_key_of_another_kind_is_refused(kms):
    with pytest.raises((RecordingFault, ValueError), match="key"):
        KmsSigner(kms, "key")


def test_a_lost_answer_is_asked_for_again_and_a_refusal_is_not():
    kms = Local()
    signer = KmsSigner(kms, "key")
    kms.failures = [NO_ANSWER] * (ATTEMPTS - 1)
    assert signer.sign(b"message")
    kms.failures = [NO_ANSWER] * ATTEMPTS
    with pytest.raises(RecordingFault, match="does not sign"):
        signer.sign(b"message")
    kms.failures, kms.asked = [DENIED], []
    with pytest.raises(RecordingFault, match="AccessDenied"):
        signer.sign(b"message")
    assert len(kms.asked) == 1
