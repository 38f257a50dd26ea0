"""Whose token answers: a person's, for approvers or of the page's own sign-in; never one that opens the gateway."""

from __future__ import annotations

import json
import time
from pathlib import Path

import jwt
import pytest

from blastwall.errors import TokenFault
from blastwall.identity.jwks import FixedKeys
from blastwall.local.approvers import ApproverVerifier
from blastwall.local.clock import SystemClock
from blastwall.model import Secret
from rig.issuer import LocalIssuer


@pytest.fixture
def issuer(tmp_path: Path) -> LocalIssuer:
    return LocalIssuer.open(tmp_path)


def verifier(issuer: LocalIssuer, **clients: str) -> ApproverVerifier:
    keys = FixedKeys(issuer.key_set())
    return ApproverVerifier(
        [(issuer.rules(), None)],
        SystemClock(),
        {issuer.issuer: clients["client"]} if clients else None,
        lambda *_: keys,
    )


def id_token(issuer: LocalIssuer, audience: str) -> str:
    """As an identity provider makes one: no claim names an agent."""
    stored = issuer._read()
    now = int(time.time())
    claims = {"iss": issuer.issuer, "aud": audience, "sub": "olga", "groups": ["owners"], "iat": now, "exp": now + 60}
    kid = next(key["kid"] for key in json.loads(issuer.jwks())["keys"])
    return jwt.encode(claims, stored.keys["ES256"][0], algorithm="ES256", headers={"kid": kid, "typ": None})


async def test_a_token_for_approvers_is_a_person(issuer: LocalIssuer) -> None:
    token = Secret(issuer.mint("olga", ["owners"], aud="blastwall/approvals"))
    person = await verifier(issuer).verify(token)
    assert (person.subject, person.groups) == ("olga", frozenset({"owners"}))


@pytest.mark.parametrize("audience", ["blastwall", "page", ["blastwall", "blastwall/approvals"]])
async def test_apr_009_what_opens_the_gateway_answers_nothing(issuer: LocalIssuer, audience: object) -> None:
    with pytest.raises(TokenFault):
        await verifier(issuer).verify(Secret(issuer.mint("olga", ["owners"], aud=audience)))


async def test_an_id_token_of_the_pages_own_sign_in_is_a_person_without_an_agent(issuer: LocalIssuer) -> None:
    desk = verifier(issuer, client="page")
    person = await desk.verify(Secret(id_token(issuer, "page")))
    assert (person.subject, person.agent) == ("olga", "olga")
    assert (await desk.verify(Secret(issuer.mint("olga", aud="blastwall/approvals")))).subject == "olga"
    with pytest.raises(TokenFault):
        await desk.verify(Secret(id_token(issuer, "another-client")))
    with pytest.raises(TokenFault):
        await desk.verify(Secret("nonsense"))
