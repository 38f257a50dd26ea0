"""The verifier: each issuer by its own rules and keys, and a cache that never outlives token or key."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

from blastwall.errors import TokenFault
from blastwall.identity import keys as keys_module
from blastwall.identity.jwks import FetchedKeys, FixedKeys, Limits
from blastwall.identity.jwt import IssuerRules
from blastwall.local import verifier as module
from blastwall.local.clock import ManualClock
from blastwall.local.fetch import fetch
from blastwall.local.verifier import TokenVerifier
from blastwall.model import Secret
from rig.issuer import LocalIssuer


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def issuers(tmp_path, clock):
    """Two issuers of their own names and keys."""
    made = [LocalIssuer.open(tmp_path / name, port=port, clock=clock.now) for name, port in (("a", 1001), ("b", 1002))]
    yield made
    for issuer in made:
        issuer.stop()


@pytest.fixture
def counted(monkeypatch):
    """How many tokens were really verified."""
    calls = []
    verify = module.verify
    monkeypatch.setattr(module, "verify", lambda *args: calls.append(args) or verify(*args))
    return calls


def fixed(issuers, clock, **options):
    return TokenVerifier([(issuer.rules(), FixedKeys(issuer.key_set())) for issuer in issuers], clock, **options)


async def test_each_issuer_is_verified_by_its_own_keys(issuers, clock):
    verifier = fixed(issuers, clock)
    for issuer in issuers:
        assert (await verifier.verify(Secret(issuer.mint("a")))).issuer == issuer.issuer


async def test_an_issuer_cannot_speak_for_another(issuers, clock):
    verifier = fixed(issuers, clock)
    with pytest.raises(TokenFault, match="does not publish"):
        await verifier.verify(Secret(issuers[0].mint("a", iss=issuers[1].issuer)))


async def test_an_unknown_issuer_is_refused_without_repeating_it(issuers, clock):
    verifier = fixed(issuers, clock)
    with pytest.raises(TokenFault, match="not one this gateway trusts") as caught:
        await verifier.verify(Secret(issuers[0].mint("a", iss="https://evil.example")))
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "e30.e30.e30", "x" * 1_000_000, "\ud800.a.b"])
async def test_what_is_no_token_is_refused(issuers, clock, text):
    with pytest.raises(TokenFault):
        await fixed(issuers, clock).verify(Secret(text))


def test_two_rules_for_one_issuer_are_refused(issuers, clock):
    with pytest.raises(ValueError, match="same iss"):
        fixed([issuers[0], issuers[0]], clock)


async def test_a_token_is_verified_once(issuers, clock, counted):
    verifier, token = fixed(issuers, clock), Secret(issuers[0].mint("a"))
    assert await verifier.verify(token) == await verifier.verify(token)
    assert len(counted) == 1


async def test_a_remembered_token_expires_like_any_other(issuers, clock):
    verifier, token = fixed(issuers, clock), Secret(issuers[0].mint("a", ttl=100))
    await verifier.verify(token)
    clock.advance(99)
    await verifier.verify(token)
    clock.advance(1)
    with pytest.raises(TokenFault, match="expired"):
        await verifier.verify(token)


async def test_a_changed_token_is_another_token(issuers, clock):
    verifier, token = fixed(issuers, clock), issuers[0].mint("a")
    await verifier.verify(Secret(token))
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    forged = base64.urlsafe_b64encode(json.dumps(claims | {"agent": "admin"}).encode()).rstrip(b"=").decode()
    with pytest.raises(TokenFault, match="signature"):
        await verifier.verify(Secret(f"{header}.{forged}.{signature}"))


async def test_the_cache_is_bounded_and_forgets_the_least_used(issuers, clock, counted):
    verifier = fixed(issuers, clock, cache_size=2)
    tokens = [Secret(issuers[0].mint(f"a{n}")) for n in range(3)]
    for token in (tokens[0], tokens[1], tokens[0], tokens[2], tokens[0]):
        await verifier.verify(token)
    assert len(counted) == 3
    await verifier.verify(tokens[1])
    assert len(counted) == 4
    assert len(verifier._cache) == 2


async def test_failures_are_not_remembered(issuers, clock, counted):
    verifier = fixed(issuers, clock)
    early = Secret(issuers[0].mint("a", nbf=int(clock.now()) + 100))
    with pytest.raises(TokenFault, match="not valid yet"):
        await verifier.verify(early)
    clock.advance(100)
    assert (await verifier.verify(early)).agent == "a"


def fetched(issuer, clock):
    rules = issuer.rules()
    return TokenVerifier([(rules, FetchedKeys(rules, fetch, clock.monotonic, limits=Limits(fresh=100)))], clock)


async def test_a_rotated_key_is_fetched_when_the_first_token_names_it(issuers, clock):
    issuers[0].serve()
    verifier = fetched(issuers[0], clock)
    await verifier.verify(Secret(issuers[0].mint("a")))
    issuers[0].rotate()
    clock.advance(15)
    assert (await verifier.verify(Secret(issuers[0].mint("b")))).agent == "b"


async def test_a_token_whose_key_was_withdrawn_is_refused_though_remembered(issuers, clock):
    issuer = issuers[0]
    issuer.serve()
    verifier, token = fetched(issuer, clock), Secret(issuer.mint("a"))
    await verifier.verify(token)
    for _ in range(3):
        issuer.rotate()
    clock.advance(101)
    await verifier.verify(token)  # begins the refresh in the background and still trusts the keys it has
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        await task
    with pytest.raises(TokenFault, match="does not publish"):
        await verifier.verify(token)


async def test_without_its_issuer_a_token_is_refused_and_says_when_to_come_back(issuers, clock):
    verifier = fetched(issuers[0], clock)  # nobody listens there
    with pytest.raises(TokenFault, match="try again in 15 seconds"):
        await verifier.verify(Secret(issuers[0].mint("a")))


async def test_one_issuer_that_is_down_does_not_close_the_other(issuers, clock):
    rules = [issuer.rules() for issuer in issuers]
    verifier = TokenVerifier(
        [(rules[0], FetchedKeys(rules[0], fetch, clock.monotonic)), (rules[1], FixedKeys(issuers[1].key_set()))], clock
    )
    with pytest.raises(TokenFault):
        await verifier.verify(Secret(issuers[0].mint("a")))
    assert (await verifier.verify(Secret(issuers[1].mint("b")))).agent == "b"


def test_the_default_rules_admit_no_symmetric_algorithm():
    assert all(not name.startswith("HS") for name in IssuerRules("i", "a").algorithms | keys_module.ALGORITHMS)


async def test_an_issuer_that_is_taken_away_opens_nothing_any_more(issuers, clock, counted):
    first, second = ((issuer.rules(), FixedKeys(issuer.key_set())) for issuer in issuers)
    verifier = TokenVerifier([first, second], clock)
    gone, stays = (Secret(issuer.mint("a")) for issuer in issuers)
    assert (await verifier.verify(gone)).issuer == issuers[0].issuer
    await verifier.verify(stays)
    verifier.adopt([second])
    with pytest.raises(TokenFault, match="not one this gateway trusts"):
        await verifier.verify(gone)
    assert (await verifier.verify(stays)).issuer == issuers[1].issuer
    assert len(counted) == 3, "what was known under the rules of before is verified by those of now"
    with pytest.raises(ValueError, match="same iss"):
        verifier.adopt([second, second])
    assert verifier.sources == (second[1],)


async def test_what_is_being_verified_while_its_issuer_is_taken_away_is_refused(issuers, clock):
    asked, answer = asyncio.Event(), asyncio.Event()

    class Slow(FixedKeys):
        async def current(self):
            asked.set()
            await answer.wait()
            return await super().current()

    verifier = TokenVerifier([(issuers[0].rules(), Slow(issuers[0].key_set()))], clock)
    task = asyncio.create_task(verifier.verify(Secret(issuers[0].mint("a"))))
    await asked.wait()
    verifier.adopt([(issuers[1].rules(), FixedKeys(issuers[1].key_set()))])
    answer.set()
    with pytest.raises(TokenFault, match="not one this gateway trusts"):
        await task
