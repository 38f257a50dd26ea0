"""A SAML response to whom it speaks of, by the rules of web browser SSO (saml-profiles-2.0-os 4.1.4). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509

from blastwall.errors import TokenFault
from blastwall.identity.claims import ClaimNames
from blastwall.identity.saml_document import NAMESPACES, RULES, Element, child, children, read_response, text_of
from blastwall.identity.saml_signature import Signed, verified

LEEWAY: Final = 30.0  # seconds: for what must not lie in the future; what has expired has expired
LONGEST_DELIVERY: Final = 24 * 3600.0  # seconds an assertion may be delivered in; the replay cache remembers it so long
NAME_ID: Final = "NameID"  # stands for the subject in a configuration's claims
BEARER: Final = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
SUCCESS: Final = "urn:oasis:names:tc:SAML:2.0:status:Success"
ENTITY: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"

_INSTANT: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?Z", re.ASCII)
_NIL: Final = f"{{{NAMESPACES['xsi']}}}nil"
_NEW: Final = "start again with `blastwall login`"
_ASK: Final = "ask your identity provider's administrator"


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """Whose assertions are accepted, and for what. ``certificates`` are pinned: nothing else verifies a signature.

    ``service`` is what the provider calls the gateway (the audience), ``acs`` the address that responses are posted to.
    In ``claims`` NameID stands for the subject's name, anything else for an attribute by its ``Name``.
    """

    name: str
    entity_id: str
    certificates: tuple[x509.Certificate, ...]
    service: str
    acs: str
    claims: ClaimNames
    signed: Signed = Signed.ANY


@dataclass(frozen=True, slots=True)
class Expected:
    """The sign-in that a response must answer. ``request`` is its AuthnRequest's ID, ``begun_at`` its time."""

    request: str
    begun_at: float


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a verified assertion speaks of. Times in wall seconds; ``session_ends`` None: the provider sets no end.

    ``assertion`` names the assertion for the replay cache, which must remember it until ``deliverable_until``.
    """

    subject: str
    agent: str
    groups: tuple[str, ...]
    on_behalf_of: str | None
    assertion: str
    deliverable_until: float
    session_ends: float | None


def identify(document: bytes, provider: IdentityProvider, expected: Expected, now: float) -> Identity:
    """Whom a response of ``provider`` speaks of, at wall time ``now``.

    Whether its assertion was seen before is for the caller to ask (``assertion``). Raises TokenFault.
    """
    root = read_response(document)
    _judge_response(root, provider, expected, signed=False)
    if child(root, "samlp:Status") is not None:
        _judge_status(child(root, "samlp:Status"))
    found = verified(root, provider.certificates, provider.signed, now)
    if found.response is not None:
        _judge_response(found.response, provider, expected, signed=True)
        _judge_status(child(found.response, "samlp:Status"))
    return _identity(found.assertion, provider, expected, now)


def _judge_response(response: Element, provider: IdentityProvider, expected: Expected, *, signed: bool) -> None:
    """Unsigned it can be anybody's: then all of this only refuses, and nothing is believed."""
    if response.get("Version") != "2.0":
        raise TokenFault(f"the SAML response is not of version 2.0; {_ASK}")
    destination = response.get("Destination")
    if destination != provider.acs and (destination is not None or signed):
        raise TokenFault(
            f"the SAML response was sent to another address (Destination); {_ASK} to configure {provider.acs}"
        )
    answered = response.get("InResponseTo")
    if answered != expected.request and (answered is not None or signed):
        raise TokenFault(f"the SAML response answers another request, or none (InResponseTo); {_NEW}")
    issuer = child(response, "saml:Issuer")
    if issuer is not None:
        _judge_issuer(issuer, provider)


def _judge_status(status: Element) -> None:
    """The message of a status is not shown: it is a stranger's text until it is verified, and then rarely helps."""
    code = child(status, "samlp:StatusCode")
    if code.get("Value") == SUCCESS:
        return
    inner = child(code, "samlp:StatusCode")
    known: Mapping[str, str] = RULES["statuses"]
    reasons = [known[one.get("Value")] for one in (inner, code) if one is not None and one.get("Value") in known]
    reason = reasons[0] if reasons else "it gave no reason that is known here"
    raise TokenFault(f"your identity provider did not sign you in: {reason}")


def _judge_issuer(issuer: Element, provider: IdentityProvider) -> None:
    if text_of(issuer) != provider.entity_id or issuer.get("Format", ENTITY) != ENTITY:
        raise TokenFault(f"the SAML response is of another identity provider than {provider.name!r}; {_NEW}")


def _identity(assertion: Element, provider: IdentityProvider, expected: Expected, now: float) -> Identity:
    if assertion.get("Version") != "2.0":
        raise TokenFault(f"the SAML assertion is not of version 2.0; {_ASK}")
    _judge_issuer(child(assertion, "saml:Issuer"), provider)
    _judge_past("IssueInstant", assertion.get("IssueInstant"), now)
    if _instant("IssueInstant", assertion.get("IssueInstant")) < expected.begun_at - LEEWAY:
        raise TokenFault(f"the SAML assertion is older than the request it answers; {_NEW}")
    _judge_conditions(child(assertion, "saml:Conditions"), provider, now)
    until = _confirmed_until(child(assertion, "saml:Subject"), provider, expected, now)
    ends = _session_ends(assertion, now)
    subject = text_of(child(child(assertion, "saml:Subject"), "saml:NameID"))
    values = _attributes(assertion) | {NAME_ID: (subject,)}
    names = provider.claims
    return Identity(
        subject=subject,
        agent=_one(values, names.agent) or _missing(names.agent),
        groups=_groups(values, names.groups),
        on_behalf_of=None if names.on_behalf_of is None else _one(values, names.on_behalf_of),
        assertion=assertion.get("ID"),
        deliverable_until=until,
        session_ends=ends,
    )


def _judge_conditions(conditions: Element, provider: IdentityProvider, now: float) -> None:
    """saml-core 2.5.1: every condition must hold, and each restriction names audiences of which we are one."""
    _judge_past("NotBefore", conditions.get("NotBefore"), now)
    _judge_end("Conditions", conditions.get("NotOnOrAfter"), now)
    restrictions = children(conditions, "saml:AudienceRestriction")
    if not restrictions:
        raise TokenFault(f"the SAML assertion is for no audience in particular; {_ASK} to name {provider.service}")
    for restriction in restrictions:
        if provider.service not in [text_of(one) for one in children(restriction, "saml:Audience")]:
            raise TokenFault(f"the SAML assertion is for another audience; {_ASK} to make it for {provider.service}")


def _confirmed_until(subject: Element, provider: IdentityProvider, expected: Expected, now: float) -> float:
    """How long the assertion may be delivered, by the first bearer confirmation that fits (profiles 4.1.4.2)."""
    reason = TokenFault(f"the SAML assertion has no bearer confirmation; {_ASK}")
    for confirmation in children(subject, "saml:SubjectConfirmation"):
        found = child(confirmation, "saml:SubjectConfirmationData")
        if confirmation.get("Method") != BEARER or found is None:
            continue
        try:
            return _judge_confirmation(found, provider, expected, now)
        except TokenFault as fault:
            reason = fault
    raise reason


def _judge_confirmation(found: Element, provider: IdentityProvider, expected: Expected, now: float) -> float:
    if found.get("Recipient") != provider.acs:
        raise TokenFault(f"the SAML assertion is for another recipient; {_ASK} to configure {provider.acs}")
    if found.get("InResponseTo") != expected.request:
        raise TokenFault(f"the SAML assertion answers another request, or none (InResponseTo); {_NEW}")
    if found.get("NotBefore") is not None:
        raise TokenFault(f"the SAML assertion's confirmation has a NotBefore, which the profile forbids; {_ASK}")
    until = _judge_end("SubjectConfirmationData", found.get("NotOnOrAfter"), now)
    if until > now + LONGEST_DELIVERY:
        raise TokenFault(f"the SAML assertion may be delivered for longer than a day; {_ASK} to set some minutes")
    return until


def _session_ends(assertion: Element, now: float) -> float | None:
    statements = children(assertion, "saml:AuthnStatement")
    if not statements:
        raise TokenFault(f"the SAML assertion does not say that anybody signed in (AuthnStatement); {_ASK}")
    ends = []
    for statement in statements:
        _judge_past("AuthnInstant", statement.get("AuthnInstant"), now)
        if statement.get("SessionNotOnOrAfter") is not None:
            ends.append(_judge_end("AuthnStatement", statement.get("SessionNotOnOrAfter"), now))
    return min(ends, default=None)


def _attributes(assertion: Element) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for statement in children(assertion, "saml:AttributeStatement"):
        for attribute in children(statement, "saml:Attribute"):
            name = attribute.get("Name")
            if name in found or name == NAME_ID:
                raise TokenFault(
                    f"the SAML assertion names an attribute twice; {_ASK} to send it once, with all values"
                )
            values = children(attribute, "saml:AttributeValue")
            found[name] = tuple(text_of(value) for value in values if value.get(_NIL) not in ("true", "1"))
    return found


def _one(values: Mapping[str, tuple[str, ...]], name: str) -> str | None:
    found = values.get(name, ())
    if len(found) > 1:
        raise TokenFault(f"the SAML attribute {name!r} has {len(found)} values, one is expected; {_ASK}")
    return found[0] if found else None


def _missing(name: str) -> str:
    raise TokenFault(f"the SAML assertion has no attribute {name!r}, which names the agent; {_ASK} to send it")


def _groups(values: Mapping[str, tuple[str, ...]], names: str | Sequence[str]) -> tuple[str, ...]:
    """As of tokens: the values of one attribute, or ``attribute=value`` of several."""
    if isinstance(names, str):
        return values.get(names, ())
    return tuple(f"{name}={value}" for name in names for value in values.get(name, ()))


def _judge_past(what: str, text: str | None, now: float) -> None:
    if text is not None and _instant(what, text) > now + LEEWAY:
        raise TokenFault(f"the SAML assertion is not valid yet ({what}); check the clocks, then start again")


def _judge_end(what: str, text: str | None, now: float) -> float:
    if text is None:
        raise TokenFault(f"the SAML assertion has no end ({what}, NotOnOrAfter); {_ASK} to set some minutes")
    ends = _instant(what, text)
    if now >= ends:
        raise TokenFault(f"the SAML assertion has expired ({what}); {_NEW}")
    return ends


def _instant(what: str, text: str) -> float:
    """saml-core 1.3.3: xs:dateTime in UTC."""
    found = _INSTANT.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        seconds = datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise TokenFault(f"the SAML assertion has a time that is not in UTC with a Z ({what}); {_ASK}") from None
    return seconds + float(found[2] or 0)
