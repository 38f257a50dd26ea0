"""An identity provider that says whatever a test wants: SAML responses as text, signed by hand with lxml's canonical XML
and cryptography, so that what verifies them (signxml) is not what made them."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.x509.oid import NameOID
from lxml import etree

from blastwall.identity.claims import ClaimNames
from blastwall.identity.saml_assertion import Expected, Identity, IdentityProvider, identify
from blastwall.identity.saml_signature import Signed

NOW = 1_800_000_000.0
ENTITY = "https://idp.example/saml"
SERVICE = "https://gateway.example/saml/corp"
ACS = f"{SERVICE}/acs"
REQUEST = "_4f1a2b3c"
EXPECTED = Expected(REQUEST, NOW - 60)
CLAIMS = ClaimNames(agent="agent", groups="groups", on_behalf_of="NameID")

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
DS = "http://www.w3.org/2000/09/xmldsig#"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED = f"{DS}enveloped-signature"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
NS = {"saml": SAML, "samlp": SAMLP, "ds": DS}

_KEYS: dict[str, Callable[[int], Any]] = {
    "rsa": lambda bits: rsa.generate_private_key(65537, bits),
    "ec": lambda bits: ec.generate_private_key(ec.SECP256R1()),
    "p224": lambda bits: ec.generate_private_key(ec.SECP224R1()),
    "ed": lambda bits: ed25519.Ed25519PrivateKey.generate(),
}
_HASHES = {"1": hashes.SHA1, "256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}


def at(seconds: float = 0.0) -> str:
    """A SAML time, from now."""
    return datetime.fromtimestamp(NOW + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def attribute(name: str, *values: str) -> str:
    inside = "".join(f"<saml:AttributeValue>{value}</saml:AttributeValue>" for value in values)
    return f'<saml:Attribute Name="{name}">{inside}</saml:Attribute>'


def assertion(
    *,
    id: str = "_a1",
    subject: str = "ada@corp.example",
    issuer: str = ENTITY,
    issued: float = -5,
    confirmation: str | None = None,
    recipient: str = ACS,
    answered: str = REQUEST,
    delivered: float = 300,
    conditions: str | None = None,
    audience: str = SERVICE,
    authenticated: str | None = None,
    session: str = "",
    attributes: str | None = None,
) -> str:
    """A good assertion, but for the changes; not signed."""
    if confirmation is None:
        confirmation = (
            '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData '
            f'NotOnOrAfter="{at(delivered)}" Recipient="{recipient}" InResponseTo="{answered}"/>'
            "</saml:SubjectConfirmation>"
        )
    if conditions is None:
        conditions = (
            f'<saml:Conditions NotBefore="{at(-5)}" NotOnOrAfter="{at(300)}"><saml:AudienceRestriction>'
            f"<saml:Audience>{audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions>"
        )
    if authenticated is None:
        authenticated = (
            f'<saml:AuthnStatement AuthnInstant="{at(-5)}" SessionIndex="_s1"{session}><saml:AuthnContext>'
            "<saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
            "</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>"
        )
    if attributes is None:
        attributes = (
            "<saml:AttributeStatement>"
            + attribute("agent", "reporter")
            + attribute("groups", "analysts", "agents")
            + "</saml:AttributeStatement>"
        )
    return (
        f'<saml:Assertion xmlns:saml="{SAML}" ID="{id}" Version="2.0" IssueInstant="{at(issued)}">'
        f"<saml:Issuer>{issuer}</saml:Issuer><saml:Subject><saml:NameID>{subject}</saml:NameID>{confirmation}"
        f"</saml:Subject>{conditions}{authenticated}{attributes}</saml:Assertion>"
    )


def response(
    inside: str | None = None,
    *,
    id: str = "_r1",
    issuer: str | None = ENTITY,
    status: str = "urn:oasis:names:tc:SAML:2.0:status:Success",
    more: str = f' Destination="{ACS}" InResponseTo="{REQUEST}"',
) -> str:
    """A response around an assertion (None: a good one); not signed."""
    said = "" if issuer is None else f'<saml:Issuer xmlns:saml="{SAML}">{issuer}</saml:Issuer>'
    return (
        f'<samlp:Response xmlns:samlp="{SAMLP}" ID="{id}" Version="2.0" IssueInstant="{at(-5)}"{more}>{said}'
        f'<samlp:Status><samlp:StatusCode Value="{status}"/></samlp:Status>'
        f"{assertion() if inside is None else inside}</samlp:Response>"
    )


class Signer:
    """A provider's key and certificate; valid for ``days`` around the tests' time."""

    def __init__(self, kind: str = "rsa", *, days: int = 365, bits: int = 2048) -> None:
        self.key: Any = _KEYS[kind](bits)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp.example")])
        now = datetime.fromtimestamp(NOW, UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=abs(days)))
            .not_valid_after(now + timedelta(days=days))
            .sign(self.key, None if kind == "ed" else hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def sign(
        self,
        document: str,
        id: str = "_a1",
        *,
        method: str = RSA_SHA256,
        digest: str = SHA256,
        c14n: str = EXCLUSIVE,
        transforms: tuple[str, ...] = (ENVELOPED, EXCLUSIVE),
        uri: str | None = None,
        prefixes: str = "",
        key_info: str | None = None,
        secret: bytes = b"",
    ) -> str:
        """Sign the element with this ID as it stands in the document; anything but the defaults is for attacks."""
        root = etree.fromstring(document)
        (element,) = root.xpath("//*[@ID=$id]", id=id)
        listed = [prefix for prefix in prefixes.split() if prefix]
        inclusive = f'<ec:InclusiveNamespaces xmlns:ec="{EXCLUSIVE}" PrefixList="{prefixes}"/>' if prefixes else ""
        canonical = etree.tostring(
            element, method="c14n", exclusive=True, with_comments=False, inclusive_ns_prefixes=listed
        )
        hashed = hashes.Hash(_hash(digest))
        hashed.update(canonical)
        if key_info is None:
            der = base64.b64encode(self.certificate.public_bytes(serialization.Encoding.DER)).decode()
            key_info = (
                f"<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{der}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
            )
        steps = "".join(
            f'<ds:Transform Algorithm="{one}">{inclusive if one == EXCLUSIVE else ""}</ds:Transform>'
            for one in transforms
        )
        signature = etree.fromstring(
            f'<ds:Signature xmlns:ds="{DS}"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="{c14n}"/>'
            f'<ds:SignatureMethod Algorithm="{method}"/><ds:Reference URI="{f"#{id}" if uri is None else uri}">'
            f'<ds:Transforms>{steps}</ds:Transforms><ds:DigestMethod Algorithm="{digest}"/>'
            f"<ds:DigestValue>{base64.b64encode(hashed.finalize()).decode()}</ds:DigestValue></ds:Reference>"
            f"</ds:SignedInfo><ds:SignatureValue/>{key_info}</ds:Signature>"
        )
        issuer = element.find("saml:Issuer", NS)
        element.insert(0 if issuer is None else element.index(issuer) + 1, signature)
        info = signature.find("ds:SignedInfo", NS)
        message = etree.tostring(info, method="c14n", exclusive=c14n.startswith(EXCLUSIVE), with_comments=False)
        signature.find("ds:SignatureValue", NS).text = base64.b64encode(self._raw(method, message, secret)).decode()
        return etree.tostring(root).decode()

    def _raw(self, method: str, message: bytes, secret: bytes) -> bytes:
        algorithm = _hash(method)
        if "hmac" in method:
            mac = HMAC(secret, algorithm)
            mac.update(message)
            return mac.finalize()
        if "ecdsa" in method:
            r, s = decode_dss_signature(self.key.sign(message, ec.ECDSA(algorithm)))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return bytes(self.key.sign(message, padding.PKCS1v15(), algorithm))


def _hash(uri: str) -> Any:
    return _HASHES[uri.rpartition("sha")[2]]()


@cache
def idp() -> Signer:
    return Signer()


@cache
def stranger() -> Signer:
    """Somebody else's key, with a certificate that says the same."""
    return Signer()


def provider(**changes: Any) -> IdentityProvider:
    given: dict[str, Any] = {
        "name": "corp",
        "entity_id": ENTITY,
        "certificates": (idp().certificate,),
        "service": SERVICE,
        "acs": ACS,
        "claims": CLAIMS,
        "signed": Signed.ANY,
    }
    return IdentityProvider(**given | changes)


def read(document: str | bytes, **changes: Any) -> Identity:
    """What the gateway makes of it, at the tests' time."""
    raw = document.encode() if isinstance(document, str) else document
    return identify(raw, provider(**changes), EXPECTED, NOW)


def good(**changes: Any) -> str:
    """A response whose assertion is signed."""
    return idp().sign(response(assertion(**changes)))


def asked(url: str) -> Any:
    """The AuthnRequest that an address carries."""
    packed = base64.b64decode(parse_qs(urlsplit(url).query)["SAMLRequest"][0])
    return etree.fromstring(zlib.decompress(packed, -zlib.MAX_WBITS))


def rearranged(document: str, change: Callable[[Any], None]) -> str:
    """The document after an attacker's work on its tree."""
    root = etree.fromstring(document)
    change(root)
    return etree.tostring(root).decode()
