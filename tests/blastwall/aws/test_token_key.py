from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from blastwall.aws.token_key import KmsTokenKey, public_half
from blastwall.errors import OurFault
from blastwall.identity.jwt import verify
from blastwall.identity.saml_token import claims_of, key_set, mint, rules_of
from tests.blastwall.aws import stage

NOW = 1_800_000_000.0


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with stage.aws(monkeypatch):
        yield stage.client("kms")


def made(kms: Any, spec: str = "ECC_NIST_P256", usage: str = "SIGN_VERIFY") -> str:
    return str(kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["Arn"])


async def test_a_token_signed_by_kms_verifies_with_the_half_that_kms_shows(kms: Any) -> None:
    arn = made(kms)
    given = {"session_ends": None, "max_lifetime": 3600.0, "now": NOW, "id": "j"}
    token = await mint(claims_of("corp", "ada", "reporter", ["agents"], None, **given), KmsTokenKey(kms, arn))
    assert verify(token, rules_of("corp", 3600.0), key_set(public_half(kms, arn)), NOW).agent == "reporter"


class Faithful:
    """KMS as its API reference says (moto hashes a digest once more): a digest is signed as it is."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.kinds: list[str] = []

    def get_public_key(self, KeyId: str) -> dict[str, Any]:
        der = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return {"PublicKey": der, "KeyUsage": "SIGN_VERIFY"}

    def sign(self, KeyId: str, Message: bytes, MessageType: str, SigningAlgorithm: str) -> dict[str, Any]:
        assert SigningAlgorithm == "ECDSA_SHA_256" and len(Message) <= 4096
        self.kinds.append(MessageType)
        hashing: Any = SHA256() if MessageType == "RAW" else Prehashed(SHA256())
        return {"Signature": self.key.sign(Message, ec.ECDSA(hashing))}


@pytest.mark.parametrize(("groups", "kind"), [(1, "RAW"), (60, "DIGEST")])
async def test_what_kms_does_not_take_whole_is_hashed_here(groups: int, kind: str) -> None:
    kms = Faithful()
    given = {"session_ends": None, "max_lifetime": 3600.0, "now": NOW, "id": "j"}
    names = [f"a-group-with-a-name-of-some-length-and-the-number-{number:08}" for number in range(groups)]
    token = await mint(claims_of("corp", "ada", "reporter", names, None, **given), KmsTokenKey(kms, "key"))
    assert len(verify(token, rules_of("corp", 3600.0), key_set(public_half(kms, "key")), NOW).groups) == groups
    assert kms.kinds == [kind]


@pytest.mark.parametrize(("spec", "usage"), [("RSA_2048", "SIGN_VERIFY"), ("ECC_NIST_P384", "SIGN_VERIFY")])
def test_another_kind_of_key_is_refused(kms: Any, spec: str, usage: str) -> None:
    with pytest.raises(OurFault, match="ECC_NIST_P256"):
        KmsTokenKey(kms, made(kms, spec, usage))


async def test_a_key_that_is_not_there_is_our_failure(kms: Any) -> None:
    with pytest.raises(OurFault, match="does not show"):
        public_half(kms, "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000")
    arn = made(kms)
    key = KmsTokenKey(kms, arn)
    key._key = "arn:aws:kms:eu-central-1:123456789012:key/gone"
    with pytest.raises(OurFault, match="does not sign"):
        await key.sign(b"x")
