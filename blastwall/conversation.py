"""What a protocol folder provides, and what the one road (``fargate_proxy/pipeline.py``) needs of it.

A :class:`Conversation` is one client connection. It yields :class:`Channel` objects (SQL: one; SSH: many), each a
strictly ordered sequence of :class:`Exchange` objects: one statement and everything that follows from it.

The proof types keep the order of the road: ``forward`` takes a :class:`~blastwall.model.Permit`, ``relay`` takes a
:class:`~blastwall.model.Masked`; each is minted in one file only.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from blastwall.blast import Blast
from blastwall.errors import TokenFault
from blastwall.model import Chunk, Credential, Denial, Facts, Masked, Permit, Principal, Secret, Statement, Target
from blastwall.road import Road as Road
from blastwall.road import Texts as Texts
from blastwall.road import Waiting as Waiting


class Exchange(Protocol):
    """One statement and everything that follows from it.

    ``statement`` is None for what needs no judgement: the protocol's listed housekeeping messages, and what a target
    says unasked. ``more`` is True while further statements of the same batch are already at hand: then ``forward``
    only stages, so that one intent write and one send serve the batch. Chunks may answer an earlier statement of the
    batch; each says which.
    """

    statement: Statement | None
    more: bool

    @property
    def interactive(self) -> bool:
        """May a person be asked while the client waits (single, unpipelined, nothing locked)?"""
        ...

    @property
    def patience(self) -> float:
        """For how long at most (seconds): less than any idle timer that runs meanwhile."""
        ...

    def forward(self, permit: Permit | None) -> AsyncIterator[Chunk]: ...

    async def relay(self, masked: Masked) -> None: ...

    async def refuse(self, denial: Denial) -> None: ...

    async def notify(self, message: str, detail: str = "") -> None:
        """Tell the client something while it waits (PostgreSQL: NOTICE)."""
        ...

    async def gone(self) -> str:
        """Return why the client no longer waits ("cancelled" or "disconnected"); wait until then."""
        ...


class Channel(Protocol):
    """Exchanges in strict order: the next one waits for the last."""

    def exchanges(self) -> AsyncIterator[Exchange]: ...


@runtime_checkable
class SelfDriven(Protocol):
    """A channel whose exchanges are so short that a task switch for each would cost more than they do."""

    async def drive(self, road: Road) -> None:
        """Take every exchange down the road, in strict order, until the client leaves."""
        ...


Note = Callable[[str, Mapping[str, object]], None]


#: In a protocol's shared memory, when there are other gateways: ``TELL`` is called with a text (up to 64 characters, no
#: secret) that all of them are to hear within a second; ``TOLD`` is what the protocol's own put there to be called with
#: such texts. Both are coroutine functions.
TELL, TOLD = "tell", "told"


async def _nobody(_token: Secret) -> Principal:
    raise TokenFault("no tokens are verified here")


@dataclass(slots=True)
class Host:
    """What a gateway process lends to each of its conversations.

    ``tls`` is the ``ssl.SSLContext`` for the client's side (None: this listener speaks without). ``insecure`` allows a
    token to travel without TLS (``insecure_local`` in the configuration). ``shared`` is a protocol's own memory across
    connections (catalogues, cancel keys). ``verify`` says whose a token is (TokenFault: nobody's), for protocols in
    which a bad token must be a login that failed; the session verifies it again. ``options`` is what the protocol's
    listener needs of its own (``protocols.<name>`` in gateway.yaml), as the folder's ``options.Gateway``.
    ``capsules`` is where approved changes are kept to be undone (``ports.Capsules``; None: nowhere).
    """

    tls: Any
    insecure: bool
    shared: dict[str, Any]
    verify: Callable[[Secret], Awaitable[Principal]] = _nobody
    options: Any = None
    capsules: Any = None


@dataclass(frozen=True, slots=True)
class Hello:
    """What a client said of itself: the token it brought and the target it wants."""

    token: Secret
    target: str
    database_user: str | None
    attributes: Mapping[str, str] = field(default_factory=dict)


class Conversation(Protocol):
    """One client connection, from its first byte to its last."""

    async def greet(self) -> Hello | None:
        """Speak with the client until it has named itself. None: it wanted no session (a cancel request, a probe)."""
        ...

    async def connect(self, target: Target, credential: Credential) -> None:
        """Open the target with the credential and tell the client that it may speak. Raises UpstreamFault.

        The credential's secret is wiped once this returns; who needs it for longer copies it and wipes it in ``close``.
        """
        ...

    async def refuse(self, denial: Denial) -> None:
        """Refuse the connection as a whole in the protocol's own words, and close."""
        ...

    def noting(self, note: Note) -> None:
        """From now on tell ``note`` of what happens outside exchanges (a cancel request, a reloaded catalogue)."""
        ...

    def channels(self) -> AsyncIterator[Channel | SelfDriven]: ...

    def classify(self, statement: Statement) -> Facts:
        """Facts about a statement in the conversation's present surroundings. Never raises: UNKNOWN instead."""
        ...

    def rewrite(self, statement: Statement, facts: Facts) -> str:
        """The text that goes upstream if the statement is permitted. Raises ClientFault when there is no safe one."""
        ...

    async def close(self, denial: Denial | None = None) -> None:
        """End both legs; with a denial, after saying why in the protocol's own form. Idempotent."""
        ...


@runtime_checkable
class Lettered(Protocol):
    """A conversation whose texts somebody else knows from :meth:`Conversation.connect` on, and answers for them."""

    @property
    def texts(self) -> Texts: ...


@runtime_checkable
class Foresighted(Protocol):
    """A conversation that can find out what a statement would do, before it runs."""

    async def foresee(self, statement: Statement, facts: Facts) -> Blast:
        """On a connection of its own that only reads, for about a second at most; the agent is told nothing of it.

        Recorded as an event. Raises nothing but what a broken upstream raises: what is not found out is unknown.
        """
        ...


@dataclass(frozen=True, slots=True)
class Manifest:
    """A protocol's own facts, from its ``protocol.toml``: default port, IAM action, client command, error codes."""

    name: str
    port: int
    raw: Mapping[str, Any]

    @property
    def keys(self) -> Mapping[str, str]:
        """The listener's options that are private keys, and the variable in which a task on AWS is given each."""
        return {name: f"BLASTWALL_{self.name}_{name}".upper() for name in self.raw.get("keys", ())}


@dataclass(frozen=True, slots=True)
class Admin:
    """How the vendor logs in to a target to make roles there. ``login`` is asked each time a connection is opened."""

    user: str
    login: Callable[[], Awaitable[Credential]]
    database: str = ""  # "": the target's first


@dataclass(frozen=True, slots=True)
class RoleOrder:
    """A login for one session: its ``name`` carries the session's, and it has the rights of ``profile`` and no others.

    After ``expires_at`` it opens no connection; ``connections`` it may hold at once. ``settings`` are the target's own,
    by name. ``memberships`` are further roles that its way to log in needs (rds_iam).
    """

    name: str
    profile: str
    expires_at: float
    connections: int
    comment: str
    settings: Mapping[str, str] = field(default_factory=dict)
    memberships: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RoleEnd:
    """What dropping a role met: how many of its connections were ended, and who has now what it owned, in words."""

    connections: int = 0
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MadeRole:
    """A login for a session as the target has it: its comment, and the roles it is a member of."""

    name: str
    comment: str
    profiles: tuple[str, ...]


class Roles(Protocol):
    """Per-session logins at one protocol's targets. All raise UpstreamFault; the caller sets the deadline."""

    async def create(self, target: Target, admin: Admin, order: RoleOrder, password: Secret | None) -> None:
        """Make the login, all of it or nothing. No password: another method of its memberships lets it in."""
        ...

    async def drop(self, target: Target, admin: Admin, name: str, profile: str) -> RoleEnd:
        """Let it in no more, end its connections, hand on what it owns, remove it. Nothing happens when it is gone."""
        ...

    async def present(self, target: Target, admin: Admin, name: str) -> bool:
        """Does the login exist?"""
        ...

    async def made(self, target: Target, admin: Admin) -> Sequence[MadeRole]:
        """Every login for a session that this admin made at the target and that still exists."""
        ...

    async def opens(self, target: Target, credential: Credential) -> bool:
        """Try the credential. False only when the target itself refuses it; UpstreamFault when that cannot be told."""
        ...

    async def close(self) -> None:
        """Close the connections kept for the next time."""
        ...


def _nothing() -> None:
    """The end of what nothing started."""


def _no_canonical(text: str) -> str:
    return ""


def _no_treatments(text: str, catalogue: object, options: object, rules: object) -> tuple[()]:
    return ()


def _nothing_to_start() -> Callable[[], None]:
    return _nothing


@dataclass(frozen=True, slots=True)
class ProtocolSpec:
    """A protocol folder's only export, as ``PROTOCOL`` in its ``__init__``.

    ``options`` is a pydantic model for the target's ``options:`` section. ``judge`` classifies a statement without a
    connection (``blastwall policy judge``): text, parameters, catalogue (None: none given), the target's options and
    its masking rules (None: nothing is masked). ``treatments`` says for text, catalogue, options and rules what masking
    makes of each statement (:class:`blastwall.masking.plan.Treatment`).
    ``canonical`` writes a text as its grammar reads it, without comments, for people to see ("" when it cannot).
    ``literals``: its texts are SQL, so that statements which differ in numbers and strings alone have one shape, which
    a person may approve for a while; of others each text is a shape of its own.
    ``start`` is called once when a gateway begins to listen for the protocol; what it returns is called at the end.
    ``roles`` makes the protocol's :class:`Roles`, to be used in one event loop and closed.
    """

    manifest: Manifest
    options: type[Any]
    judge: Callable[[str, tuple[str | None, ...], Any, Any, Any], Facts]
    load_catalogue: Callable[[str], Any]
    converse: Callable[[socket.socket, Host], Conversation]
    start: Callable[[], Callable[[], None]] = _nothing_to_start
    roles: Callable[[], Roles] | None = None  # None: its targets make no logins for single sessions
    canonical: Callable[[str], str] = _no_canonical
    treatments: Callable[[str, Any, Any, Any], tuple[Any, ...]] = _no_treatments
    literals: bool = False
