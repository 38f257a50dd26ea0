"""All ports on the local store: what a gateway process on one machine runs on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from blastwall.approvals.flood import Limits
from blastwall.config.bundle import Bundle
from blastwall.identity.jwks import FetchedKeys, Limits
from blastwall.local.approvals import LocalApprovals
from blastwall.local.audit import Follower
from blastwall.local.clock import SystemClock
from blastwall.local.fetch import fetch
from blastwall.local.recorder import LocalRecorder
from blastwall.local.sessions import LocalSessions
from blastwall.local.signer import load_signer
from blastwall.local.store import Store
from blastwall.local.vendor import CredentialRules, StaticVendor
from blastwall.local.verifier import TokenVerifier


@dataclass(slots=True)
class Parts:
    """One adapter for each port, sharing one store."""

    verifier: TokenVerifier
    vendor: StaticVendor
    people: LocalApprovals
    sessions: LocalSessions
    recorder: LocalRecorder
    clock: SystemClock
    store: Store
    follower: Follower

    def close(self) -> None:
        """Close what holds files, threads or a process."""
        self.recorder.close()
        self.store.close()
        self.follower.close()


def compose(bundle: Bundle, state: Path, environ: Mapping[str, str]) -> Parts:
    """Open the store below ``state`` (made if absent) and put every adapter on it."""
    clock = SystemClock()
    store = Store(state / "blastwall.db")
    issuers = []
    for issuer in bundle.config.identity.issuers:
        rules = issuer.rules()
        limits = Limits(oldest=issuer.keys_max_age_minutes * 60, interval=issuer.keys_min_refresh_seconds)
        source = FetchedKeys(rules, fetch, clock.monotonic, jwks_uri=issuer.jwks_url, limits=limits)
        issuers.append((rules, source))
    rules_by_target = {
        name: [
            CredentialRules(item.user, item.password_env, str(item.password_file) if item.password_file else None)
            for item in section.credential
        ]
        for name, section in bundle.config.targets.items()
    }
    return Parts(
        TokenVerifier(issuers, clock),
        StaticVendor(rules_by_target, environ),
        LocalApprovals(store, clock, Limits(**bundle.config.approvals.limits.model_dump())),
        LocalSessions(store, clock),
        LocalRecorder(state, clock, signer=load_signer(state / "keys")),
        clock,
        store,
        Follower(state),
    )
