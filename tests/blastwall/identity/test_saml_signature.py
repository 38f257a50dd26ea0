"""Signatures of the wrong kind, in the wrong place, by the wrong key; the eight wrappings of Somorovsky et al. (XSW)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lxml import etree

from blastwall.errors import TokenFault
from blastwall.identity.saml_signature import Signed, verified
from tests.blastwall.identity import saml_forge as forge
from tests.blastwall.identity.saml_forge import DS, NOW, NS, SAML, SAMLP, Signer, good, idp, read, rearranged, stranger

Root = Any


@cache
def by_assertion() -> str:
    return good()


@cache
def by_response() -> str:
    return idp().sign(forge.response(), "_r1")


@cache
def by_both() -> str:
    return idp().sign(good(), "_r1")


SIGNED = {"assertion": by_assertion, "response": by_response, "both": by_both}


def part(root: Root, path: str) -> Root:
    found = root.find(path, NS)
    assert found is not None
    return found


def evil(element: Root, id: str | None) -> Root:
    """A copy that speaks of somebody else, unsigned; with an ID of its own, or (None) the genuine one."""
    made = copy.deepcopy(element)
    for name in made.iter(f"{{{SAML}}}NameID"):
        name.text = "root@corp.example"
    for signature in made.findall(".//ds:Signature", NS):
        signature.getparent().remove(signature)
    if id is not None:
        for one in made.iter(f"{{{SAML}}}Assertion", f"{{{SAMLP}}}Response"):
            one.set("ID", f"{id}{one.get('ID')}")
    return made


def xsw1(root: Root, id: str | None) -> Root:
    """A forged response around the genuine one, which stands behind the signature."""
    forged = evil(root, id)
    forged.insert(1, copy.deepcopy(part(root, ".//ds:Signature")))
    forged.find("ds:Signature", NS).append(copy.deepcopy(root))
    return forged


def xsw2(root: Root, id: str | None) -> Root:
    """The same, with the genuine response in front of the signature."""
    forged = evil(root, id)
    signature = copy.deepcopy(part(root, ".//ds:Signature"))
    forged.insert(1, copy.deepcopy(root))
    forged.insert(2, signature)
    return forged


def xsw3(root: Root, id: str | None) -> Root:
    """A forged assertion before the genuine one."""
    genuine = part(root, "saml:Assertion")
    genuine.addprevious(evil(genuine, id))
    return root


def xsw4(root: Root, id: str | None) -> Root:
    """A forged assertion around the genuine one."""
    genuine = part(root, "saml:Assertion")
    forged = evil(genuine, id)
    root.replace(genuine, forged)
    forged.append(genuine)
    return root


def xsw5(root: Root, id: str | None) -> Root:
    """A forged assertion with the genuine signature, and the genuine assertion without it at the end."""
    genuine = part(root, "saml:Assertion")
    forged = evil(genuine, id)
    signature = part(root, ".//ds:Signature")
    root.replace(genuine, forged)
    forged.insert(1, copy.deepcopy(signature))
    bare = copy.deepcopy(genuine)
    for one in bare.findall("ds:Signature", NS):
        bare.remove(one)
    root.append(bare)
    return root


def xsw6(root: Root, id: str | None) -> Root:
    """The same, with the genuine assertion inside the signature."""
    xsw5(root, id)
    bare = root[-1]
    part(root, "saml:Assertion[1]/ds:Signature").append(bare)
    return root


def xsw7(root: Root, id: str | None) -> Root:
    """The forged assertion in Extensions, which may hold anything."""
    extensions = etree.Element(f"{{{SAMLP}}}Extensions")
    extensions.append(evil(part(root, "saml:Assertion"), id))
    root.insert(1, extensions)
    return root


def xsw8(root: Root, id: str | None) -> Root:
    """The genuine assertion in an Object of the signature that the forged one carries."""
    xsw5(root, id)
    bare = root[-1]
    place = etree.SubElement(part(root, "saml:Assertion[1]/ds:Signature"), f"{{{DS}}}Object")
    place.append(bare)
    return root


WRAPPINGS = (xsw1, xsw2, xsw3, xsw4, xsw5, xsw6, xsw7, xsw8)


@pytest.mark.parametrize("id", [None, "_evil"], ids=["same-id", "own-id"])
@pytest.mark.parametrize("signed", sorted(SIGNED))
@pytest.mark.parametrize("wrap", WRAPPINGS)
def test_a_wrapped_signature_carries_nobody(
    wrap: Callable[[Root, str | None], Root], signed: str, id: str | None
) -> None:
    wrapped = etree.tostring(wrap(etree.fromstring(SIGNED[signed]()), id))
    assert b"root@corp.example" in wrapped  # the attack is there at all
    with pytest.raises(TokenFault):
        read(wrapped)


@pytest.mark.parametrize("wrap", WRAPPINGS)
def test_where_the_schema_does_not_see_it_the_signature_does(wrap, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second wall by itself: with any form let pass, what is returned still is what was signed."""
    monkeypatch.setattr("blastwall.identity.saml_signature.check", lambda root: None)
    root = wrap(etree.fromstring(by_assertion()), "_evil")
    try:
        found = verified(root, (idp().certificate,), Signed.ANY, NOW)
    except TokenFault:
        return
    assert found.assertion.find(".//saml:NameID", NS).text == "ada@corp.example"


@pytest.mark.parametrize("signed", sorted(SIGNED))
def test_a_changed_word_breaks_the_signature(signed: str) -> None:
    with pytest.raises(TokenFault, match="does not verify"):
        read(SIGNED[signed]().replace("ada@corp.example", "eve@corp.example"))


@pytest.mark.parametrize("signed", sorted(SIGNED))
def test_a_signature_taken_off_is_missed(signed: str) -> None:
    def strip(root: Root) -> None:
        for one in root.findall(".//ds:Signature", NS):
            one.getparent().remove(one)

    with pytest.raises(TokenFault, match="is signed"):
        read(rearranged(SIGNED[signed](), strip))


def test_one_good_signature_does_not_excuse_a_bad_one() -> None:
    """Signed by the provider outside, by a stranger inside; and the other way round."""
    inside = stranger().sign(forge.response())
    with pytest.raises(TokenFault, match="does not verify"):
        read(idp().sign(inside, "_r1"))
    outside = idp().sign(forge.response())
    with pytest.raises(TokenFault, match="does not verify"):
        read(stranger().sign(outside, "_r1"))


def test_a_certificate_in_the_message_is_not_the_pinned_one() -> None:
    """TOK-033: the stranger's certificate stands in KeyInfo and fits the stranger's signature."""
    with pytest.raises(TokenFault, match="does not verify"):
        read(stranger().sign(forge.response()))


def test_another_certificate_in_the_message_does_not_matter_when_the_pinned_key_signed() -> None:
    info = "<ds:KeyInfo><ds:KeyName>whatever</ds:KeyName></ds:KeyInfo>"
    assert read(idp().sign(forge.response(), key_info=info)).agent == "reporter"
    assert read(idp().sign(forge.response(), key_info="")).agent == "reporter"


def test_a_second_certificate_is_pinned_while_keys_change() -> None:
    both = (stranger().certificate, idp().certificate)
    assert read(by_assertion(), certificates=both).agent == "reporter"
    assert read(stranger().sign(forge.response()), certificates=both).agent == "reporter"


def test_keys_on_a_curve_verify() -> None:
    curve = Signer("ec")
    method = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
    signed = curve.sign(forge.response(), method=method)
    assert read(signed, certificates=(curve.certificate,)).agent == "reporter"
    with pytest.raises(TokenFault, match="does not verify"):
        read(signed)


def test_a_certificate_out_of_its_time_is_refused() -> None:
    past = Signer(days=-1)
    with pytest.raises(TokenFault, match="not valid now"):
        read(past.sign(forge.response()), certificates=(past.certificate,))


@pytest.mark.parametrize("size", [256, 384, 512])
def test_the_sha_2_family_verifies(size: int) -> None:
    method = f"http://www.w3.org/2001/04/xmldsig-more#rsa-sha{size}"
    home = "xmldsig-more" if size == 384 else "xmlenc"
    signed = idp().sign(forge.response(), method=method, digest=f"http://www.w3.org/2001/04/{home}#sha{size}")
    assert read(signed).agent == "reporter"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"method": f"{DS}rsa-sha1"}, "SHA-1 and HMAC"),
        ({"digest": f"{DS}sha1"}, "digest"),
        ({"c14n": "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"}, "exclusive"),
        ({"c14n": "http://www.w3.org/2001/10/xml-exc-c14n#WithComments"}, "exclusive"),
        ({"transforms": (forge.EXCLUSIVE, forge.ENVELOPED)}, "transforms"),
        ({"transforms": (forge.ENVELOPED, "http://www.w3.org/TR/1999/REC-xslt-19991116")}, "transforms"),
        ({"transforms": (forge.ENVELOPED, "http://www.w3.org/TR/1999/REC-xpath-19991116")}, "transforms"),
        ({"transforms": (forge.ENVELOPED, "http://www.w3.org/2000/09/xmldsig#base64")}, "transforms"),
        ({"transforms": (forge.ENVELOPED,)}, "schema's order"),
        ({"transforms": (forge.ENVELOPED, forge.EXCLUSIVE, forge.EXCLUSIVE)}, "schema's order"),
        ({"uri": ""}, "another element"),
        ({"uri": "#_r1"}, "another element"),
        ({"uri": "#xpointer(id('_a1'))"}, "another element"),
        ({"uri": "https://idp.example/assertion.xml"}, "another element"),
    ],
)
def test_a_genuine_signature_of_another_shape_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(TokenFault, match=reason):
        read(idp().sign(forge.response(), **changes))


def test_the_public_key_is_no_hmac_secret() -> None:
    """The algorithm is the attacker's to write, the certificate everybody's to read."""
    public = idp().certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    method = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"
    for secret in (public, idp().pem):
        with pytest.raises(TokenFault, match="SHA-1 and HMAC"):
            read(stranger().sign(forge.response(), method=method, secret=secret))


def test_two_references_are_one_too_many() -> None:
    def double(root: Root) -> None:
        reference = part(root, ".//ds:Reference")
        reference.addnext(copy.deepcopy(reference))

    with pytest.raises(TokenFault, match="schema's order"):
        read(rearranged(by_assertion(), double))


@pytest.mark.parametrize("signed", ["assertion", "response"])
def test_two_signatures_are_one_too_many(signed: str) -> None:
    """One in the schema's place and one at the end: only one would be looked at."""

    def double(root: Root) -> None:
        signature = part(root, ".//ds:Signature")
        signature.getparent().append(copy.deepcopy(signature))

    with pytest.raises(TokenFault, match="schema's order"):
        read(rearranged(SIGNED[signed](), double))


def test_an_empty_digest_is_no_digest() -> None:
    """What cannot be canonicalized hashes to the digest of nothing: then nothing must verify."""

    def empty(root: Root) -> None:
        part(root, ".//ds:DigestValue").text = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

    with pytest.raises(TokenFault, match="does not verify"):
        read(rearranged(by_assertion(), empty))


@pytest.mark.parametrize("value", ["", "AA==", "not base64!", "é"])
def test_a_signature_value_that_is_none_is_refused(value: str) -> None:
    def spoil(root: Root) -> None:
        part(root, ".//ds:SignatureValue").text = value

    with pytest.raises(TokenFault, match="does not verify"):
        read(rearranged(by_assertion(), spoil))


def test_a_key_of_another_kind_in_the_message_is_a_refusal_and_no_crash() -> None:
    info = (
        "<ds:KeyInfo><ds:KeyValue><ds:RSAKeyValue><ds:Modulus>AQAB</ds:Modulus><ds:Exponent>AQAB</ds:Exponent>"
        "</ds:RSAKeyValue></ds:KeyValue></ds:KeyInfo>"
    )
    curve = Signer("ec")
    method = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
    with pytest.raises(TokenFault, match="does not verify"):
        read(curve.sign(forge.response(), method=method, key_info=info), certificates=(curve.certificate,))
