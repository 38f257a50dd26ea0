"""One connection's life: greet, verify, decide to connect, vend, connect; then the road; then the end.

Whatever fails on the way is a refusal in the client's own protocol. Nothing is forwarded before the recording is open.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from dataclasses import dataclass, field, replace
from typing import Any

from blastwall import registry
from blastwall.approvals.bounds import Room
from blastwall.audit.journal import Journal
from blastwall.config.bundle import Bundle
from blastwall.config.vending import all_targets
from blastwall.conversation import Conversation, Foresighted, Hello, Host, ProtocolSpec
from blastwall.errors import (
    AgentLocked,
    ClientFault,
    Fault,
    NotOffered,
    ProtocolViolation,
    RecordingFault,
    TokenFault,
    Unreachable,
    UpstreamFault,
)
from blastwall.model import (
    Bearer,
    Credential,
    Denial,
    DenialCode,
    Permit,
    Principal,
    Session,
    Target,
)
from blastwall.policy.connecting import connecting
from blastwall.policy.decide import OBSERVE, Standing
from blastwall.ports import Approvals, Capsules, Clock, Recorder, Recording, Sessions, Vendor, Verifier
from fargate_proxy.channels import drive_all
from fargate_proxy.crowd import Crowd, Crowded, Displaced
from fargate_proxy.decider import Asking, Decider
from fargate_proxy.endings import Endings
from fargate_proxy.failures import BestEffort, tell
from fargate_proxy.glass import reason_given
from fargate_proxy.ledger import BudgetSpent, Ledger
from fargate_proxy.pipeline import Road, accepted
from fargate_proxy.watch import Watch

log = logging.getLogger("blastwall.gateway")

#: A client has this long to name itself and bring its token (seconds).
GREET_SECONDS = 30.0
#: The target has this long to take the session (seconds).
CONNECT_SECONDS = 30.0
LATER = "Try again a little later; if that does not help, ask the operator of the target."
#: What is under way when a session ends has this long to stop before its connection is closed all the same (seconds).
STOP_SECONDS = 10.0


@dataclass(slots=True)
class Ports:
    """The world as the gateway sees it: one adapter for each port."""

    verifier: Verifier
    vendor: Vendor
    people: Approvals
    sessions: Sessions
    recorder: Recorder
    clock: Clock
    capsules: Capsules | None = None


@dataclass(slots=True)
class Gateway:
    """Serves connections of every protocol. ``bundle`` is replaced as a whole by a reload; sessions go on."""

    bundle: Bundle
    ports: Ports
    tls: Any = None
    shared: dict[str, dict[str, Any]] = field(default_factory=dict)
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    watch: Watch = field(default_factory=Watch)
    crowd: Crowd = field(default_factory=Crowd)
    endings: Endings = field(init=False)
    journal: Journal = field(init=False)
    standing: Standing = field(init=False)

    def __post_init__(self) -> None:
        ports = self.ports
        self.standing = Standing(self.bundle.policies)
        self.journal = Journal(ports.recorder, ports.clock)
        self.endings = Endings(ports.sessions, ports.vendor, ports.recorder, lambda: all_targets(self.bundle))

    async def serve(self, sock: socket.socket, spec: ProtocolSpec, client: str = "") -> None:
        """Take one accepted socket to its end. Never raises but for cancellation.

        ``client`` is whose connection it is when something stands in front that says so.
        """
        name = spec.manifest.name
        host = Host(
            self.tls,
            bool(self.bundle.config.insecure_local),
            self.shared.setdefault(name, {}),
            self.ports.verifier.verify,
            self.bundle.listeners.get(name),
            self.ports.capsules,
        )
        try:
            conversation = spec.converse(sock, host)
        except Exception:
            sock.close()
            raise
        try:
            try:
                with self.crowd.greeting():
                    async with asyncio.timeout(GREET_SECONDS):
                        hello = await conversation.greet()
            except TimeoutError:
                return
            except Displaced as reason:
                log.warning("%s", reason)
                return
            if hello is not None:
                try:
                    await self._admit(conversation, _told(hello, client), spec)
                finally:
                    hello.token.wipe()  # once it was served it was wiped already; a refused one lives no longer
        except ClientFault as fault:
            log.info("client fault: %s", fault)
        except Fault as fault:
            log.warning("%s: %s", type(fault).__name__, fault)
            await conversation.close(Denial(DenialCode.FAULT, str(fault)))
        except Exception:
            log.exception("defect while serving a connection")
            await conversation.close(Denial(DenialCode.FAULT, "the gateway met a defect of its own; see its log"))
        finally:
            await conversation.close()

    async def _admit(self, conversation: Conversation, hello: Hello, spec: ProtocolSpec) -> None:
        """Who is it, and where does it want to go?"""
        try:
            principal = await self.ports.verifier.verify(hello.token)
        except TokenFault as fault:
            await self._note_refusal(hello, spec, str(fault))
            await conversation.refuse(
                Denial(
                    DenialCode.IDENTITY, str(fault), "Get a fresh token from your identity provider and connect again."
                )
            )
            return
        target = self.bundle.targets.get(hello.target)
        if target is None or target.protocol != spec.manifest.name:
            known = ", ".join(sorted(n for n, t in self.bundle.targets.items() if t.protocol == spec.manifest.name))
            await conversation.refuse(
                Denial(DenialCode.IDENTITY, f'there is no target "{hello.target}" here', f"Targets: {known or 'none'}.")
            )
            return
        try:
            with self.crowd.attending(principal, target):
                await self._join(conversation, hello, principal, target, spec)
        except Crowded as fault:
            await self._note_refusal(hello, spec, str(fault))
            await conversation.refuse(Denial(DenialCode.CROWD, str(fault), "Close one, and connect again."))

    async def _join(
        self, conversation: Conversation, hello: Hello, principal: Principal, target: Target, spec: ProtocolSpec
    ) -> None:
        """Its session, which may be one that other connections have."""
        name = hello.attributes.get("application_name", "")
        glass = reason_given(name, principal, self.bundle.config.break_glass.groups)
        if isinstance(glass, Denial):
            log.warning("%s at %s", glass.reason, target.name)
            await self._note_refusal(hello, spec, glass.reason)
            await conversation.refuse(glass)
            return
        try:
            session = await self.ports.sessions.open(principal, target, glass)
        except TokenFault as fault:
            await self._note_refusal(hello, spec, str(fault))
            await conversation.refuse(Denial(DenialCode.IDENTITY, str(fault), _way_out(fault)))
            return
        await self._attend(conversation, hello, principal, _narrowed(target, principal), session)

    async def _note_refusal(self, hello: Hello, spec: ProtocolSpec, reason: str) -> None:
        """Somebody was not let in. That it cannot be recorded lets nobody in, either."""
        client = hello.attributes.get("client_address", "")
        try:
            await self.journal.refused_login(spec.manifest.name, hello.target, client, reason)
        except RecordingFault as fault:
            log.error("a refused login could not be recorded: %s", fault)

    async def _attend(
        self, conversation: Conversation, hello: Hello, principal: Principal, target: Target, session: Session
    ) -> None:
        """Open the recording, decide, vend, connect, and follow the connection to its end."""
        connection = f"c-{secrets.token_hex(8)}"
        ports = self.ports
        recording = await self._open(session, target, connection, self._header(hello, target, session))
        recording.protect(hello.token)
        ledger: Ledger | None = None
        reason = "the session could not be joined"
        try:
            ledger = await self._ledger(session, target)
            await ports.sessions.attach(session, connection)
            reason = "the client left"
            decider = Decider(
                session,
                target,
                self.standing,
                ports.people,
                recording,
                ledger,
                ports.clock,
                self._asking(target),
                conversation.foresee if isinstance(conversation, Foresighted) else None,
            )
            permit = await self._decide_connect(decider, recording, hello, target, session)
            if isinstance(permit, Denial):
                reason = "refused"
                await conversation.refuse(permit)
                return
            async with asyncio.timeout(CONNECT_SECONDS):
                with self.endings.vending(session) as vended:
                    credential = await ports.vendor.vend(session, target, permit, hello.database_user, hello.token)
                    vended(credential)
                await self._connect(conversation, target, session, credential, recording)
            hello.token.wipe()
            conversation.noting(recording.event)
            road = Road(conversation, decider, recording, ledger, target)
            reason = await self._follow(conversation, road, session, recording)
        except TokenFault as fault:  # killed between opening and attaching
            reason = str(fault)
            await conversation.refuse(Denial(DenialCode.IDENTITY, reason, "Connect again with a new token."))
        except NotOffered as fault:
            reason = str(fault)
            await conversation.refuse(Denial(DenialCode.POLICY, reason))
        except TimeoutError:
            reason = f"the target {target.name} did not answer within {CONNECT_SECONDS:.0f} s"
            await conversation.close(Denial(DenialCode.UNREACHABLE, reason, LATER))
        except Unreachable as fault:
            reason = str(fault)
            await conversation.close(Denial(DenialCode.UNREACHABLE, reason, LATER))
        except UpstreamFault as fault:
            reason = str(fault)
            await conversation.close(Denial(DenialCode.FAULT, reason, "Ask the operator of the gateway."))
        except RecordingFault as fault:
            reason = f"the recording failed: {fault}"
            await conversation.close(Denial(DenialCode.FAULT, "the session cannot be recorded, so it ends"))
            await asyncio.to_thread(tell, ports.recorder, session, target, connection, recording.id, str(fault))
        finally:
            await asyncio.shield(self._end(recording, reason, session, connection, ledger))

    async def _open(self, session: Session, target: Target, connection: str, header: dict[str, object]) -> Recording:
        """Begin the recording. Raises RecordingFault: without one nobody is let in, on any target."""
        recorder = self.ports.recorder
        try:
            recording: Recording = await asyncio.to_thread(recorder.open, session, target, connection, header)
        except RecordingFault as fault:
            await asyncio.to_thread(tell, recorder, session, target, connection, "", str(fault))
            raise
        if target.recording == "strict":
            return recording
        return BestEffort(recording, lambda fault: tell(recorder, session, target, connection, recording.id, fault))

    def _asking(self, target: Target) -> Asking:
        section = self.bundle.config.approvals
        spec = registry.protocol(target.protocol)
        room = Room(section.rows.factor, section.rows.extra)
        asking = Asking(
            section.ticket_seconds, canonical=spec.canonical, room=room, keep=section.undo.rows, literals=spec.literals
        )
        if section.escalation is None:
            return asking
        escalation = section.escalation
        return replace(asking, escalation=escalation.groups, escalate_seconds=escalation.after_seconds)

    async def _connect(
        self,
        conversation: Conversation,
        target: Target,
        session: Session,
        credential: Credential,
        recording: Recording,
    ) -> None:
        """Open the target with a credential that is this connection's own copy, wiped when it has served."""
        secret = credential.secret
        try:
            if secret is not None:
                recording.protect(secret)
            fields: dict[str, object] = {"kind": credential.kind, "user": credential.user}
            if credential.expires_at is not None:
                fields["expires_at"] = credential.expires_at
            if credential.kind == "static":
                fields["note"] = "the secret outlives the session: prefer a login for each session"
            recording.event("credential", fields)
            principal = session.principal
            bearer = Bearer(session.id, principal.agent, principal.on_behalf_of or "")
            await conversation.connect(target, replace(credential, bearer=bearer))
        finally:
            if secret is not None:
                secret.wipe()

    async def _follow(self, conversation: Conversation, road: Road, session: Session, recording: Recording) -> str:
        """Run the connection's channels until it ends, its session ends, or the gateway drains. Returns why."""
        work: asyncio.Future[Any] = asyncio.ensure_future(drive_all(conversation, road))
        ended: asyncio.Future[Any] = asyncio.ensure_future(self.ports.sessions.ended(session))
        try:
            with self.watch.following(recording) as stopping:
                await asyncio.wait({work, ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
                failed = stopping.exception() if stopping.done() else None
            if work.done():
                work.result()
                return "the client left"
            work.cancel()
            _, late = await asyncio.wait({work}, timeout=STOP_SECONDS)
            if late:
                log.error("a connection of session %s does not stop: it is closed as it is", session.id)
            if failed is not None:
                raise failed
            if ended.done():
                reason = str(ended.result())
                denial = Denial(DenialCode.IDENTITY, reason, "Connect again with a new token.")
            else:
                reason = "the gateway is shutting down"
                denial = Denial(DenialCode.SHUTDOWN, reason, "Connect again.")
            recording.event("ended", {"reason": reason})
            await conversation.close(denial)
            return reason
        except BudgetSpent as fault:
            recording.event("budget", {"reason": str(fault)})
            await conversation.close(Denial(DenialCode.BUDGET, str(fault)))
            return str(fault)
        except ProtocolViolation as fault:
            await conversation.close(Denial(DenialCode.FAULT, str(fault)))
            return str(fault)
        except ClientFault as fault:
            return str(fault)
        finally:
            work.cancel()
            ended.cancel()

    async def _decide_connect(
        self, decider: Decider, recording: Recording, hello: Hello, target: Target, session: Session
    ) -> Permit | Denial:
        """Connecting is a statement too."""
        place = hello.attributes.get("database", target.name)
        statement, facts = connecting(target, place)
        if session.break_glass is not None:
            recording.event("break_glass", {"reason": session.break_glass, "agent": session.principal.agent})
            log.warning("BREAK GLASS by %s at %s: %s", session.principal.agent, target.name, session.break_glass)
        decision = await decider.decide(statement, facts, statement.text, None)
        recording.intent(statement, facts, decision)
        await accepted(recording.commit())
        return decision

    def _header(self, hello: Hello, target: Target, session: Session) -> dict[str, object]:
        return {
            "policy_version": self.bundle.policies.version,
            "config_version": self.bundle.version,
            "protocol": target.protocol,
            "mode": target.mode,
            "break_glass": session.break_glass or "",
            "masking_version": target.masking.version if target.masking is not None else "",
            "client_address": hello.attributes.get("client_address", ""),
            "on_behalf_of": session.principal.on_behalf_of or "",
        }

    async def _ledger(self, session: Session, target: Target) -> Ledger:
        stops = target.mode != OBSERVE and session.break_glass is None
        ledger = self.ledgers.get(session.id)
        if ledger is None:
            used = await self.ports.sessions.usage(session)
            ledger = self.ledgers.setdefault(session.id, Ledger(target.budgets, used, stops))
        if stops:
            ledger.stop_from_now()
        ledger.connections += 1
        return ledger

    async def _detach(self, session: Session, connection: str, ledger: Ledger) -> None:
        """It is counted in the ledger until the store has it: who comes meanwhile finds it in one or both."""
        used = ledger.unnoted()
        try:
            await self.ports.sessions.detach(session, connection, used)
        except BaseException:
            ledger.put_back(used)  # the next connection's end tells of it: the ledger stays for this process's life
            raise
        ledger.connections -= 1
        if not ledger.connections:
            self.ledgers.pop(session.id, None)

    async def _end(
        self, recording: Recording, reason: str, session: Session, connection: str, ledger: Ledger | None
    ) -> None:
        """Close the recording, which may wait for a disk and a signer, and let go of the session (None: it was never
        joined)."""
        try:
            await asyncio.to_thread(recording.close, reason)
        except RecordingFault as fault:
            log.error("a recording could not be closed, another will complete it: %s", fault)
        finally:
            if ledger is not None:
                await self._detach(session, connection, ledger)

    def adopt(self, bundle: Bundle) -> None:
        """Take another configuration from now on: new connections wholly, live ones for their policies."""
        self.bundle = bundle
        self.standing.policies = bundle.policies


def _narrowed(target: Target, principal: Principal) -> Target:
    """The target with its masking rules as they are for this principal's groups."""
    if target.masking is None:
        return target
    rules = target.masking.for_groups(principal.groups)
    return target if rules is target.masking else replace(target, masking=rules)


def _told(hello: Hello, client: str) -> Hello:
    return replace(hello, attributes={**hello.attributes, "client_address": client}) if client else hello


def _way_out(fault: TokenFault) -> str:
    if isinstance(fault, AgentLocked):
        return "No other token helps before that: stop, and tell the person you work for."
    return "Connect again with a new token."
