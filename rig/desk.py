"""What a local stack serves over HTTP beside its gateway: the approval page, and the way to AWS roles.

``blastwall up`` serves both, on the stack's own store, issuer and policies.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from blastwall.approvals import Ballot
from blastwall.approvals.desk import Desk, Provider
from blastwall.approvals.sign_in import Client
from blastwall.approvals.slack import SlackDoor
from blastwall.approvals.web import Request, Response
from blastwall.config.bundle import Bundle, load_bundle
from blastwall.config.model import Approvals
from blastwall.credentials import door
from blastwall.errors import ConfigFault, Problem, TokenFault
from blastwall.local import logins
from blastwall.local.approvals import LocalApprovals
from blastwall.local.approvers import ApproverVerifier
from blastwall.local.clock import SystemClock
from blastwall.local.fetch import fetch
from blastwall.local.notifier import Notifier
from blastwall.local.page_server import PageServer
from blastwall.local.post import post
from blastwall.local.sign_ins import MemorySignIns
from blastwall.local.store import Store
from blastwall.local.telling import Telling
from blastwall.local.token_key import load_token_key
from blastwall.model import ApprovalRequest, Denial, Principal, Secret
from rig.issuer import LocalIssuer
from rig.keys import LocalKeys

TOKEN_SECONDS = 3600.0
FRESH_SECONDS = 2.0  # a change of policies counts after so long at the latest


class LocalDesk:
    """``origin`` is where the page is, once started. ``overrides`` is the file merged into the configuration.

    ``say`` gets a line for each sign-in by SAML, from a thread of the page's.
    """

    def __init__(
        self,
        config: Path,
        state: Path,
        overrides: Path,
        issuer: LocalIssuer,
        section: Approvals,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._config = config
        self._state = state
        self._overrides = overrides
        self._issuer = issuer
        self._section = section
        self._say = say
        self._server = PageServer(section.page.listen.host, section.page.listen.port)
        self._bundle: Bundle | None = None
        self._read_at = -FRESH_SECONDS

    @property
    def origin(self) -> str:
        return self._server.origin

    def start(self) -> None:
        """Begin to serve. Raises ConfigFault or OSError."""
        self._bundle = self._load()
        self._server.start(self._prepare)

    def stop(self) -> None:
        self._server.stop()

    def link(self, name: str, groups: tuple[str, ...]) -> str:
        """A link that signs somebody in, once, within ten minutes."""
        return login_link(self.origin, self._state, name, groups)

    def _prepare(self) -> tuple[Callable[[Request], Awaitable[Response]], Callable[[], None]]:
        clock = SystemClock()
        store = Store(self._state / "blastwall.db")
        book = LocalApprovals(store, clock)
        sign_in = self._section.page.sign_in
        assert self._bundle is not None
        issuers = [(issuer.rules(), issuer.jwks_url) for issuer in self._bundle.config.identity.issuers]
        clients = {} if sign_in is None else {sign_in.issuer: sign_in.client_id}
        verifier = ApproverVerifier(issuers, clock, clients)

        async def decide(id: str, token: Secret, ballot: Ballot) -> Mapping[str, Any]:
            try:
                person = await verifier.verify(token)
            except TokenFault as fault:
                return {"fault": {"kind": "token", "message": str(fault), "hint": "sign in again"}}
            return await count(id, person, ballot)

        async def count(id: str, person: Principal, ballot: Ballot) -> Mapping[str, Any]:
            try:
                verdict = await book.vote(id, person, ballot, self._authorise)
            except ValueError as fault:
                return {"fault": {"kind": "policy", "message": str(fault), "hint": ""}}
            if isinstance(verdict, Denial):
                return {"refused": {"code": str(verdict.code), "reason": verdict.reason, "hint": verdict.hint}}
            return {"status": {"state": str(verdict.state)}}

        desk = Desk(
            origin=self._section.page.url or self.origin,
            book=book,
            verify=verifier.verify,
            authorise=self._authorise,
            decide=decide,
            now=clock.now,
            entropy=secrets.token_bytes,
            provider=self._provider(),
            code=self._code,
            slack=self._slack(count, clock),
        )
        channels = self._section.notify.channels()
        notifier = Notifier(channels, os.environ, post, desk.origin, clock)
        keys = LocalKeys(self._current, self._state, store)
        saml = self._saml(desk.origin, clock)

        async def handle(request: Request) -> Response:
            if saml is not None and request.path.startswith("/saml/"):
                return await saml(request)
            return await (keys if request.path == door.PATH else desk).handle(request)

        telling = (
            asyncio.get_running_loop().create_task(Telling(book, notifier, clock).run()) if notifier.anybody else None
        )

        def finish() -> None:
            if telling is not None:
                telling.cancel()
            keys.close()
            store.close()

        return handle, finish

    def _saml(self, origin: str, clock: SystemClock) -> Callable[[Request], Awaitable[Response]] | None:
        """Where people of SAML identity providers sign in; None without any: then its libraries are not needed."""
        assert self._bundle is not None
        identity = self._bundle.config.identity
        if not identity.saml:
            return None
        try:
            from blastwall.config.federation import federations_of
            from blastwall.identity.saml_door import Door
        except ImportError as missing:
            message = f"identity.saml needs {missing.name}: pip install 'blastwall[saml]'"
            raise ConfigFault((Problem(str(self._config / "gateway.yaml"), 0, message),)) from missing
        federations = federations_of(identity, origin)
        for name in federations:
            self._say(f"SAML: blastwall login --saml {name} ({origin}/saml/{name}/metadata is for the provider)")
        key = load_token_key(self._state / "keys")
        return Door(federations, MemorySignIns(), key, clock.now, secrets.token_bytes, self._say).handle

    def _provider(self) -> Provider | None:
        sign_in = self._section.page.sign_in
        if sign_in is None:
            return None
        secret = os.environ.get(sign_in.client_secret_env or "", "")

        async def send(address: str, headers: Mapping[str, str], body: bytes) -> bytes:
            return await asyncio.to_thread(post, address, headers, body)

        return Provider(Client(sign_in.issuer, sign_in.client_id, secret, sign_in.scopes), fetch, send)

    def _slack(
        self, count: Callable[[str, Principal, Ballot], Awaitable[Mapping[str, Any]]], clock: SystemClock
    ) -> Callable[[Request], Awaitable[Response]] | None:
        slack = self._section.notify.slack
        if slack is None or slack.signing_secret_env is None:
            return None
        people = {user: (person.subject, person.groups) for user, person in slack.people.items()}
        key = os.environ.get(slack.signing_secret_env, "").encode()
        return SlackDoor(key, people, count, clock.now).handle

    def _code(self, code: str) -> Secret | None:
        login = logins.take(self._state, code, time.time())
        if login is None:
            return None
        audience = self._issuer.approver_audience
        return Secret(self._issuer.mint(login.name, login.groups, ttl=TOKEN_SECONDS, aud=audience))

    def _authorise(self, person: Principal, request: ApprovalRequest, ballot: Ballot) -> Denial | None:
        return self._current().may_decide(person, request, ballot, time.time())

    def _current(self) -> Bundle:
        if time.monotonic() - self._read_at > FRESH_SECONDS:
            try:
                self._bundle = self._load()
            except ConfigFault:
                pass  # the gateway goes on with what it has, too, and says so in its log
        assert self._bundle is not None
        return self._bundle

    def _load(self) -> Bundle:
        self._read_at = time.monotonic()
        overrides = json.loads(self._overrides.read_text("utf-8"))
        return load_bundle(self._config, overrides, str(self._overrides))


def login_link(origin: str, state: Path, name: str, groups: tuple[str, ...]) -> str:
    """A link to the page that signs somebody in, once, within ten minutes. Raises OSError."""
    return f"{origin}/sign-in?code={logins.make(state, name, groups, time.time())}"
