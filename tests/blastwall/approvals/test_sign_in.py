"""OpenID Connect sign-in: this browser's attempt, this provider's answer."""

from __future__ import annotations

import base64
import hashlib
import json
from urllib.parse import parse_qs, urlsplit

import pytest

from blastwall.approvals.sign_in import (
    Attempt,
    Client,
    Endpoints,
    attempt,
    authorization_url,
    code_of,
    endpoints_of,
    exchange_form,
    id_token_of,
    local,
)
from blastwall.errors import TokenFault, UpstreamFault

CLIENT = Client("https://idp", "page")
BEGUN = attempt(bytes(range(96)), "/requests/a-1")


def test_the_challenge_is_of_the_verifier_which_stays_here() -> None:
    url = authorization_url(CLIENT, Endpoints("https://idp/authorize", "https://idp/token"), "https://page", BEGUN)
    query = {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}
    assert query["code_challenge_method"] == "S256" and query["response_type"] == "code"
    digest = hashlib.sha256(BEGUN.verifier.encode()).digest()
    assert base64.urlsafe_b64decode(query["code_challenge"] + "=") == digest
    assert BEGUN.verifier not in url
    assert query["redirect_uri"] == "https://page/sign-in/callback"
    form = parse_qs(exchange_form(CLIENT, "https://page", BEGUN, "c0de").decode())
    assert form["code_verifier"] == [BEGUN.verifier] and "client_secret" not in form
    secret = exchange_form(Client("https://idp", "page", "s3cret"), "https://page", BEGUN, "c0de")
    assert parse_qs(secret.decode())["client_secret"] == ["s3cret"]


def test_an_attempt_survives_its_cookie_and_nothing_else_is_one() -> None:
    assert Attempt.from_cookie(BEGUN.cookie()) == BEGUN
    assert BEGUN.cookie().replace("-", "").replace("_", "").isalnum()
    for value in ("", "%%", "bm8", base64.urlsafe_b64encode(b'["a"]').decode()):
        assert Attempt.from_cookie(value) is None
    with pytest.raises(ValueError, match="96"):
        attempt(b"short", "/")


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"state": "other", "code": "c"},
        {"state": BEGUN.state},
        {"state": BEGUN.state, "error": "access_denied"},
        {"state": BEGUN.state, "code": "c", "iss": "https://evil"},
    ],
)
def test_the_answer_to_another_question_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(TokenFault):
        code_of(CLIENT, BEGUN, query)


def test_the_answer_to_this_one_is_taken() -> None:
    assert code_of(CLIENT, BEGUN, {"state": BEGUN.state, "code": "c", "iss": "https://idp"}) == "c"


def token(claims: object) -> str:
    return "e30." + base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=") + ".sig"


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b"{}", b'{"id_token": "a"}', json.dumps({"id_token": token({"nonce": "other"})}).encode(),
     json.dumps({"id_token": token({})}).encode()],
)  # fmt: skip
def test_an_id_token_of_another_sign_in_is_refused(answer: bytes) -> None:
    with pytest.raises(TokenFault):
        id_token_of(answer, BEGUN)


def test_the_id_token_of_this_one_is_taken() -> None:
    mine = token({"nonce": BEGUN.nonce})
    assert id_token_of(json.dumps({"id_token": mine}).encode(), BEGUN) == mine


@pytest.mark.parametrize(
    ("next", "where"),
    [
        ("/requests/a-1", "/requests/a-1"),
        ("//evil", "/"),
        ("https://evil", "/"),
        ("/\\evil", "/"),
        ("", "/"),
        ("/a\n", "/"),
    ],
)
def test_signing_in_leads_nowhere_else(next: str, where: str) -> None:
    assert local(next) == where


def test_discovery_is_the_issuers_own() -> None:
    document = {"issuer": "https://idp", "authorization_endpoint": "https://idp/a", "token_endpoint": "https://idp/t"}
    assert endpoints_of(json.dumps(document).encode(), "https://idp") == Endpoints("https://idp/a", "https://idp/t")
    for wrong in (b"no", b"{}", json.dumps(document | {"issuer": "https://evil"}).encode()):
        with pytest.raises(UpstreamFault):
            endpoints_of(wrong, "https://idp")
