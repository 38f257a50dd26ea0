from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from blastwall.errors import TokenFault
from blastwall.identity.jwt import MAX_TOKEN, IssuerRules, verify
from blastwall.identity.keys import KeySet
from blastwall.identity.saml_token import LEAST_SECONDS, TYPE, claims_of, issuer_of, key_set, mint, rules_of
from blastwall.local.token_key import LocalTokenKey

NOW = 1_800_000_000.9
KEY = LocalTokenKey(ec.generate_private_key(ec.SECP256R1()))


def claims(**changes: Any) -> Any:
    given: dict[str, Any] = {"session_ends": None, "max_lifetime": 60.5, "now": NOW, "id": "j1"} | changes
    groups = given.pop("groups", ["b", "a", "b"])
    return claims_of("corp", "ada", "reporter", groups, "ada@corp.example", **given)


async def test_what_is_minted_verifies_as_any_other_issuers_token() -> None:
    token = await mint(claims(), KEY)
    found = verify(token, rules_of("corp", 60.5), key_set(KEY.public), NOW)
    assert (found.identity, found.agent, found.groups) == ("urn:blastwall:saml:corp|ada", "reporter", {"a", "b"})
    assert found.expires_at - found.issued_at <= 60.5


async def test_its_type_is_its_own() -> None:
    token = await mint(claims(), KEY)
    header = json.loads(base64.urlsafe_b64decode(token.reveal().split(".")[0] + "=="))
    assert header["typ"] == TYPE and header["alg"] == "ES256"
    access = IssuerRules(issuer_of("corp"), "blastwall", algorithms=frozenset({"ES256"}))
    with pytest.raises(TokenFault, match="not an access token"):
        verify(token, access, key_set(KEY.public), NOW)


async def test_another_key_signs_for_nobody() -> None:
    other = LocalTokenKey(ec.generate_private_key(ec.SECP256R1()))
    token = await mint(claims(), other)
    with pytest.raises(TokenFault, match="does not publish"):
        verify(token, rules_of("corp", 60.5), key_set(KEY.public), NOW)
    (mine,) = key_set(KEY.public).keys
    (yours,) = key_set(other.public).keys
    renamed = KeySet((type(mine)(yours.kid, mine.algorithm, mine.public),))
    with pytest.raises(TokenFault, match="signature does not verify"):
        verify(token, rules_of("corp", 60.5), renamed, NOW)


@pytest.mark.parametrize(("ends", "expires"), [(None, 60), (NOW + 1000, 60), (NOW + 31, 31), (NOW + 40.7, 41)])
def test_it_ends_with_the_session_or_the_configured_time(ends: float | None, expires: int) -> None:
    assert claims(session_ends=ends)["exp"] - int(NOW) == expires


def test_less_than_some_seconds_are_not_worth_a_token() -> None:
    with pytest.raises(TokenFault, match="about to end"):
        claims(session_ends=NOW + LEAST_SECONDS - 1)


async def test_the_largest_token_that_is_made_is_accepted() -> None:
    groups: list[str] = []
    while True:
        try:
            made = claims(groups=[*groups, f"group-{len(groups):050}"])
        except TokenFault as fault:
            assert str(MAX_TOKEN) in str(fault)
            break
        groups.append(f"group-{len(groups):050}")
    token = await mint(made, KEY)
    assert MAX_TOKEN - 200 < len(token.reveal()) <= MAX_TOKEN
    assert len(verify(token, rules_of("corp", 60.5), key_set(KEY.public), NOW).groups) == len(groups)


def test_only_keys_on_p_256_are_its_keys() -> None:
    with pytest.raises(ValueError, match="P-256"):
        key_set(ec.generate_private_key(ec.SECP384R1()).public_key())
