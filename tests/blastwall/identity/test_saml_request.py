from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from lxml import etree

from blastwall.identity.saml_request import POST, metadata, redirect
from tests.blastwall.identity.saml_forge import ACS, NS, SERVICE, asked

NOW = 1_800_000_000.0
SSO = "https://idp.example/sso"


def test_the_request_is_in_the_address_as_the_binding_says() -> None:
    url = redirect(SSO, "_id", SERVICE, ACS, "state", NOW)
    request = asked(url)
    assert request.tag == f"{{{NS['samlp']}}}AuthnRequest"
    assert (request.get("ID"), request.get("Version"), request.get("IssueInstant")) == (
        "_id",
        "2.0",
        "2027-01-15T08:00:00Z",
    )
    assert request.get("ProtocolBinding") == POST and request.get("AssertionConsumerServiceURL") == ACS
    assert parse_qs(urlsplit(url).query)["RelayState"] == ["state"]


def test_a_query_that_is_there_stays() -> None:
    url = redirect(f"{SSO}?tenant=a&x=b", "_id", SERVICE, ACS, "s&t=1", NOW)
    fields = parse_qs(urlsplit(url).query)
    assert fields["tenant"] == ["a"] and fields["x"] == ["b"] and fields["RelayState"] == ["s&t=1"]
    assert "t" not in fields


def test_what_is_configured_cannot_break_out_of_its_place() -> None:
    strange = 'https://x.example/"><evil a="&amp;'
    request = asked(redirect(strange, "_id", strange, strange, "s", NOW))
    assert request.get("Destination") == strange and request.find("saml:Issuer", NS).text == strange
    root = etree.fromstring(metadata(strange, strange))
    assert root.get("entityID") == strange and len(list(root.iter())) == 3
