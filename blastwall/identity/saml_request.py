"""What the gateway says to SAML identity providers: the request that begins a sign-in, and its own metadata. Pure."""

from __future__ import annotations

import base64
import zlib
from datetime import UTC, datetime
from urllib.parse import urlencode
from xml.sax.saxutils import escape, quoteattr

POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
_SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
_SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
_MD = "urn:oasis:names:tc:SAML:2.0:metadata"


def redirect(sso_url: str, id: str, service: str, acs: str, relay_state: str, now: float) -> str:
    """Where to send a browser: the provider's address with an AuthnRequest (HTTP-Redirect, saml-bindings-2.0-os 3.4).

    The request is not signed: all it asks for is an answer to ``acs``, which the provider knows from ``service``.
    """
    at = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    request = (
        f'<samlp:AuthnRequest xmlns:samlp="{_SAMLP}" ID={quoteattr(id)} Version="2.0" IssueInstant="{at}" '
        f'Destination={quoteattr(sso_url)} AssertionConsumerServiceURL={quoteattr(acs)} ProtocolBinding="{POST}">'
        f'<saml:Issuer xmlns:saml="{_SAML}">{escape(service)}</saml:Issuer></samlp:AuthnRequest>'
    )
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = deflate.compress(request.encode()) + deflate.flush()
    query = urlencode({"SAMLRequest": base64.b64encode(packed).decode("ascii"), "RelayState": relay_state})
    return f"{sso_url}{'&' if '?' in sso_url else '?'}{query}"


def metadata(service: str, acs: str) -> bytes:
    """The gateway as a service provider (saml-metadata-2.0-os 2.4.4): what an identity provider is configured with."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<md:EntityDescriptor xmlns:md="{_MD}" entityID={quoteattr(service)}>'
        f'<md:SPSSODescriptor AuthnRequestsSigned="false" WantAssertionsSigned="true" '
        f'protocolSupportEnumeration="{_SAMLP}">'
        f'<md:AssertionConsumerService Binding="{POST}" Location={quoteattr(acs)} index="0" isDefault="true"/>'
        "</md:SPSSODescriptor></md:EntityDescriptor>\n"
    ).encode()
