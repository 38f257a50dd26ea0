"""The ports: what the gateway needs of the world. Each has an adapter in ``blastwall/local``; AWS's come beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import Protocol

from blastwall.model import (
    ApprovalRequest,
    ApprovalStatus,
    Credential,
    Denial,
    Facts,
    Masked,
    Permit,
    Principal,
    Revocation,
    Secret,
    Session,
    Statement,
    Target,
)


class Clock(Protocol):
    """Wall time for what is written down, monotonic time for deadlines; both in seconds."""

    def now(self) -> float: ...

    def monotonic(self) -> float: ...


class Verifier(Protocol):
    """Tokens to principals."""

    async def verify(self, token: Secret) -> Principal:
        """Raises TokenFault with a reason that is safe to show."""
        ...


class Vendor(Protocol):
    """Just-in-time credentials. The vendor decides ``connect`` itself: a permit that crossed a process is only data."""

    async def vend(
        self, session: Session, target: Target, permit: Permit, database_user: str | None, token: Secret | None = None
    ) -> Credential:
        """Raises UpstreamFault when the target gives no credential.

        ``token`` is the agent's, for a vendor in another process, which verifies it again; no target ever gets it.
        """
        ...

    async def revoke(self, session: Session) -> Sequence[Revocation]:
        """Take back what this process vended to a session that has ended, and try whether it is dead. Idempotent.

        Raises UpstreamFault when a target does not answer: the credential may still work, so ask again.
        """
        ...


class MaskingKey(Protocol):
    """The key that hash and fake are made with: one a deployment, so that masks are the same on all its gateways."""

    def read(self) -> Secret:
        """At least 32 characters, the same at every call and in every process; blocks.

        Raises ConfigFault, saying what to do, when there is none that may be used.
        """
        ...


class Approvals(Protocol):
    """People's decisions. Requests with the same binding are the same request."""

    async def request(self, request: ApprovalRequest) -> ApprovalStatus:
        """File the request, or return the live one with the same binding (its own id)."""
        ...

    async def decided(self, id: str, timeout: float) -> ApprovalStatus:
        """Wait until the request leaves REQUESTED, or for ``timeout`` seconds; return where it stands."""
        ...

    async def redeem(self, binding: str, shape: str = "") -> ApprovalStatus | None:
        """Consume one use of an APPROVED, unexpired request with this binding, atomically. None: there is none.

        Failing that, one use of a request that was approved for every statement of this ``shape``.
        """
        ...

    async def latest(self, binding: str) -> ApprovalStatus | None:
        """The newest request with this binding in whatever state, or None."""
        ...

    async def withdraw(self, id: str, note: str) -> ApprovalStatus: ...


class Sessions(Protocol):
    """Live sessions, shared by all gateway processes."""

    async def open(self, principal: Principal, target: Target, break_glass: str | None = None) -> Session:
        """The live session of this token at this target, or a new one. Raises TokenFault: killed, locked, expired."""
        ...

    async def attach(self, session: Session, connection: str) -> None: ...

    async def detach(self, session: Session, connection: str, usage: Mapping[str, int]) -> None:
        """A connection ended; ``usage`` (rows, bytes, statements) is added to the session's."""
        ...

    async def usage(self, session: Session) -> Mapping[str, int]: ...

    def ended(self, session: Session) -> Awaitable[str]:
        """Completes with the reason when somebody kills or locks the session."""
        ...


class Recording(Protocol):
    """One connection's recording. Appending is cheap and synchronous; :meth:`commit` makes it durable.

    ``commit`` returns None when what was appended is already accepted (kernel durability: one write), or an awaitable
    that completes when it is (group fsync). Raises RecordingFault.
    """

    id: str

    def intent(self, statement: Statement, facts: Facts, decision: Permit | Denial) -> None: ...

    def relayed(self, masked: Masked) -> Awaitable[None] | None:
        """What travelled under a permit: to the agent as it received it, or (``masked.direction``) to the target.

        Returns None, or what to wait for before more is relayed: a sink that is slow makes the session slow.
        """
        ...

    def flush(self) -> None:
        """Write what is pending without waiting for the next commit; called by a timer.

        Raises RecordingFault when the recording has failed, or has lost what it took before.
        """
        ...

    def event(self, name: str, fields: Mapping[str, object]) -> None:
        """A session event: connect, approval, notice, cancel, close ... Fields must not hold secrets."""
        ...

    def protect(self, *secrets: Secret) -> None:
        """From now on these never stand in the recording, whatever they stand in."""
        ...

    def commit(self) -> Awaitable[None] | None: ...

    def close(self, reason: str) -> None:
        """End the recording. It may wait for whoever signs: call it off the event loop."""
        ...


class Capsules(Protocol):
    """Rows as they were before an approved change, sealed: raw values, so nothing else is kept in the same place or
    under the same key. Names are lower-case letters, digits and "-". All raise OurFault.
    """

    async def keep(self, name: str, content: bytes) -> None:
        """Seal it; it survives this machine's or region's usual failures when this returns. Never over another."""
        ...

    async def names(self, prefix: str) -> Sequence[str]:
        """Of all that begin so, sorted."""
        ...

    async def open(self, name: str) -> bytes | None:
        """What was kept; None: nothing of that name."""
        ...


class Recorder(Protocol):
    """Makes recordings."""

    def open(self, session: Session, target: Target, connection: str, header: Mapping[str, object]) -> Recording: ...

    def list(self) -> Sequence[Mapping[str, object]]: ...

    def read(self, id: str) -> AsyncIterator[bytes]: ...
