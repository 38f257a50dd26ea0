from __future__ import annotations

import base64
from functools import cache

import pytest
from lxml import etree

from blastwall.errors import TokenFault
from blastwall.identity.claims import ClaimNames
from blastwall.identity.saml_assertion import Identity
from blastwall.identity.saml_signature import Signed
from tests.blastwall.identity import saml_forge as forge
from tests.blastwall.identity.saml_forge import ACS, ENTITY, NOW, REQUEST, SERVICE, at, attribute, good, idp, read

BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
ADA = Identity("ada@corp.example", "reporter", ("analysts", "agents"), "ada@corp.example", "_a1", NOW + 300, None)


@cache
def plain() -> str:
    return good()


def test_a_signed_assertion_speaks_of_somebody() -> None:
    assert read(plain()) == ADA


def test_a_response_signed_as_a_whole_does_too() -> None:
    assert read(idp().sign(forge.response(), "_r1")) == ADA


def test_both_may_be_signed() -> None:
    both = idp().sign(idp().sign(forge.response()), "_r1")
    assert read(both) == ADA and read(both, signed=Signed.BOTH) == ADA


@pytest.mark.parametrize(
    ("signed", "missing"),
    [(Signed.RESPONSE, "response is not signed"), (Signed.BOTH, "response is not signed")],
)
def test_what_the_configuration_wants_signed_must_be(signed: Signed, missing: str) -> None:
    with pytest.raises(TokenFault, match=missing):
        read(plain(), signed=signed)
    with pytest.raises(TokenFault, match="assertion is not signed"):
        read(idp().sign(forge.response(), "_r1"), signed=Signed.ASSERTION)


def test_the_session_ends_when_the_provider_says() -> None:
    assert read(good(session=f' SessionNotOnOrAfter="{at(1800)}"')).session_ends == NOW + 1800


def test_fractions_of_seconds_are_read() -> None:
    until = at(1800).replace("Z", ".25Z")
    assert read(good(session=f' SessionNotOnOrAfter="{until}"')).session_ends == NOW + 1800.25


def test_several_attributes_become_groups_that_name_them() -> None:
    inside = (
        f"<saml:AttributeStatement>{attribute('dept', 'it', 'ops')}{attribute('role', 'dev')}</saml:AttributeStatement>"
    )
    found = read(good(attributes=inside), claims=ClaimNames("NameID", ("dept", "role"), None))
    assert found.agent == "ada@corp.example" and found.on_behalf_of is None
    assert found.groups == ("dept=it", "dept=ops", "role=dev")


def test_a_value_of_one_attribute_cannot_pass_for_anothers() -> None:
    inside = (
        f"<saml:AttributeStatement>{attribute('dept', 'role=owner')}{attribute('agent', 'x')}</saml:AttributeStatement>"
    )
    assert read(good(attributes=inside), claims=ClaimNames("agent", ("dept",), None)).groups == ("dept=role=owner",)


def test_a_value_that_is_said_to_be_none_is_none() -> None:
    nil = '<saml:AttributeValue xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"/>'
    groups = attribute("groups", "x").replace("<saml:AttributeValue>x</saml:AttributeValue>", nil)
    inside = f"<saml:AttributeStatement>{attribute('agent', 'reporter')}{groups}</saml:AttributeStatement>"
    assert read(good(attributes=inside)).groups == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"issuer": "https://other.example"}, "another identity provider"),
        ({"issuer": f"{ENTITY}/"}, "another identity provider"),
        ({"audience": "https://other.example"}, "another audience"),
        ({"audience": f"{SERVICE}/"}, "another audience"),
        ({"recipient": "https://other.example/acs"}, "another recipient"),
        ({"answered": "_other"}, "InResponseTo"),
        ({"delivered": 0}, "expired"),
        ({"delivered": 2 * 86_400}, "longer than a day"),
        ({"issued": 31}, "not valid yet"),
        ({"issued": -3600}, "older than the request"),
        ({"conditions": "<saml:Conditions/>"}, "no end"),
        ({"conditions": f'<saml:Conditions NotOnOrAfter="{at(300)}"/>'}, "no audience"),
        (
            {
                "conditions": f'<saml:Conditions NotOnOrAfter="{at(-1)}"><saml:AudienceRestriction><saml:Audience>{SERVICE}'
                "</saml:Audience></saml:AudienceRestriction></saml:Conditions>"
            },
            "expired",
        ),
        (
            {
                "conditions": f'<saml:Conditions NotBefore="{at(31)}" NotOnOrAfter="{at(300)}"><saml:AudienceRestriction>'
                f"<saml:Audience>{SERVICE}</saml:Audience></saml:AudienceRestriction></saml:Conditions>"
            },
            "not valid yet",
        ),
        (
            {
                "conditions": f'<saml:Conditions NotOnOrAfter="{at(300)}"><saml:AudienceRestriction><saml:Audience>{SERVICE}'
                "</saml:Audience></saml:AudienceRestriction><saml:AudienceRestriction><saml:Audience>https://other.example"
                "</saml:Audience></saml:AudienceRestriction></saml:Conditions>"
            },
            "another audience",
        ),
        (
            {"confirmation": '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:sender-vouches"/>'},
            "bearer",
        ),
        ({"confirmation": f'<saml:SubjectConfirmation Method="{BEARER}"/>'}, "bearer"),
        (
            {
                "confirmation": f'<saml:SubjectConfirmation Method="{BEARER}"><saml:SubjectConfirmationData '
                f'NotOnOrAfter="{at(300)}" InResponseTo="{REQUEST}"/></saml:SubjectConfirmation>'
            },
            "another recipient",
        ),
        (
            {
                "confirmation": f'<saml:SubjectConfirmation Method="{BEARER}"><saml:SubjectConfirmationData '
                f'NotOnOrAfter="{at(300)}" Recipient="{ACS}"/></saml:SubjectConfirmation>'
            },
            "InResponseTo",
        ),
        (
            {
                "confirmation": f'<saml:SubjectConfirmation Method="{BEARER}"><saml:SubjectConfirmationData '
                f'Recipient="{ACS}" InResponseTo="{REQUEST}"/></saml:SubjectConfirmation>'
            },
            "no end",
        ),
        (
            {
                "confirmation": f'<saml:SubjectConfirmation Method="{BEARER}"><saml:SubjectConfirmationData NotBefore="{at(-9)}" '
                f'NotOnOrAfter="{at(300)}" Recipient="{ACS}" InResponseTo="{REQUEST}"/></saml:SubjectConfirmation>'
            },
            "NotBefore",
        ),
        ({"authenticated": ""}, "AuthnStatement"),
        ({"session": f' SessionNotOnOrAfter="{at(0)}"'}, "expired"),
        ({"session": f' SessionNotOnOrAfter="{at(900)[:-1]}+00:00"'}, "UTC"),
        ({"session": ' SessionNotOnOrAfter="2027-02-30T00:00:00Z"'}, "UTC"),
        ({"attributes": ""}, "no attribute 'agent'"),
        (
            {"attributes": f"<saml:AttributeStatement>{attribute('agent', 'a', 'b')}</saml:AttributeStatement>"},
            "2 values",
        ),
        (
            {
                "attributes": f"<saml:AttributeStatement>{attribute('agent', 'a')}{attribute('agent', 'b')}"
                "</saml:AttributeStatement>"
            },
            "twice",
        ),
        (
            {
                "attributes": f"<saml:AttributeStatement>{attribute('agent', 'a')}{attribute('NameID', 'root')}"
                "</saml:AttributeStatement>"
            },
            "twice",
        ),
    ],
)
def test_a_genuine_assertion_that_is_not_for_us_now_is_refused(changes: dict[str, str], reason: str) -> None:
    with pytest.raises(TokenFault, match=reason):
        read(good(**changes))


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (f' InResponseTo="{REQUEST}" Destination="https://other.example/acs"', "Destination"),
        (f' Destination="{ACS}" InResponseTo="_other"', "InResponseTo"),
    ],
)
def test_what_an_unsigned_response_says_can_only_refuse(more: str, reason: str) -> None:
    with pytest.raises(TokenFault, match=reason):
        read(idp().sign(forge.response(more=more)))


@pytest.mark.parametrize(("more", "reason"), [("", "Destination"), (f' Destination="{ACS}"', "InResponseTo")])
def test_a_signed_response_must_say_where_and_to_what(more: str, reason: str) -> None:
    assert read(idp().sign(forge.response(more=more))) == ADA
    with pytest.raises(TokenFault, match=reason):
        read(idp().sign(forge.response(more=more), "_r1"))


def test_of_several_confirmations_one_must_fit() -> None:
    unfit = '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:sender-vouches"/>'
    fit = (
        f'<saml:SubjectConfirmation Method="{BEARER}"><saml:SubjectConfirmationData NotOnOrAfter="{at(300)}" '
        f'Recipient="{ACS}" InResponseTo="{REQUEST}"/></saml:SubjectConfirmation>'
    )
    assert read(good(confirmation=unfit + fit)) == ADA


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("urn:oasis:names:tc:SAML:2.0:status:RequestDenied", "denies you"),
        ("urn:oasis:names:tc:SAML:2.0:status:Responder", "failed"),
        ("urn:made:up", "no reason"),
    ],
)
def test_a_provider_that_says_no_is_quoted_in_our_words(status: str, words: str) -> None:
    with pytest.raises(TokenFault, match=words):
        read(forge.response("", status=status))


def test_the_inner_status_says_more() -> None:
    outer = '<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Responder"/>'
    nested = outer.replace(
        "/>", '><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:AuthnFailed"/></samlp:StatusCode>'
    )
    refused = forge.response("", status="urn:oasis:names:tc:SAML:2.0:status:Responder").replace(outer, nested)
    with pytest.raises(TokenFault, match="could not authenticate you"):
        read(refused)


def test_success_without_an_assertion_is_nothing() -> None:
    with pytest.raises(TokenFault, match="no assertion"):
        read(idp().sign(forge.response(""), "_r1"))


def test_a_failure_around_a_signed_assertion_stays_a_failure() -> None:
    with pytest.raises(TokenFault, match="did not sign you in"):
        read(idp().sign(forge.response(status="urn:oasis:names:tc:SAML:2.0:status:Responder")))


# The shapes that products send: prefixes, default namespaces, types, white space, what is signed.
def entra() -> str:
    """Microsoft Entra ID: the assertion in a default namespace, nothing on the response but its issuer."""
    text = forge.assertion().replace("saml:", "").replace("xmlns:saml=", "xmlns=")
    return idp().sign(forge.response(text))


def okta() -> str:
    """Okta: both signed, typed values, and their prefix in InclusiveNamespaces."""
    xs = 'xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    text = forge.assertion().replace("<saml:AttributeValue>", f'<saml:AttributeValue {xs} xsi:type="xs:string">')
    text = text.replace('ID="_a1"', f'ID="_a1" {xs}')
    signed = idp().sign(forge.response(text), prefixes="xs")
    return idp().sign(signed, "_r1", prefixes="xs")


def keycloak() -> str:
    """Keycloak: the response signed, an RSAKeyValue and a KeyName beside the certificate."""
    numbers = idp().key.public_key().public_numbers()
    modulus = base64.b64encode(numbers.n.to_bytes(256, "big")).decode()
    info = (
        "<ds:KeyInfo><ds:KeyName>k1</ds:KeyName><ds:KeyValue><ds:RSAKeyValue>"
        f"<ds:Modulus>{modulus}</ds:Modulus><ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo>"
    )
    return idp().sign(forge.response(), "_r1", key_info=info)


def indented() -> str:
    """ADFS and Shibboleth may be told to print it prettily before they sign."""
    root = etree.fromstring(forge.response())
    etree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + idp().sign(etree.tostring(root).decode())


def signed_last() -> str:
    """What signs with the library's defaults (nanoidp, for one) puts the signature behind everything else."""
    root = etree.fromstring(plain())
    inside = root.find("saml:Assertion", forge.NS)
    inside.append(inside.find("ds:Signature", forge.NS))
    return etree.tostring(root).decode()


@pytest.mark.parametrize("shape", [entra, okta, keycloak, indented, signed_last])
def test_the_shapes_of_products_are_read(shape) -> None:
    assert read(shape()) == ADA
