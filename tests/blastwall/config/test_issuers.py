from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from blastwall.config.issuers import OwnKeys, accepted
from blastwall.config.model import Identity
from blastwall.errors import OurFault
from blastwall.identity.keys import KeySet
from blastwall.identity.saml_token import TYPE, key_set
from tests.blastwall.identity.saml_forge import idp

ISSUER = {"issuer": "https://idp.example", "audience": "blastwall"}
CORP = {"entity_id": "e", "sso_url": "https://idp.example/sso", "certificates": [idp().pem.decode()]}
KEYS = key_set(ec.generate_private_key(ec.SECP256R1()).public_key())


async def fetch(address: str, limit: int) -> bytes:
    raise AssertionError("nothing is fetched to find out who is accepted")


def test_sources_of_issuers_that_stay_as_they_are_are_taken_over() -> None:
    def of(*sections: Mapping[str, object], before: Any = ()) -> list[Any]:
        identity = Identity.model_validate({"issuers": sections, "saml": {"corp": CORP}})
        return [source for _, source in accepted(identity, fetch, lambda: 0.0, lambda: KEYS, before)]

    other = {"issuer": "https://other.example", "audience": "blastwall"}
    first, second, own = of(ISSUER, other)
    assert of(other, ISSUER, before=(first, second, own)) == [second, first, own]
    for change in (("audience", "b"), ("jwks_url", "https://idp.example/keys"), ("keys_max_age_minutes", 5.0)):
        changed, same, _ = of({**ISSUER, change[0]: change[1]}, other, before=(first, second, own))
        assert changed is not first and same is second


def given(own: Any, **saml: Any) -> list[Any]:
    return accepted(Identity.model_validate({"issuers": [ISSUER], "saml": saml}), fetch, lambda: 0.0, own)


def test_without_saml_the_gateway_is_no_issuer_and_its_key_is_not_asked_for() -> None:
    def own() -> KeySet:
        raise AssertionError

    ((rules, _),) = given(own)
    assert rules.issuer == "https://idp.example"


async def test_each_saml_provider_is_an_issuer_with_the_gateways_own_key() -> None:
    found = given(lambda: KEYS, corp=CORP | {"max_lifetime_minutes": 5.0}, partner=CORP)
    issuers = {rules.issuer: (rules, source) for rules, source in found[1:]}
    assert set(issuers) == {"urn:blastwall:saml:corp", "urn:blastwall:saml:partner"}
    rules, source = issuers["urn:blastwall:saml:corp"]
    assert (rules.types, rules.algorithms, rules.max_lifetime) == ({TYPE}, {"ES256"}, 300.0)
    assert await source.current() is KEYS and await source.after_unknown("other") is KEYS


async def test_the_key_is_read_with_the_first_token_and_again_after_a_failure() -> None:
    answers: list[KeySet | Exception] = [OurFault("KMS does not answer"), KEYS]

    def own() -> KeySet:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    keys = OwnKeys(own)
    assert len(answers) == 2
    with pytest.raises(OurFault):
        await keys.current()
    assert await keys.current() is KEYS and await keys.current() is KEYS and answers == []
