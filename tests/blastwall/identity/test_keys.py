"""JWK Sets: which keys are read, each for one algorithm, and which are left out with a reason."""

from __future__ import annotations

import json
import re

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from blastwall.errors import TokenFault, UpstreamFault
from blastwall.identity.keys import ALGORITHMS, KeySet, UnknownKey, read_jwks

ALLOWED = frozenset({"ES256", "RS256", "EdDSA"})


def read(*entries: object, allowed: frozenset[str] = ALLOWED) -> KeySet:
    return read_jwks(json.dumps({"keys": entries}).encode(), allowed)


def refused(forge, entry: object, allowed: frozenset[str] = ALLOWED) -> str:
    """Why ``entry`` is left out of a set that has one good key."""
    keys = read(forge.jwk("ec"), entry, allowed=allowed)
    assert [key.kid for key in keys.keys] == ["ec"]
    (reason,) = keys.refused
    return reason


def test_every_good_key_is_pinned_to_its_algorithm(forge):
    keys = read(forge.jwk("ec"), forge.jwk("rsa"), forge.jwk("ed"))
    assert {key.kid: key.algorithm for key in keys.keys} == {"ec": "ES256", "rsa": "RS256", "ed": "EdDSA"}
    assert keys.refused == ()


def test_no_algorithm_is_symmetric_or_none():
    assert not {name for name in ALGORITHMS if name.startswith("HS") or name == "none"}


def test_a_key_without_alg_is_pinned_only_if_one_allowed_algorithm_fits(forge):
    assert read(forge.jwk("rsa", alg=None)).keys[0].algorithm == "RS256"
    reason = refused(forge, forge.jwk("rsa", alg=None), ALLOWED | {"PS256"})
    assert "PS256, RS256" in reason


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"use": "enc"}, "not for signatures"),
        ({"key_ops": ["sign"]}, "not for verifying"),
        ({"key_ops": "verify"}, "not for verifying"),
        ({"alg": "HS256"}, "not among"),
        ({"alg": "none"}, "not among"),
        ({"alg": "RS384"}, "not among"),
        ({"alg": "ES256"}, "not among"),
        ({"alg": ["RS256"]}, "not among"),
        ({"kty": "oct", "k": "c2VjcmV0"}, "symmetric"),
        ({"kty": "oct", "k": "c2VjcmV0", "alg": "RS256"}, "symmetric"),
        ({"kty": "EC"}, "not among"),
        ({"kty": 7}, "symmetric or of an unknown type"),
        ({"n": None}, "missing or not text"),
        ({"n": 12345}, "missing or not text"),
        ({"n": "AQAB"}, "do not make a key|bits"),
        ({"e": "AA"}, "do not make a key"),
        ({"kid": 5}, "kid"),
        ({"kid": ""}, "kid"),
        ({"kid": "k" * 257}, "kid"),
    ],
)
def test_a_key_that_must_not_verify_is_left_out_with_its_reason(forge, changes, says):
    assert re.search(says, refused(forge, forge.jwk("rsa", **changes)))


@pytest.mark.parametrize("entry", [None, 1, "key", []])
def test_an_entry_that_is_no_object_is_left_out(forge, entry):
    assert "not an object" in refused(forge, entry)


def test_a_point_off_the_curve_is_left_out(forge):
    assert "do not make a key" in refused(forge, forge.jwk("ec", kid="bad", x=forge.jwk("evil")["x"]))


def test_an_unlisted_curve_is_left_out(forge):
    assert "not among" in refused(forge, forge.jwk("ec", kid="k", crv="secp256k1", alg=None))


@pytest.mark.parametrize("bits", [1024, 1536])
def test_a_weak_rsa_key_is_left_out(forge, bits):
    weak = rsa.generate_private_key(public_exponent=65537, key_size=bits).public_key()
    entry = RSAAlgorithm.to_jwk(weak, as_dict=True) | {"kid": "weak"}
    assert f"RSA of {bits} bits" in refused(forge, entry)


def test_an_rsa_key_large_enough_to_burn_our_time_is_left_out(forge):
    assert "bits" in refused(forge, forge.jwk("rsa", n="_" * 4000))


def test_a_published_private_key_is_read_as_its_public_half(forge):
    leaked = RSAAlgorithm.to_jwk(forge.private["rsa"], as_dict=True) | {"kid": "rsa", "key_ops": ["verify"]}
    assert "d" in leaked
    assert not hasattr(read(leaked).keys[0].public, "private_numbers")


def test_two_keys_of_one_name_are_both_left_out(forge):
    keys = read(forge.jwk("ec"), forge.jwk("evil", kid="ec"), forge.jwk("ed"))
    assert [key.kid for key in keys.keys] == ["ed"]
    assert keys.refused == ("key 'ec': published more than once",)
    with pytest.raises(UnknownKey):
        keys.find("ec")


def test_a_nameless_key_is_found_only_alone(forge):
    alone = read(forge.jwk("ec", kid=None))
    assert alone.find(None).algorithm == "ES256"
    with pytest.raises(UnknownKey):
        alone.find("ec")
    with pytest.raises(TokenFault, match="names no key"):
        read(forge.jwk("ec", kid=None), forge.jwk("ed")).find(None)


@pytest.mark.parametrize(
    "document",
    [
        b"", b"<html>sign in</html>", b"[]", b'{"keys": {}}', b'{"keys": []}', b'{"keys": [], "keys": []}', b'{"jwks": []}',
        b"{" + b" " * 70_000 + b"}", json.dumps({"keys": [{}] * 65}).encode(), b'{"keys": [{"kty": "oct", "k": "AA"}]}',
    ],
)  # fmt: skip
def test_a_document_without_usable_keys_is_the_issuers_fault(document):
    with pytest.raises(UpstreamFault):
        read_jwks(document, ALLOWED)


def test_equal_documents_make_equal_sets(forge):
    assert forge.key_set("ec", "rsa", "ed") == forge.key_set("ec", "rsa", "ed")
    assert forge.key_set("ec") != forge.key_set("ed")
