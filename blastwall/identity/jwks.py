"""Keep one issuer's keys fresh through an injected fetch: when to ask again, and what to trust meanwhile.

A token can name any ``kid``, so whoever holds no token at all can ask for a refresh: hence the minimum interval, one
fetch at a time, and a bounded memory of key ids that were asked for in vain.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from blastwall.errors import TokenFault, UpstreamFault
from blastwall.identity.json_object import read_object
from blastwall.identity.jwt import IssuerRules
from blastwall.identity.keys import MAX_DOCUMENT, KeySet, read_jwks

# (url, most bytes) -> the body of a 200 answer; raises UpstreamFault; follows no redirect
Fetch = Callable[[str, int], Awaitable[bytes]]

_log = logging.getLogger(__name__)


class KeySource(Protocol):
    """Where a verifier gets an issuer's keys."""

    async def current(self) -> KeySet:
        """Keys to verify with now. Raises TokenFault when there are none that may still be trusted."""
        ...

    async def after_unknown(self, kid: str | None) -> KeySet:
        """Keys to try once more after ``kid`` was not found: fetched anew, if the limits allow."""
        ...


class FixedKeys:
    """Keys that were given, not fetched."""

    def __init__(self, keys: KeySet) -> None:
        self._keys = keys

    async def current(self) -> KeySet:
        return self._keys

    async def after_unknown(self, kid: str | None) -> KeySet:
        return self._keys


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, and a count. A withdrawn key is trusted ``fresh`` seconds longer; ``oldest`` if cut off."""

    fresh: float = 300.0  # older keys are fetched again in the background
    oldest: float = 6 * 3600.0  # older keys are not trusted, whatever the issuer's state
    interval: float = 15.0  # between two fetches at least
    unknown: float = 60.0  # how long a key id asked for in vain causes no further fetch
    unknown_ids: int = 1024  # how many of those are remembered


class FetchedKeys:
    """Keys fetched from the issuer. ``jwks_uri`` None: found by discovery, and then on the issuer's own origin only.

    Raises ValueError when an address is neither https nor http on loopback. ``monotonic`` gives seconds.
    """

    def __init__(
        self,
        rules: IssuerRules,
        fetch: Fetch,
        monotonic: Callable[[], float],
        *,
        jwks_uri: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._rules = rules
        self._fetch = fetch
        self._monotonic = monotonic
        self._limits = limits or Limits()
        self._jwks_uri = jwks_uri
        #: Sources of which this is equal give the same keys: where an issuer stays as it is, so does what was fetched.
        self.made_of = (rules, self._limits, jwks_uri)
        # OpenID Connect Discovery 1.0 section 4: a terminating slash is removed first
        self._discovery = rules.issuer.removesuffix("/") + "/.well-known/openid-configuration"
        check_address(jwks_uri or self._discovery)
        self._keys: KeySet | None = None
        self._fetched_at = 0.0
        self._fetches = 0
        self._tried_at: float | None = None
        self._flight: asyncio.Task[None] | None = None
        self._unknown: OrderedDict[str, float] = OrderedDict()

    async def current(self) -> KeySet:
        if self._keys is None or self._age() > self._limits.oldest:
            await self._refresh()
        elif self._age() > self._limits.fresh:
            if self._cut_off():  # nobody stayed to see the last one through, and nobody may stay for this one
                await self._refresh()
            else:
                self._begin()
        if self._keys is None or self._age() > self._limits.oldest:
            raise TokenFault(
                "the token cannot be checked: its issuer's keys are not to be had at present; "
                f"try again in {self._limits.interval:g} seconds, and if that does not help tell the gateway's operator"
            )
        return self._keys

    async def after_unknown(self, kid: str | None) -> KeySet:
        if kid is not None and not self._asked_in_vain(kid):
            before = self._fetches
            await self._refresh()
            # Only what was really asked for was asked for in vain: a new key may come between two fetches.
            if self._fetches != before and self._keys is not None and all(key.kid != kid for key in self._keys.keys):
                self._remember(kid)
        return await self.current()

    def _age(self) -> float:
        return self._monotonic() - self._fetched_at

    def _asked_in_vain(self, kid: str) -> bool:
        asked = self._unknown.get(kid)
        return asked is not None and self._monotonic() - asked < self._limits.unknown

    def _remember(self, kid: str) -> None:
        self._unknown[kid] = self._monotonic()
        self._unknown.move_to_end(kid)
        while len(self._unknown) > self._limits.unknown_ids:
            self._unknown.popitem(last=False)

    def _cut_off(self) -> bool:
        """Whether the last fetch ended with its event loop: a function that runs one for each call lets none finish."""
        return self._flight is not None and self._flight.done() and self._flight.cancelled()

    async def _refresh(self) -> None:
        """Wait for the fetch under way, or for a new one if it is time; never raises for a failed fetch."""
        flight = self._begin()
        if flight is not None:
            await asyncio.shield(flight)  # one waiter that is cancelled must not take the others' fetch with it

    def _begin(self) -> asyncio.Task[None] | None:
        if self._flight is not None and not self._flight.done():
            return self._flight
        now = self._monotonic()
        if not self._cut_off() and self._tried_at is not None and now - self._tried_at < self._limits.interval:
            return None
        self._tried_at = now
        self._flight = asyncio.get_running_loop().create_task(self._load(), name=f"keys of {self._rules.issuer}")
        return self._flight

    async def _load(self) -> None:
        try:
            address = self._jwks_uri or await self._discover()
            keys = read_jwks(await self._fetch(address, MAX_DOCUMENT), self._rules.algorithms)
        except UpstreamFault as fault:
            _log.warning("keys of issuer %s not refreshed: %s", self._rules.issuer, fault)
            return
        for reason in keys.refused:
            _log.info("issuer %s: %s", self._rules.issuer, reason)
        self._fetched_at = self._monotonic()
        self._fetches += 1
        if keys != self._keys:  # an equal set stays the same object: caches that hang on it stay valid
            self._keys = keys
            self._unknown.clear()

    async def _discover(self) -> str:
        document = await self._fetch(self._discovery, MAX_DOCUMENT)
        try:
            metadata = read_object(document)
        except ValueError as fault:
            raise UpstreamFault(f"the discovery document does not read ({fault})") from None
        if metadata.get("issuer") != self._rules.issuer:
            raise UpstreamFault("the discovery document speaks for another issuer; check the issuer's exact spelling")
        address = metadata.get("jwks_uri")
        if not isinstance(address, str):
            raise UpstreamFault("the discovery document names no jwks_uri")
        try:
            same = _origin(check_address(address)) == _origin(check_address(self._discovery))
        except ValueError as fault:
            raise UpstreamFault(f"the discovered jwks_uri is not usable: {fault}") from None
        if not same:
            raise UpstreamFault(
                "the discovered jwks_uri is on another host; configure it (jwks_uri) if that is intended"
            )
        return address


def check_address(address: str) -> SplitResult:
    """The parts of a URL that keys may come from: https, or http on loopback. Raises ValueError saying what is off."""
    parts = urlsplit(address)
    host = parts.hostname
    _ = parts.port  # raises ValueError when it is not a port
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("it needs a host, and neither user nor fragment")
    if parts.scheme == "https" or (parts.scheme == "http" and _loopback(host)):
        return parts
    raise ValueError("it must be https (http is for loopback only)")


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
