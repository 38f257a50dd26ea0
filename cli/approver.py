"""Who decides at the keyboard, and what policy says to that: a verified token, then ``may_approve``."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

from blastwall.config.bundle import Bundle, load_bundle
from blastwall.errors import ConfigFault, Problem
from blastwall.identity.jwks import FetchedKeys, FixedKeys
from blastwall.local.clock import SystemClock
from blastwall.local.fetch import fetch
from blastwall.local.verifier import TokenVerifier
from blastwall.model import Principal, Secret
from cli import place
from rig import running

TOKEN_VARIABLE = "BLASTWALL_APPROVER_TOKEN"  # noqa: S105  # the variable's name
TOKEN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Keyboard:
    """The options that say who decides, and by which policies. ``config`` None: those of the running gateway."""

    state: Path
    config: Path | None
    name: str
    groups: tuple[str, ...]


def policies(keyboard: Keyboard) -> Bundle:
    """The configuration the local gateway runs on. Raises ConfigFault."""
    config = keyboard.config
    if config is None:
        found = running.read(keyboard.state)
        config = Path(found.config) if found else Path("config")
    file = keyboard.state / "overrides.json"
    try:
        overrides = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    except (OSError, ValueError) as fault:
        raise ConfigFault((Problem(str(file), 0, f"does not read: {fault}; start `blastwall up` again"),)) from fault
    return load_bundle(config, overrides, str(file))


async def identify(keyboard: Keyboard, bundle: Bundle) -> Principal:
    """The person at the keyboard, by a token for approvers: $BLASTWALL_APPROVER_TOKEN, or one of the local issuer.

    Both are verified like an agent's, but for another audience (the agents' with ``/approvals``): a token that opens
    the gateway, which an agent holds, decides nothing. Raises TokenFault.
    """
    clock = SystemClock()
    given = os.environ.get(TOKEN_VARIABLE)
    if given:
        issuers = []
        for issuer in bundle.config.identity.issuers:
            rules = replace(issuer.rules(), audience=f"{issuer.audience}/approvals")
            issuers.append((rules, FetchedKeys(rules, fetch, clock.monotonic, jwks_uri=issuer.jwks_url)))
        return await TokenVerifier(issuers, clock).verify(Secret(given.strip()))
    with place.local_issuer(keyboard.state) as local:
        audience = local.approver_audience
        token = local.mint(keyboard.name, keyboard.groups, ttl=TOKEN_SECONDS, aud=audience)
        keys = local.key_set()
    return await TokenVerifier([(local.rules(audience), FixedKeys(keys))], clock).verify(Secret(token))
