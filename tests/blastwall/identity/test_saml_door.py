from __future__ import annotations

import base64
import json
import re
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from lxml import etree

from blastwall.approvals.web import LARGEST_BODY, Request, Response, make_request
from blastwall.errors import OurFault, TokenFault
from blastwall.identity.claims import ClaimNames
from blastwall.identity.jwt import verify
from blastwall.identity.saml_door import Door, Federation, acs_of, service_of
from blastwall.identity.saml_sign_in import CODE_SECONDS, SIGN_IN_SECONDS, hashed, secret
from blastwall.identity.saml_token import key_set, rules_of
from blastwall.local.sign_ins import MOST, MemorySignIns
from blastwall.local.token_key import LocalTokenKey
from blastwall.model import Principal, Secret
from tests.blastwall.identity import saml_forge as forge
from tests.blastwall.identity.saml_forge import ACS, ENTITY, NOW, NS, SERVICE, asked, at, attribute, idp, provider

SSO = "https://idp.example/sso"
KEY = LocalTokenKey(ec.generate_private_key(ec.SECP256R1()))
FORM = [("Content-Type", "application/x-www-form-urlencoded")]
VERIFIER = secret(bytes(range(32)))


class World:
    """A door, the provider behind it, a command line and a browser."""

    def __init__(self) -> None:
        self.time = NOW
        self.said: list[str] = []
        self._chance = 0
        other = provider(
            name="other", entity_id="https://other.example", acs=acs_of("https://gateway.example", "other")
        )
        self.door = Door(
            {"corp": Federation(provider(), SSO, 3600.0), "other": Federation(other, f"{SSO}?tenant=1", 3600.0)},
            MemorySignIns(),
            KEY,
            lambda: self.time,
            self._entropy,
            self.said.append,
        )

    def _entropy(self, count: int) -> bytes:
        self._chance += 1
        return self._chance.to_bytes(count, "big")

    async def post(self, path: str, **fields: str) -> Response:
        return await self.door.handle(make_request("POST", path, FORM, urlencode(fields).encode()))

    async def begin(self, idp: str = "corp", port: int = 40_000) -> dict[str, Any]:
        answer = await self.post("/saml/begin", idp=idp, challenge=hashed(VERIFIER), port=str(port))
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    def sign(self, begun: dict[str, Any], **changes: Any) -> str:
        """What the provider answers to a begun sign-in."""
        request = asked(begun["url"])
        return idp().sign(
            forge.response(
                forge.assertion(answered=request.get("ID"), **changes),
                more=f' Destination="{ACS}" InResponseTo="{request.get("ID")}"',
            )
        )

    async def bring(self, begun: dict[str, Any], document: str, place: str = "corp") -> Response:
        saml = base64.b64encode(document.encode()).decode()
        return await self.post(f"/saml/{place}/acs", SAMLResponse=saml, RelayState=begun["id"])

    async def redeem(self, begun: dict[str, Any], code: str, verifier: str = VERIFIER) -> Response:
        return await self.post("/saml/token", id=begun["id"], code=code, verifier=verifier)


def code_of(response: Response) -> str:
    found = re.search(r"code=([A-Za-z0-9_-]{43})", response.body.decode())
    assert response.status == 200 and found, response.body
    return found[1]


def principal(token: str, now: float = NOW) -> Principal:
    return verify(Secret(token), rules_of("corp", 3600.0), key_set(KEY.public), now)


@pytest.fixture
def world() -> World:
    return World()


async def test_a_person_signs_in_and_the_command_line_gets_a_token_that_verifies(world: World) -> None:
    begun = await world.begin()
    assert begun["expires_in"] == SIGN_IN_SECONDS
    page = await world.bring(begun, world.sign(begun))
    assert f"http://127.0.0.1:40000/?id={begun['id']}&amp;code=" in page.body.decode()
    assert "Continue if you have just started" in page.body.decode() and "as agent reporter" in page.body.decode()
    assert b"refresh" not in page.body  # a person's click, not the provider's session, lets the program have it
    answer = await world.redeem(begun, code_of(page))
    assert answer.status == 200 and answer.kind == "application/json"
    found = json.loads(answer.body)
    who = principal(found["token"])
    assert (who.issuer, who.subject) == ("urn:blastwall:saml:corp", "ada@corp.example")
    assert (who.agent, who.groups, who.on_behalf_of) == ("reporter", {"analysts", "agents"}, "ada@corp.example")
    assert who.expires_at == found["expires_at"] == NOW + 3600
    assert any("'ada@corp.example' signed in as agent 'reporter'" in line for line in world.said)
    assert found["token"] not in "".join(world.said)


async def test_the_request_asks_for_an_answer_to_this_gateway(world: World) -> None:
    begun = await world.begin()
    request = asked(begun["url"])
    assert begun["url"].startswith(f"{SSO}?SAMLRequest=")
    assert request.get("Destination") == SSO and request.get("AssertionConsumerServiceURL") == ACS
    assert request.find("saml:Issuer", NS).text == SERVICE
    assert parse_qs(urlsplit(begun["url"]).query)["RelayState"] == [begun["id"]] and len(begun["id"]) <= 80
    other = await world.begin("other")
    assert other["url"].startswith(f"{SSO}?tenant=1&SAMLRequest=")
    assert asked(other["url"]).get("ID") != request.get("ID")


async def test_the_token_ends_with_the_providers_session(world: World) -> None:
    begun = await world.begin()
    page = await world.bring(begun, world.sign(begun, session=f' SessionNotOnOrAfter="{at(600)}"'))
    world.time += 60
    found = json.loads((await world.redeem(begun, code_of(page))).body)
    assert found["expires_at"] == NOW + 600


async def test_a_session_about_to_end_makes_no_token(world: World) -> None:
    begun = await world.begin()
    answer = await world.bring(begun, world.sign(begun, session=f' SessionNotOnOrAfter="{at(20)}"'))
    assert answer.status == 403 and b"about to end" in answer.body


async def test_without_a_port_a_person_carries_the_code(world: World) -> None:
    begun = await world.begin(port=0)
    page = (await world.bring(begun, world.sign(begun))).body.decode()
    assert "127.0.0.1" not in page and "wants to act as you" in page
    (code,) = re.findall(r"<pre>([A-Za-z0-9_-]{43})</pre>", page)
    assert (await world.redeem(begun, code)).status == 200


async def test_the_code_alone_and_the_verifier_alone_are_worth_nothing(world: World) -> None:
    begun = await world.begin()
    code = code_of(await world.bring(begun, world.sign(begun)))
    for attempt in (("x" * 43, VERIFIER), (code, "x" * 43), (code, ""), ("", VERIFIER)):
        refused = await world.redeem(begun, *attempt)
        assert refused.status == 403 and b"does not fit" in refused.body
    assert (await world.redeem(begun, code)).status == 200


async def test_a_token_is_given_once(world: World) -> None:
    begun = await world.begin()
    code = code_of(await world.bring(begun, world.sign(begun)))
    assert [(await world.redeem(begun, code)).status for _ in range(2)] == [200, 403]


async def test_codes_grow_old(world: World) -> None:
    begun = await world.begin()
    code = code_of(await world.bring(begun, world.sign(begun)))
    world.time += CODE_SECONDS
    assert (await world.redeem(begun, code)).status == 403


async def test_a_replayed_answer_is_refused(world: World) -> None:
    begun = await world.begin()
    document = world.sign(begun)
    assert (await world.bring(begun, document)).status == 200
    again = await world.bring(begun, document)
    assert again.status == 403 and b"no sign-in that is under way" in again.body


async def test_an_assertion_cannot_answer_a_second_request_even_one_with_the_same_id(world: World) -> None:
    """The replay cache by itself: were two requests ever given the same ID, the assertion would still count once."""
    first = await world.begin()
    document = world.sign(first)
    world._chance -= 1
    second = await world.begin()
    world.door.book._kept[second["id"]].sign_in = world.door.book._kept[first["id"]].sign_in
    assert (await world.bring(first, document)).status == 200
    again = await world.bring(second, document)
    assert again.status == 403 and b"used before" in again.body


async def test_an_answer_to_one_sign_in_is_none_to_another(world: World) -> None:
    mine, yours = await world.begin(), await world.begin()
    refused = await world.bring(mine, world.sign(yours))
    assert refused.status == 403 and b"InResponseTo" in refused.body
    assert (await world.bring(mine, world.sign(mine))).status == 200


async def test_nothing_that_nobody_asked_for_is_taken(world: World) -> None:
    """IdP-initiated sign-ins have no request that could bind them to whoever gets the token."""
    begun = await world.begin()
    unasked = {"id": ""}
    refused = await world.bring(unasked, world.sign(begun))
    assert refused.status == 403 and b"no sign-in that is under way" in refused.body


async def test_an_answer_that_comes_too_late_is_refused(world: World) -> None:
    begun = await world.begin()
    world.time += SIGN_IN_SECONDS
    assert (await world.bring(begun, world.sign(begun))).status == 403


async def test_one_provider_cannot_answer_for_another(world: World) -> None:
    corp, other = await world.begin(), await world.begin("other")
    assert (await world.bring(corp, world.sign(corp), "other")).status == 403
    assert (await world.bring(other, world.sign(other))).status == 403
    refused = await world.bring(other, world.sign(other), "other")
    assert refused.status == 403 and b"another address" in refused.body


@pytest.mark.parametrize(
    ("subject", "attributes"),
    [
        ("ada\u202e@corp.example", None),
        ("ada@corp.example ", None),
        ("", None),
        ("a" * 257, None),
        ("ada", f"<saml:AttributeStatement>{attribute('agent', '')}</saml:AttributeStatement>"),
        (
            "ada",
            f"<saml:AttributeStatement>{attribute('agent', 'x')}{attribute('groups', *[f'g{n}' for n in range(257)])}"
            "</saml:AttributeStatement>",
        ),
        (
            "ada",
            f"<saml:AttributeStatement>{attribute('agent', 'x')}{attribute('groups', *[f'{n:0>40}' for n in range(160)])}"
            "</saml:AttributeStatement>",
        ),
    ],
)
async def test_names_that_no_token_may_hold_are_refused_in_the_browser(
    world: World, subject: str, attributes: str | None
) -> None:
    begun = await world.begin()
    refused = await world.bring(begun, world.sign(begun, subject=subject, attributes=attributes))
    assert refused.status == 403 and refused.kind.startswith("text/html")


async def test_a_refused_answer_leaves_the_sign_in_as_it_was(world: World) -> None:
    """Else anybody who sees the request's address could spoil it."""
    begun = await world.begin()
    assert (await world.bring(begun, "<x/>")).status == 403
    assert (await world.bring(begun, world.sign(begun))).status == 200


@pytest.mark.parametrize("text", ["%%%", "", "PHg"])
async def test_what_is_no_base64_is_refused(world: World, text: str) -> None:
    begun = await world.begin()
    assert (await world.post("/saml/corp/acs", SAMLResponse=text, RelayState=begun["id"])).status == 403


async def test_broken_lines_of_base64_are_read(world: World) -> None:
    begun = await world.begin()
    lines = base64.encodebytes(world.sign(begun).encode()).decode()
    assert (await world.post("/saml/corp/acs", SAMLResponse=lines, RelayState=begun["id"])).status == 200


async def test_the_metadata_is_what_a_provider_needs(world: World) -> None:
    answer = await world.door.handle(Request("GET", "/saml/corp/metadata"))
    assert answer.status == 200 and answer.kind == "application/samlmetadata+xml"
    root = etree.fromstring(answer.body)
    assert root.get("entityID") == SERVICE
    (place,) = root.iter("{urn:oasis:names:tc:SAML:2.0:metadata}AssertionConsumerService")
    assert place.get("Location") == ACS and place.get("Binding").endswith("HTTP-POST")


@pytest.mark.parametrize(
    ("method", "path", "fields", "status"),
    [
        ("GET", "/saml/begin", {}, 404),
        ("GET", "/saml/corp/acs", {}, 405),
        ("POST", "/saml/corp/metadata", {}, 405),
        ("GET", "/saml/nobody/metadata", {}, 404),
        ("POST", "/saml/nobody/acs", {}, 404),
        ("POST", "/saml/corp/elsewhere", {}, 404),
        ("POST", "/saml/begin", {"idp": "nobody", "challenge": "x" * 43}, 404),
        ("POST", "/saml/begin", {"idp": "corp"}, 400),
        ("POST", "/saml/begin", {"idp": "corp", "challenge": "short"}, 400),
        ("POST", "/saml/begin", {"idp": "corp", "challenge": "x" * 43, "port": "80"}, 400),
        ("POST", "/saml/begin", {"idp": "corp", "challenge": "x" * 43, "port": "70000"}, 400),
        ("POST", "/saml/begin", {"idp": "corp", "challenge": "x" * 43, "port": "many"}, 400),
        ("POST", "/saml/token", {"id": "x"}, 400),
        ("POST", "/saml/corp/acs", {"RelayState": "x"}, 403),
    ],
)
async def test_what_is_not_understood_is_refused(
    world: World, method: str, path: str, fields: dict[str, str], status: int
) -> None:
    answer = await world.door.handle(make_request(method, path, FORM, urlencode(fields).encode()))
    assert answer.status == status
    assert (
        ("error" in json.loads(answer.body)) if answer.kind == "application/json" else b"Not signed in" in answer.body
    )


async def test_bodies_are_bounded_and_must_be_forms(world: World) -> None:
    large = await world.door.handle(make_request("POST", "/saml/corp/acs", FORM, b"x" * (LARGEST_BODY + 1)))
    assert large.status == 413
    other = await world.door.handle(make_request("POST", "/saml/begin", [("Content-Type", "text/xml")], b"<x/>"))
    assert other.status == 400


async def test_too_many_at_once_wait(world: World) -> None:
    for _ in range(MOST):
        await world.begin()
    answer = await world.post("/saml/begin", idp="corp", challenge=hashed(VERIFIER))
    assert answer.status == 503
    world.time += SIGN_IN_SECONDS
    await world.begin()


async def test_a_key_that_does_not_sign_is_our_failure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(message: bytes) -> bytes:
        raise OurFault("KMS does not answer")

    begun = await world.begin()
    code = code_of(await world.bring(begun, world.sign(begun)))
    monkeypatch.setattr(KEY, "sign", broken)
    answer = await world.redeem(begun, code)
    assert answer.status == 503 and b"KMS" not in answer.body
    assert any("KMS does not answer" in line for line in world.said)


async def test_the_gateways_token_is_for_its_provider_alone(world: World) -> None:
    begun = await world.begin()
    token = json.loads((await world.redeem(begun, code_of(await world.bring(begun, world.sign(begun))))).body)["token"]
    with pytest.raises(TokenFault, match="issuer"):
        verify(Secret(token), rules_of("other", 3600.0), key_set(KEY.public), NOW)
    with pytest.raises(TokenFault, match="expired"):
        principal(token, NOW + 3600)


def test_addresses_name_their_provider() -> None:
    assert service_of("https://gateway.example", "corp") == SERVICE
    assert acs_of("https://gateway.example", "corp") == ACS
    assert provider().entity_id == ENTITY and provider().claims == ClaimNames("agent", "groups", "NameID")
