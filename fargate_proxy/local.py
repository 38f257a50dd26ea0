"""All ports on the local store: what a gateway process on one machine runs on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from blastwall.approvals.flood import Limits as FloodLimits
from blastwall.config.bundle import Bundle
from blastwall.config.issuers import accepted
from blastwall.config.vending import Composer, logins_only, profiles_of
from blastwall.credentials.assuming import RoleEndings
from blastwall.credentials.logins import Logins
from blastwall.credentials.marks import house_of
from blastwall.credentials.strays import Strays
from blastwall.identity.jwks import KeySource
from blastwall.identity.jwt import IssuerRules
from blastwall.identity.keys import KeySet
from blastwall.identity.saml_token import key_set
from blastwall.local import processes
from blastwall.local.approvals import LocalApprovals
from blastwall.local.audit import Follower
from blastwall.local.capsules import LocalCapsules
from blastwall.local.clock import SystemClock
from blastwall.local.fetch import fetch
from blastwall.local.leases import LocalLeases
from blastwall.local.recorder import LocalRecorder
from blastwall.local.sessions import LocalSessions
from blastwall.local.signer import load_signer
from blastwall.local.store import Store
from blastwall.local.token_key import load_token_key
from blastwall.local.vendor import LocalVendor
from blastwall.local.verifier import TokenVerifier
from blastwall.ports import Recorder


class ClosingRecorder(Recorder, Protocol):
    """A recorder that holds files, threads or a process until it is closed."""

    def close(self) -> None: ...


@dataclass(slots=True)
class Parts:
    """One adapter for each port, sharing one store."""

    verifier: TokenVerifier
    vendor: LocalVendor
    people: LocalApprovals
    sessions: LocalSessions
    recorder: ClosingRecorder
    clock: SystemClock
    store: Store
    follower: Follower
    composer: Composer
    logins: Logins
    strays: Strays
    capsules: LocalCapsules
    issuers: Callable[[Bundle, Sequence[KeySource]], list[tuple[IssuerRules, KeySource]]]
    endings: RoleEndings

    def adopt(self, bundle: Bundle) -> None:
        """Take the issuers, limits and credentials of a reloaded configuration. Raises ValueError, changing nothing."""
        self.verifier.adopt(self.issuers(bundle, self.verifier.sources))
        self.people.adopt(_flood(bundle))
        self.endings.adopt(profiles_of(bundle))
        rules = self.composer.rules(bundle)
        self.logins.adopt(logins_only(rules), bundle.targets, self.composer.roles(bundle))
        self.vendor.adopt(rules)

    def close(self) -> None:
        """Close what holds files, threads or a process; ``vendor.close()`` comes first, while there is a loop."""
        self.recorder.close()
        self.store.close()
        self.follower.close()


def compose(bundle: Bundle, state: Path, environ: Mapping[str, str]) -> Parts:
    """Open the store below ``state`` (made if absent) and put every adapter on it."""
    clock = SystemClock()
    store = Store(state / "blastwall.db")

    def issuers(bundle: Bundle, before: Sequence[KeySource] = ()) -> list[tuple[IssuerRules, KeySource]]:
        def own() -> KeySet:
            return key_set(load_token_key(state / "keys").public)

        return accepted(bundle.config.identity, fetch, clock.monotonic, own, before)

    composer = Composer(environ)
    rules_by_target = composer.rules(bundle)
    sessions = LocalSessions(store, clock)
    leases = LocalLeases(store)
    house = house_of(f"{os.uname().nodename} {state.resolve()}")
    logins = Logins(
        logins_only(rules_by_target),
        bundle.targets,
        composer.roles(bundle),
        leases,
        sessions,
        clock,
        processes.current(),
        house,
    )
    endings = RoleEndings(profiles_of(bundle), leases, sessions, composer.deny, clock)
    return Parts(
        TokenVerifier(issuers(bundle), clock),
        LocalVendor(rules_by_target, environ, logins, endings),
        LocalApprovals(store, clock, _flood(bundle)),
        sessions,
        LocalRecorder(state, clock, signer=load_signer(state / "keys")),
        clock,
        store,
        Follower(state),
        composer,
        logins,
        Strays(logins, leases, sessions, clock, house),
        LocalCapsules(state),
        issuers,
        endings,
    )


def _flood(bundle: Bundle) -> FloodLimits:
    return FloodLimits(**bundle.config.approvals.limits.model_dump())
