"""Whether these tests may run at all: they speak to a real account, and only to one that was named on purpose."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

ACCOUNT, REGION, NAME = "BLASTWALL_TEST_ACCOUNT", "BLASTWALL_TEST_REGION", "BLASTWALL_TEST_NAME"
CHANGES = "BLASTWALL_TEST_CHANGES"

Identify = Callable[[str], Mapping[str, Any]]


class NotAdmitted(Exception):
    """Nothing was asked of the account but who is asking; the text says what to set."""


@dataclass(frozen=True, slots=True)
class Account:
    """``name`` is the deployment's (context key ``name``). ``changes``: tests may leave marks and replace tasks."""

    id: str
    region: str
    name: str
    caller: str
    changes: bool


def admitted(environ: Mapping[str, str], identify: Identify) -> Account:
    """The account that was named, if it is the one that the credentials open. Raises NotAdmitted.

    ``identify`` is STS's GetCallerIdentity in the given region; it is asked only when everything else is in order.
    """
    named, region = environ.get(ACCOUNT, ""), environ.get(REGION, "")
    if not re.fullmatch(r"\d{12}", named):
        raise NotAdmitted(f"set {ACCOUNT} to the twelve digits of an account that may be tested, not {named!r}")
    if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", region):
        raise NotAdmitted(f"set {REGION} to the region of the deployment, not {region!r}")
    changes = environ.get(CHANGES, "")
    if changes not in ("", named):
        raise NotAdmitted(
            f"{CHANGES} must repeat {named}: then tests leave an object in a locked bucket and replace tasks"
        )
    try:
        caller = identify(region)
    except Exception as fault:  # noqa: BLE001  whatever it is, nothing may run
        raise NotAdmitted(f"AWS does not say whose these credentials are: {fault}") from None
    if caller.get("Account") != named:
        raise NotAdmitted(f"these credentials open account {caller.get('Account')}, not {named}: nothing was touched")
    if str(caller.get("Arn", "")).endswith(":root"):
        raise NotAdmitted("these are the root user's credentials: log in as somebody who can do less")
    return Account(named, region, environ.get(NAME, "Blastwall"), str(caller["Arn"]), bool(changes))
