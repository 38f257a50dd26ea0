"""When keys are fetched, what is trusted meanwhile, and how little a stranger can make the gateway do."""

from __future__ import annotations

import asyncio
import json

import pytest

from blastwall.errors import TokenFault, UpstreamFault
from blastwall.identity.jwks import FetchedKeys, FixedKeys, Limits, check_address

URI = "https://idp.example/jwks"
LIMITS = Limits(fresh=100, oldest=1000, interval=10, unknown=30, unknown_ids=4)


class Issuer:
    """Answers fetches from ``documents`` (bytes, or a fault to raise) and counts them; time stands until moved."""

    def __init__(self, forge) -> None:
        self.forge = forge
        self.time = 50.0
        self.asked: list[str] = []
        self.documents: dict[str, bytes | Exception] = {}
        self.gate: asyncio.Event | None = None
        self.publish("ec")

    def publish(self, *kids: str) -> None:
        self.documents[URI] = json.dumps({"keys": [self.forge.jwk(kid) for kid in kids]}).encode()

    async def fetch(self, address: str, limit: int) -> bytes:
        self.asked.append(address)
        if self.gate is not None:
            await self.gate.wait()
        answer = self.documents.get(address, UpstreamFault("404"))
        if isinstance(answer, Exception):
            raise answer
        assert len(answer) <= limit
        return answer

    def source(self, jwks_uri: str | None = URI) -> FetchedKeys:
        return FetchedKeys(self.forge.rules, self.fetch, lambda: self.time, jwks_uri=jwks_uri, limits=LIMITS)


@pytest.fixture
def issuer(forge) -> Issuer:
    return Issuer(forge)


def kids(keys) -> set[str]:
    return {key.kid for key in keys.keys}


async def settled(source: FetchedKeys) -> None:
    """Let a fetch in the background end."""
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        await task


async def test_keys_are_fetched_once_and_kept(issuer):
    source = issuer.source()
    first = await source.current()
    issuer.time += 99
    assert await source.current() is first
    assert issuer.asked == [URI]


async def test_many_that_ask_at_once_share_one_fetch(issuer):
    source, issuer.gate = issuer.source(), asyncio.Event()
    waiting = [asyncio.create_task(source.current()) for _ in range(50)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # one that goes away does not take the fetch with it
    issuer.gate.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert all(kids(keys) == {"ec"} for keys in answers[1:])
    assert len(issuer.asked) == 1


async def test_stale_keys_are_used_while_new_ones_are_fetched_in_the_background(issuer):
    source = issuer.source()
    await source.current()
    issuer.publish("ed")
    issuer.time += 101
    assert kids(await source.current()) == {"ec"}
    await settled(source)
    assert kids(await source.current()) == {"ed"}


async def test_an_equal_document_stays_the_same_object(issuer):
    source = issuer.source()
    first = await source.current()
    issuer.time += 101
    await source.current()
    await settled(source)
    assert len(issuer.asked) == 2
    assert await source.current() is first


@pytest.mark.parametrize(
    "answer", [UpstreamFault("down"), b"<html>", b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "AA"}]}']
)
async def test_the_last_good_keys_outlive_a_bad_answer_until_they_are_too_old(issuer, answer):
    source = issuer.source()
    await source.current()
    issuer.documents[URI] = answer
    for _ in range(9):
        issuer.time += 111
        assert kids(await source.current()) == {"ec"}
        await settled(source)
    issuer.time += 2
    with pytest.raises(TokenFault, match="not to be had"):
        await source.current()


def test_a_withdrawn_key_is_not_trusted_for_hours_where_each_call_has_an_event_loop_of_its_own(issuer):
    """What is fetched beside a call is cut off when the call ends: the next one waits for it."""
    source = issuer.source()
    slow = issuer.fetch

    async def fetch(address: str, limit: int) -> bytes:
        await asyncio.sleep(0.01)
        return await slow(address, limit)

    source._fetch = fetch
    assert kids(asyncio.run(source.current())) == {"ec"}
    issuer.publish("ed")
    issuer.time += LIMITS.fresh + 1
    assert kids(asyncio.run(source.current())) == {"ec"}, "fetched beside it"
    assert kids(asyncio.run(source.current())) == {"ed"}


async def test_a_failed_fetch_is_not_repeated_at_once(issuer):
    source = issuer.source()
    issuer.documents[URI] = UpstreamFault("down")
    for _ in range(20):
        with pytest.raises(TokenFault, match="try again in 10 seconds"):
            await source.current()
    assert len(issuer.asked) == 1
    issuer.publish("ec")
    issuer.time += 10
    assert kids(await source.current()) == {"ec"}


async def test_a_new_key_is_found_when_a_token_names_it(issuer):
    source = issuer.source()
    await source.current()
    issuer.publish("ec", "ed")
    issuer.time += 10
    assert kids(await source.after_unknown("ed")) == {"ec", "ed"}


async def test_a_flood_of_unknown_key_ids_fetches_once_an_interval_and_remembers_few(issuer):
    source = issuer.source()
    await source.current()
    for number in range(10_000):
        issuer.time += 0.01
        assert kids(await source.after_unknown(f"random-{number}")) == {"ec"}
    assert len(issuer.asked) <= 1 + 100 / 10
    assert len(source._unknown) <= 4


async def test_a_key_id_asked_for_in_vain_is_not_fetched_for_again_at_once(issuer):
    source = issuer.source()
    await source.current()
    issuer.time += 10
    await source.after_unknown("gone")
    issuer.time += 29
    await source.after_unknown("gone")
    assert len(issuer.asked) == 2
    issuer.time += 1
    await source.after_unknown("gone")
    assert len(issuer.asked) == 3


async def test_a_key_that_came_between_two_fetches_is_found_at_the_next(issuer):
    """What was not asked for yet was not asked for in vain: else a rotation would lock agents out for a minute."""
    source = issuer.source()
    await source.current()
    issuer.publish("ec", "ed")
    issuer.time += 1  # too soon to fetch again
    assert kids(await source.after_unknown("ed")) == {"ec"}
    issuer.documents[URI], fresh = UpstreamFault("down"), issuer.documents[URI]
    issuer.time += 10
    assert kids(await source.after_unknown("ed")) == {"ec"}
    issuer.documents[URI] = fresh
    issuer.time += 10  # within the 30 seconds of the first question
    assert kids(await source.after_unknown("ed")) == {"ec", "ed"}


async def test_new_keys_clear_what_was_asked_for_in_vain(issuer):
    source = issuer.source()
    await source.current()
    issuer.time += 10
    await source.after_unknown("ed")
    issuer.publish("ec", "rsa")
    issuer.time += 10
    await source.after_unknown("rsa")
    issuer.publish("ec", "rsa", "ed")
    issuer.time += 10  # within the 30 seconds of the first question
    assert "ed" in kids(await source.after_unknown("ed"))


DISCOVERY = "https://idp.example/.well-known/openid-configuration"


def discovery(issuer: Issuer, /, **changes: object) -> None:
    document = {"issuer": "https://idp.example", "jwks_uri": URI} | changes
    issuer.documents[DISCOVERY] = json.dumps(document).encode()


async def test_discovery_leads_to_the_keys(issuer):
    discovery(issuer)
    assert kids(await issuer.source(None).current()) == {"ec"}
    assert issuer.asked == [DISCOVERY, URI]


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://idp.example/"}, {"issuer": None}, {"jwks_uri": None}, {"jwks_uri": "https://evil.example/jwks"},
        {"jwks_uri": "http://idp.example/jwks"}, {"jwks_uri": "https://idp.example:8443/jwks"}, {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "https://idp.example@evil.example/jwks"}, {"jwks_uri": "https://idp.example:x/jwks"},
    ],
)  # fmt: skip
async def test_discovery_cannot_lead_elsewhere(issuer, changes):
    discovery(issuer, **changes)
    with pytest.raises(TokenFault, match="not to be had"):
        await issuer.source(None).current()
    assert issuer.asked == [DISCOVERY]


async def test_a_discovery_document_that_does_not_read_gives_no_keys(issuer):
    issuer.documents[DISCOVERY] = b"<html>"
    with pytest.raises(TokenFault):
        await issuer.source(None).current()


@pytest.mark.parametrize(
    "address", ["https://idp.example/x", "http://127.0.0.1:1/x", "http://[::1]:9/x", "http://localhost/x"]
)
def test_usable_addresses(address):
    assert check_address(address).hostname


@pytest.mark.parametrize(
    "address",
    ["http://idp.example/x", "http://127.0.0.1.evil.example/", "ftp://127.0.0.1/", "https:///x", "https://u:p@h/", "https://h/#f", "x", "", "https://h:99999/"],
)  # fmt: skip
def test_unusable_addresses(forge, issuer, address):
    with pytest.raises(ValueError, match=r"it|[Pp]ort"):
        check_address(address)
    with pytest.raises(ValueError, match=r"it|[Pp]ort"):
        issuer.source(address or "x")


async def test_fixed_keys_stay_what_they_are(forge):
    source = FixedKeys(forge.keys)
    assert await source.current() is forge.keys
    assert await source.after_unknown("x") is forge.keys
