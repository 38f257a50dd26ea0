"""``ports.Verifier`` and ``ports.Vendor`` of a task: functions do the work, because only they may.

The task holds what it was handed for as long as its session lives, for the session's next connections; when a session
has ended it has the function take everything back, and then tries by itself whether what it still has opens the target.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from blastwall.aws.functions import Invoke
from blastwall.conversation import Roles
from blastwall.credentials.desk import credential_of, principal_of, raised, revocation_of
from blastwall.credentials.ending import TRY_SECONDS
from blastwall.errors import Fault, OurFault, TokenFault, UpstreamFault
from blastwall.identity.jwt import token_id
from blastwall.model import Credential, Permit, Principal, Revocation, Secret, Session, Target
from blastwall.ports import Clock

log = logging.getLogger("blastwall.credentials")

#: A verified token is believed this long without asking again (seconds), and never past its expiry.
BELIEVED_SECONDS: Final = 60.0
#: A credential that opens nothing new in less than this is asked for anew (seconds).
LEAST_SECONDS: Final = 30.0
MOST_BELIEVED: Final = 4096
#: Calls for one target that are waited for at a time, and for all.
PER_TARGET: Final = 16
THREADS: Final = 128
#: Sessions that a task which ends has taken back at a time.
AT_ONCE: Final = 16
#: They have this long together (seconds): what is left then is the reconciler's, a minute later.
CLOSE_SECONDS: Final = 10.0

T = TypeVar("T")


class AwsVerifier:
    """Tokens to principals by the token_verifier function; ``function`` is its name or ARN."""

    def __init__(self, invoke: Invoke, function: str, clock: Clock) -> None:
        self._invoke = invoke
        self._function = function
        self._clock = clock
        self._believed: OrderedDict[str, tuple[Principal, float]] = OrderedDict()

    async def verify(self, token: Secret) -> Principal:
        """Raises TokenFault with a reason that is safe to show."""
        id, now = token_id(token), self._clock.now()
        known = self._believed.get(id)
        if known is not None and now < min(known[1], known[0].expires_at):
            return known[0]
        answer = await asyncio.to_thread(self._invoke, self._function, {"token": token.reveal()})
        principal = _read(lambda: principal_of(raised(answer)["principal"]), self._function)
        if principal.token_id != id:
            raise OurFault("the verifier answered for another token")
        self._believed[id] = (principal, now + BELIEVED_SECONDS)
        while len(self._believed) > MOST_BELIEVED:
            self._believed.popitem(last=False)
        return principal


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken back, and from which session."""

    session: Session
    revocation: Revocation


@dataclass(slots=True)
class _Held:
    session: Session
    target: Target
    credential: Credential


class AwsVendor:
    """Credentials by the credential_vendor function, revoked by session_revoker. ``holder`` names this task.

    ``place`` says which database (or the like) a session's connection is for: policy is asked about it again.
    """

    def __init__(
        self,
        invoke: Invoke,
        vendor: str,
        revoker: str,
        holder: str,
        roles: Mapping[str, Roles],
        clock: Clock,
    ) -> None:
        self._invoke = invoke
        self._vendor = vendor
        self._revoker = revoker
        self._holder = holder
        self._roles = roles
        self._clock = clock
        self._held: dict[tuple[str, str], _Held] = {}
        self._asking: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()  # while anybody asks
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="vending")
        self._gates: dict[tuple[str, str], asyncio.Semaphore] = {}  # by function and target
        self._revoked: OrderedDict[str, None] = OrderedDict()  # sessions, the latest last

    async def vend(
        self, session: Session, target: Target, permit: Permit, database_user: str | None, token: Secret | None = None
    ) -> Credential:
        """The session's credential. Raises UpstreamFault when the function gives none, TokenFault, OurFault."""
        if not isinstance(permit, Permit) or permit.prepare_only:
            raise UpstreamFault(f"no credential for {target.name} without a permit to connect")
        if token is None:
            raise UpstreamFault("no credential without the agent's own token")
        key = (session.id, database_user or "")
        asking = self._asking.setdefault(key, asyncio.Lock())
        async with asking:
            held = self._held.get(key)
            if held is not None and self._usable(held.credential):
                return _copy(held.credential)
            request = {
                "token": token.reveal(),
                "session": session.id,
                "target": target.name,
                "place": _place(permit, target),
                "database_user": database_user,
                "holder": self._holder,
            }
            answer = raised(await self._apart(self._vendor, target.name, request))
            credential = _read(lambda: credential_of(answer["credential"]), self._vendor)
            if session.id in self._revoked:  # its answer was on its way meanwhile: nobody would wipe what it brings
                _wipe(credential)
                raise TokenFault("the session has ended; connect again, with a new token if this repeats")
            if credential.kind != "role":
                return credential
            self._forget(key)
            self._held[key] = _Held(session, target, credential)
            return _copy(credential)

    async def _apart(self, function: str, target: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Invoke it on a thread of the vendor's own, for each target at most :data:`PER_TARGET` at a time.

        A target that is not there takes a function a minute to say so: whoever asks for it again and again keeps nobody
        from the others. A client that left meanwhile is no reason to ask for more: the call goes on without it.
        """
        gate = self._gates.setdefault((function, target), asyncio.Semaphore(PER_TARGET))
        await gate.acquire()
        try:
            asked = asyncio.get_running_loop().run_in_executor(self._threads, self._invoke, function, request)
        except BaseException:
            gate.release()
            raise

        def answered(done: asyncio.Future[Mapping[str, Any]]) -> None:
            gate.release()
            if not done.cancelled():
                done.exception()  # somebody has looked, even if whoever asked has left

        asked.add_done_callback(answered)
        return await asyncio.shield(asked)

    async def revoke(self, session: Session) -> Sequence[Revocation]:
        """Have everything of the session taken back, then try what this task still has.

        Nothing of it is handed out from now on, nor kept, whatever becomes of the call. Raises OurFault, UpstreamFault.
        """
        self._revoked[session.id] = None
        while len(self._revoked) > MOST_BELIEVED:
            self._revoked.popitem(last=False)
        held = [self._held.pop(key) for key in [key for key in self._held if key[0] == session.id]]
        try:
            request = {"session": session.id, "holder": self._holder}
            answer = raised(await self._apart(self._revoker, session.target, request))
            done = _read(lambda: [revocation_of(document) for document in answer["revocations"]], self._revoker)
            tried = {one.credential.user: await self._opens(one) for one in held}
        finally:
            for one in held:
                _wipe(one.credential)
        return [_judged(revocation, tried.get(revocation.user)) for revocation in done]

    async def reclaim(self) -> Sequence[Taken]:
        """Nothing: what nobody looks after is the reconciler's."""
        return ()

    async def close(self) -> Sequence[Taken]:
        """Take back what this task holds: nobody else knows the secrets. Gives up after ten seconds."""
        sessions = {held.session.id: held.session for held in self._held.values()}
        gate = asyncio.Semaphore(AT_ONCE)  # a task that ends has seconds for hundreds of sessions

        async def one(session: Session) -> list[Taken]:
            async with gate:
                try:
                    return [Taken(session, done) for done in await self.revoke(session)]
                except Fault as fault:
                    log.warning("session %s is left for the reconciler: %s", session.id, fault)
                    return []

        found: list[Taken] = []
        if sessions:
            work = [asyncio.ensure_future(one(session)) for session in sessions.values()]
            over, late = await asyncio.wait(work, timeout=CLOSE_SECONDS)
            for task in late:
                task.cancel()
            if late:
                log.warning("%d sessions are left for the reconciler: there was no time for them", len(late))
            found = [taken for task in work if task in over for taken in task.result()]
        for key in list(self._held):
            self._forget(key)
        for roles in self._roles.values():
            await roles.close()
        return found

    async def _opens(self, held: _Held) -> bool | None:
        """None: it cannot be told."""
        roles = self._roles.get(held.target.protocol)
        if roles is None:
            return None
        try:
            async with asyncio.timeout(TRY_SECONDS):
                return await roles.opens(held.target, held.credential)
        except (UpstreamFault, TimeoutError) as fault:
            log.warning("the canary of session %s cannot be tried: %s", held.session.id, fault or "no answer")
            return None

    def _usable(self, credential: Credential) -> bool:
        ends = min(credential.expires_at or float("inf"), credential.usable_until or float("inf"))
        return ends - self._clock.now() >= LEAST_SECONDS

    def _forget(self, key: tuple[str, str]) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            _wipe(held.credential)


def _read(read: Callable[[], T], function: str) -> T:
    """What an answer says. Raises OurFault when it does not say it as it should; it is never quoted."""
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise OurFault(f"the function {function} answered what is no answer: {type(fault).__name__}") from None


def _wipe(credential: Credential) -> None:
    if credential.secret is not None:
        credential.secret.wipe()


def _copy(credential: Credential) -> Credential:
    secret = credential.secret
    return credential if secret is None else replace(credential, secret=Secret(secret.reveal()))


def _judged(revocation: Revocation, opens: bool | None) -> Revocation:
    if opens is None:
        return revocation
    if opens:
        return replace(revocation, verified=False, proof="it still opens the target")
    return replace(revocation, proof=f"{revocation.proof}; the target refuses it")


def _place(permit: Permit, target: Target) -> str:
    """What the permit is for: the vendor asks policy about the same."""
    place = permit.upstream_text.removeprefix("connect to ").removesuffix(f" at {target.name}")
    return place or target.name
