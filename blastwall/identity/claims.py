"""Claims of a verified token to a :class:`~blastwall.model.Principal`, by the names an issuer's configuration gives.

Which claim holds the agent, its groups and the person it works for differs between identity providers, so the names
are configuration. A name is a member of the payload (``groups``, ``https://corp.example/groups``) or a dotted path into
nested objects (``realm_access.roles``); where members have dots in their own names (``kubernetes.io.namespace``), the
longest member that begins the path wins.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from blastwall.errors import TokenFault
from blastwall.model import Principal

MAX_NAME = 256  # characters of a subject, agent, group or person: what a log line, a role name and a screen can carry
MAX_GROUPS = 256  # above this an identity provider sends an overage link instead of groups (Entra stops at 200)


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """Where an issuer keeps what a principal needs. ``on_behalf_of`` None: this issuer names no person.

    ``groups`` is the name of one claim, a list of group names; or several names of claims, each a text or a list, whose
    values become groups ``claim=value``: so that no value of one claim can pass for that of another.
    """

    agent: str = "agent"
    groups: str | tuple[str, ...] = "groups"
    on_behalf_of: str | None = "on_behalf_of"


def principal_of(claims: Mapping[str, object], names: ClaimNames, *, token_id: str) -> Principal:
    """The principal that verified ``claims`` speak of. ``iss``, ``sub``, ``iat`` and ``exp`` have been judged before.

    Raises TokenFault when the agent is missing or any name is not printable, bounded, normalised text.
    """
    agent = _find(claims, names.agent)
    if agent is None:
        raise TokenFault(
            f"the token has no {names.agent!r} claim, which names the agent; have your identity provider add it, "
            "or set the issuer's agent claim in the gateway's configuration"
        )
    person = None if names.on_behalf_of is None else _find(claims, names.on_behalf_of)
    expires, issued = claims["exp"], claims["iat"]
    assert isinstance(expires, int) and isinstance(issued, int)
    return Principal(
        issuer=str(claims["iss"]),
        subject=_name("sub", claims["sub"]),
        agent=_name(names.agent, agent),
        groups=_groups_of(claims, names.groups),
        on_behalf_of=None if person is None else _name(names.on_behalf_of or "", person),
        token_id=token_id,
        issued_at=float(issued),
        expires_at=float(expires),
    )


def _find(claims: Mapping[str, object], path: str) -> object | None:
    here: object = claims
    while path:
        if not isinstance(here, Mapping):
            return None
        fitting = [name for name in here if path == name or path.startswith(f"{name}.")]
        if not fitting:
            return None
        name = max(fitting, key=len)
        here, path = here[name], path[len(name) + 1 :]
    return here


def _groups_of(claims: Mapping[str, object], names: str | tuple[str, ...]) -> frozenset[str]:
    if isinstance(names, str):
        return _groups(names, _find(claims, names))
    found: set[str] = set()
    for name in names:
        value = _find(claims, name)
        found |= {f"{name}={group}" for group in _groups(name, [value] if isinstance(value, str) else value)}
    if len(found) > MAX_GROUPS:
        raise TokenFault(
            f"the token names {len(found)} groups, at most {MAX_GROUPS} are read; ask for a narrower token"
        )
    return frozenset(found)


def _groups(claim: str, value: object | None) -> frozenset[str]:
    if value is None:
        return frozenset()
    if not isinstance(value, list):
        raise TokenFault(f"the token's {claim!r} claim is not a list of group names; ask for a token that lists them")
    if len(value) > MAX_GROUPS:
        raise TokenFault(
            f"the token names {len(value)} groups, at most {MAX_GROUPS} are read; ask for a narrower token"
        )
    return frozenset(_name(claim, group) for group in value)


def _name(claim: str, value: object) -> str:
    """A name people will read in a log or an approval: no control, bidi or zero-width characters, one spelling only."""
    if not isinstance(value, str) or not value or len(value) > MAX_NAME:
        raise TokenFault(
            f"the token's {claim!r} claim is not text of 1 to {MAX_NAME} characters; ask for a corrected token"
        )
    if not value.isprintable() or value != value.strip() or unicodedata.normalize("NFKC", value) != value:
        raise TokenFault(
            f"the token's {claim!r} claim holds characters that do not show or have another spelling (control, "
            "direction, zero-width, compatibility forms, outer spaces); ask for a corrected token"
        )
    return value
