"""The bypass corpus' token rows, by id: attacks are refused, and the one good token passes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from blastwall.errors import TokenFault, UpstreamFault
from blastwall.identity.jwks import FetchedKeys
from blastwall.identity.jwt import IssuerRules

CORPUS = Path(__file__).parents[2] / "corpus" / "bypass.jsonl"
ROWS = {row["id"]: row for row in map(json.loads, CORPUS.open(encoding="utf-8")) if row["protocol"] == "token"}

SAML = (
    '<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"><saml:NameID>{}</saml:NameID></saml:Assertion>'
)

# id -> the token an attacker presents. Signed JWTs are the only tokens: an assertion is none (its own attacks are in
# test_saml_signature.py and test_saml_document.py), and nothing is introspected.
PRESENTED = {
    "OK-129": lambda f: f.token(kid="rsa", header={"typ": "JWT"}),
    "TOK-001": lambda f: f.sign({"alg": "none", "typ": "at+jwt"}, f.claims()).rsplit(".", 1)[0] + ".",
    "TOK-002": lambda f: f.sign_hmac(f.header("rsa", alg="HS256"), f.claims(), f.public_pem("rsa")),
    "TOK-007": lambda f: f.sign(f.header("ec", kid=..., jwk=f.jwk("evil")), f.claims(), "evil"),
    "TOK-012": lambda f: f.token(aud=["other", "blastwall"]),
    "TOK-014": lambda f: f.token(iss="https://idp.example/"),
    "TOK-016": lambda f: f.sign(f.header(), json.dumps(f.claims()).replace(str(f.now + 3600), "1e308").encode()),
    "TOK-017": lambda f: f.token(exp="9999999999"),
    "TOK-018": lambda f: f.token(nbf=f.now + 61),
    "TOK-019": lambda f: f.token(iat=f.now + 61),
    "TOK-021": lambda f: f.token(header={"crit": ["http://example.com/exp"], "http://example.com/exp": 1}),
    "TOK-022": lambda f: f.token(header={"typ": "JWT"}, nonce="n-0S6", at_hash="x"),
    "TOK-023": lambda f: f.token(header={"typ": "JWT"}, typ="Refresh"),
    "TOK-024": lambda f: ".".join([f.token().split(".")[0], "a", "b", "c", "d"]),
    "TOK-025": lambda f: f.token(filler="x" * 1_000_000),
    "TOK-027": lambda f: "2YotnFZFEjr1zCsicMWpAA",
    "TOK-028": lambda f: "2YotnFZFEjr1zCsicMWpAA.active",
    "TOK-029": lambda f: SAML.format("admin"),
    "TOK-030": lambda f: SAML.format("user@a.com<!---->.evil"),
    "TOK-033": lambda f: SAML.format("<ds:KeyInfo><ds:X509Certificate>MII</ds:X509Certificate></ds:KeyInfo>"),
}

# id -> where its rule is proved, because no single token shows it
ELSEWHERE = {
    "TOK-008": "test_tok_008 below",
    "TOK-009": "test_tok_009 below",
    "TOK-026": "tests/contracts/test_sessions.py: a replayed token joins its own session and no other",
    "TOK-036": "the gateway runs no login flow: tokens are presented, never fetched with a code",
    "TOK-040": "tests/blastwall/local/test_vendor.py: what goes to the target never holds the token",
}


def test_every_token_row_of_the_corpus_is_covered():
    assert set(ROWS) == set(PRESENTED) | set(ELSEWHERE)


@pytest.mark.parametrize("id", sorted(PRESENTED))
def test_row(forge, id):
    token = PRESENTED[id](forge)
    try:
        outcome = "allow" if forge.verify(token).agent == "reporter" else "other"
    except TokenFault:
        outcome = "deny"
    assert outcome in ROWS[id]["accept"], ROWS[id]


def test_tok_022_plain_jwt_where_at_jwt_is_expected(forge):
    strict = IssuerRules(
        forge.rules.issuer, forge.rules.audience, algorithms=forge.rules.algorithms, types=frozenset({"at+jwt"})
    )
    assert forge.verify(forge.token(), strict).agent == "reporter"
    with pytest.raises(TokenFault, match="not an access token"):
        forge.verify(forge.token(header={"typ": "JWT"}), strict)


async def test_tok_008_ten_thousand_unknown_key_ids_cost_one_fetch(forge):
    asked = []

    async def fetch(address: str, limit: int) -> bytes:
        asked.append(address)
        return json.dumps({"keys": [forge.jwk("ec")]}).encode()

    source = FetchedKeys(forge.rules, fetch, lambda: 0.0, jwks_uri="https://idp.example/jwks")
    await source.current()
    with pytest.raises(TokenFault):
        forge.verify(forge.token(header={"kid": "k0"}), keys=await source.current())
    for number in range(10_000):
        await source.after_unknown(f"k{number}")
    assert len(asked) == 1


@pytest.mark.parametrize(
    "answer", [b"<html>sign in</html>", b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "AA", "kid": "ec"}]}']
)
async def test_tok_009_a_bad_key_document_never_replaces_the_good_one(forge, answer):
    time = [0.0]
    answers = [json.dumps({"keys": [forge.jwk("ec")]}).encode(), answer]

    async def fetch(address: str, limit: int) -> bytes:
        return answers.pop(0)

    source = FetchedKeys(forge.rules, fetch, lambda: time[0], jwks_uri="https://idp.example/jwks")
    good = await source.current()
    time[0] = 60.0
    assert await source.after_unknown("new") is good
    assert answers == []


async def test_tok_009_keys_over_plain_http_are_never_asked_for(forge):
    async def fetch(address: str, limit: int) -> bytes:
        raise UpstreamFault("must not be asked")

    with pytest.raises(ValueError, match="https"):
        FetchedKeys(forge.rules, fetch, lambda: 0.0, jwks_uri="http://idp.example/jwks")
