"""Tokens of real identity providers, by the shape of their claims: signed here, read as the configuration says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from blastwall.config.model import Issuer
from blastwall.errors import TokenFault
from blastwall.identity.jwt import verify
from blastwall.identity.keys import read_jwks
from blastwall.model import Principal, Secret

NOW = 1_800_000_000
FIXTURES: dict[str, Any] = yaml.safe_load((Path(__file__).parents[3] / "tests/fixtures/claims.yaml").read_text("utf-8"))
KEYS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
}


def read(fixture: dict[str, Any], **changes: Any) -> Principal:
    issuer = Issuer.model_validate({"audience": "blastwall", **fixture["issuer"]})
    (algorithm,) = issuer.algorithms
    key = KEYS[algorithm]
    make = RSAAlgorithm if algorithm == "RS256" else ECAlgorithm
    public = json.loads(make.to_jwk(key.public_key())) | {"kid": "k", "alg": algorithm, "use": "sig"}
    times = {"iss": issuer.issuer, "iat": NOW, "nbf": NOW, "exp": NOW + 300}
    claims = {name: value for name, value in (fixture["claims"] | times | changes).items() if value is not None}
    header = {"kid": "k", "typ": None, **fixture["header"]}
    token = jwt.encode(claims, key, algorithm, header)
    keys = read_jwks(json.dumps({"keys": [public]}).encode(), frozenset(issuer.algorithms))
    return verify(Secret(token), issuer.rules(), keys, NOW + 1)


@pytest.mark.parametrize("name", sorted(FIXTURES))
def test_a_providers_token_names_agent_groups_and_person(name: str) -> None:
    expected = FIXTURES[name]["principal"]
    found = read(FIXTURES[name])
    assert (found.agent, sorted(found.groups), found.on_behalf_of) == (
        expected["agent"],
        sorted(expected["groups"]),
        expected["on_behalf_of"],
    )
    assert found.subject == FIXTURES[name]["claims"]["sub"]


@pytest.mark.parametrize("name", sorted(FIXTURES))
def test_a_providers_token_for_somebody_else_is_refused(name: str) -> None:
    claim = FIXTURES[name]["issuer"].get("audience_claim", "aud")
    with pytest.raises(TokenFault, match="another audience"):
        read(FIXTURES[name], **{claim: "somebody-else"})
    with pytest.raises(TokenFault, match=f"no '{claim}' claim"):
        read(FIXTURES[name], **{claim: None})


def test_values_of_one_claim_do_not_pass_for_anothers() -> None:
    github = FIXTURES["github-actions"]
    found = read(github, environment="acme", repository_owner="mallory")
    assert found.groups == {"environment=acme", "repository_owner=mallory"}


def test_a_member_that_is_missing_names_no_group() -> None:
    assert read(FIXTURES["github-actions"], environment=None).groups == {"repository_owner=acme"}


def test_cognitos_id_token_is_not_an_access_token() -> None:
    with pytest.raises(TokenFault, match="token_use"):
        read(FIXTURES["cognito-access-token"], token_use="id")
