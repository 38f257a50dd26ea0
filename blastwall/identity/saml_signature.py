"""Which part of a SAML response is signed, and by whom: what is returned is the signed bytes, parsed anew. Pure.

Before the library verifies, the signature must be of the one shape that SAML asks for (saml-core-2.0-os 5.4): a child
of what it signs, with one reference to that element's own ID, enveloped and exclusively canonicalized. After it has
verified, nothing of the document that came is looked at again: the reader gets what was canonicalized and digested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import InvalidCertificate, SignXMLException
from signxml.verifier import SignatureConfiguration, XMLVerifier

from blastwall.errors import TokenFault
from blastwall.identity.saml_document import RULES, Element, check, child, children, name_of, parse

SIGNING: Final[Mapping[str, Any]] = RULES["signing"]

_DIGESTS: Final = frozenset(DigestAlgorithm(uri) for uri in SIGNING["digests"])
_FAILURES: Final = (
    SignXMLException,
    InvalidSignature,
    etree.LxmlError,
    ValueError,
    TypeError,
    KeyError,
    RuntimeError,  # not implemented: the library's answer to a key in KeyInfo of another kind than the certificate's
)
_NEW: Final = "start again; if that does not help, ask your identity provider's administrator"


class Signed(StrEnum):
    """What an identity provider must sign. Every signature that is there has to verify, asked for or not."""

    ANY = "any"
    RESPONSE = "response"
    ASSERTION = "assertion"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Verified:
    """``assertion`` is verified. ``response`` is, too; None: only the assertion was signed."""

    assertion: Element
    response: Element | None


def verified(root: Element, certificates: Sequence[x509.Certificate], wanted: Signed, now: float) -> Verified:
    """The verified parts of a response that ``read_response`` has read. ``certificates`` are the provider's, pinned.

    Raises TokenFault when what must be signed is not, or when any signature in it does not verify at ``now``.
    """
    shell = child(root, "saml:Assertion")
    outer = child(root, "ds:Signature") is not None
    inner = shell is not None and child(shell, "ds:Signature") is not None
    if shell is None:
        raise TokenFault(f"the SAML response holds no assertion; {_NEW}")
    if not (outer or inner):
        raise TokenFault(f"neither the SAML response nor its assertion is signed; {_NEW}")
    if wanted in (Signed.RESPONSE, Signed.BOTH) and not outer:
        raise TokenFault(f"the SAML response is not signed, as the gateway's configuration asks; {_NEW}")
    if wanted in (Signed.ASSERTION, Signed.BOTH) and not inner:
        raise TokenFault(f"the SAML assertion is not signed, as the gateway's configuration asks; {_NEW}")
    response = None
    if outer:
        response = _verify(root, certificates, now)
        shell = child(response, "saml:Assertion")
    assertion = _verify(shell, certificates, now) if inner else shell
    return Verified(assertion, response)


def _verify(element: Element, certificates: Sequence[x509.Certificate], now: float) -> Element:
    """The element as it was signed, without its signature. Raises TokenFault."""
    signature = child(element, "ds:Signature")
    _judge(signature, element.get("ID"))
    alone = etree.tostring(element, with_tail=False)
    reason = TokenFault(f"the SAML signature does not verify with the configured certificate; {_NEW}")
    for certificate in certificates:
        try:
            result = XMLVerifier().verify(
                alone,
                x509_cert=certificate,
                id_attribute="ID",
                expect_config=_expected(certificate, now),
            )
        except InvalidCertificate:
            reason = TokenFault(
                f"the identity provider's certificate is not valid now; {_NEW} for the new one, and configure it"
            )
        except _FAILURES:
            continue
        else:
            if isinstance(result, list) or not result.signed_data:
                raise reason
            return _same(parse(result.signed_data), element)
    raise reason


def _expected(certificate: x509.Certificate, now: float) -> SignatureConfiguration:
    kind = "rsa" if isinstance(certificate.public_key(), rsa.RSAPublicKey) else "ec"
    return SignatureConfiguration(
        require_x509=True,
        location="./",
        expect_references=1,
        signature_methods=frozenset(SignatureMethod(uri) for uri in SIGNING["methods"][kind]),
        digest_algorithms=_DIGESTS,
        verification_time=datetime.fromtimestamp(now, UTC),
    )


def _same(signed: Element, element: Element) -> Element:
    """What was digested must be what was meant: the same element, and still of the schema."""
    if name_of(signed) != name_of(element) or signed.get("ID") != element.get("ID"):
        raise TokenFault(f"the SAML signature is for another element than the one around it; {_NEW}")
    if child(signed, "ds:Signature") is not None:
        raise TokenFault(f"the SAML signature covers itself; {_NEW}")
    check(signed)
    return signed


def _judge(signature: Element, id: str) -> None:
    """The one shape of a signature that is accepted; what verifies in another shape is refused all the same."""
    info = child(signature, "ds:SignedInfo")
    reference = child(info, "ds:Reference")
    if reference.get("URI") != f"#{id}":
        raise TokenFault(f"the SAML signature is for another element than the one around it; {_NEW}")
    if child(info, "ds:CanonicalizationMethod").get("Algorithm") != SIGNING["canonicalization"]:
        raise TokenFault(f"the SAML signature is not made over exclusive canonical XML; {_NEW} to use xml-exc-c14n")
    transforms = [one.get("Algorithm") for one in children(child(reference, "ds:Transforms"), "ds:Transform")]
    if transforms != SIGNING["transforms"]:
        raise TokenFault(f"the SAML signature uses other transforms than SAML asks for; {_NEW}")
    if child(reference, "ds:DigestMethod").get("Algorithm") not in SIGNING["digests"]:
        raise TokenFault(
            f"the SAML signature uses a digest that is not accepted (SHA-1, for one); {_NEW} to use SHA-256"
        )
    method = child(info, "ds:SignatureMethod").get("Algorithm")
    if not any(method in methods for methods in SIGNING["methods"].values()):
        raise TokenFault(
            "the SAML signature uses an algorithm that is not accepted (SHA-1 and HMAC never are); "
            f"{_NEW} to use RSA-SHA256"
        )
