"""The way to AWS roles of a local stack: ``blastwall up`` asks STS by its own AWS credentials, for agents with a token.

The same desk as the credential function's: it verifies the token, opens the session, asks policy, leases and records,
and agents on this machine need no AWS credentials. The gateway ends what was given when the session ends.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from blastwall.approvals.web import Request, Response
from blastwall.config.bundle import Bundle
from blastwall.config.issuers import accepted
from blastwall.config.vending import profiles_of, targets_of_roles
from blastwall.credentials.assuming import RoleDesk
from blastwall.credentials.desk import Desk
from blastwall.credentials.door import Door
from blastwall.credentials.session_policy import RoleProfile
from blastwall.errors import OurFault
from blastwall.identity.saml_token import key_set
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
from blastwall.model import Secret, Session


class LocalKeys:
    """``bundle`` gives the configuration as it is now. Use it in one event loop, and close it."""

    def __init__(self, bundle: Callable[[], Bundle], state: Path, store: Store) -> None:
        clock = SystemClock()
        self._bundle = bundle
        self._clock = clock
        self._sessions, self._leases = LocalSessions(store, clock), LocalLeases(store)
        self._recorder = LocalRecorder(state, clock, signer=load_signer(state / "keys"))
        issuers = accepted(
            bundle().config.identity, fetch, clock.monotonic, lambda: key_set(load_token_key(state / "keys").public)
        )
        self._verifier = TokenVerifier(issuers, clock)
        self._clients: dict[str, Any] = {}  # STS's, by region
        desk = Desk(
            self._verifier,
            self._sessions,
            lambda: self._bundle().policies,
            lambda: self._bundle().targets,
            _nobody,
            clock,
            None,
            self._assume,
        )
        self._door = Door(desk.vend)

    async def handle(self, request: Request) -> Response:
        """Answer a request for a role."""
        return await self._door.handle(request)

    def close(self) -> None:
        self._recorder.close()

    async def _assume(self, token: Secret, name: str) -> dict[str, Any]:
        from blastwall.aws.roles import AwsKeys, assume  # here, like all of AWS: most local stacks have no AWS roles

        bundle = self._bundle()
        profiles = profiles_of(bundle)
        desk = RoleDesk(
            self._verifier,
            self._sessions,
            self._leases,
            lambda: bundle.policies,
            profiles,
            targets_of_roles(bundle),
            self._clock,
            self._recorder,
            bundle.version,
        )

        def ask(profile: RoleProfile, session: Session, ends_at: float, now: float) -> AwsKeys:
            return assume(self._client(profile.region), profile, session, ends_at, now)

        keys = await desk.assume(token, name, ask)
        return {"keys": keys.document(), "region": profiles[name].region}

    def _client(self, region: str) -> Any:  # noqa: ANN401  boto3 has no types
        from blastwall.aws.clients import client

        if region not in self._clients:
            self._clients[region] = client("sts", region)
        return self._clients[region]


def _nobody(holder: str | None) -> LocalVendor:
    raise OurFault("nothing but AWS roles is given here")
