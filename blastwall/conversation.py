"""What a protocol folder provides, and what the one road (``fargate_proxy/pipeline.py``) needs of it.

A :class:`Conversation` is one client connection. It yields :class:`Channel` objects (SQL: one; SSH: many), each a
strictly ordered sequence of :class:`Exchange` objects: one statement and everything that follows from it.

The proof types keep the order of the road: ``forward`` takes a :class:`~blastwall.model.Permit`, ``relay`` takes a
:class:`~blastwall.model.Masked`; each is minted in one file only.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from blastwall.model import Chunk, Credential, Denial, Facts, Masked, Permit, Secret, Statement, Target


class Exchange(Protocol):
    """One statement and everything that follows from it.

    ``statement`` is None for what needs no judgement: the protocol's listed housekeeping messages, and what a target
    says unasked. ``more`` is True while further statements of the same batch are already at hand: then ``forward``
    only stages, so that one intent write and one send serve the batch. Chunks may answer an earlier statement of the
    batch; each says which.
    """

    statement: Statement | None
    more: bool
    interactive: bool  # a person may be asked while the client waits (single, unpipelined, nothing locked)
    patience: float  # for how long at most (seconds): less than any idle timer that runs meanwhile

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


Note = Callable[[str, Mapping[str, object]], None]


@dataclass(slots=True)
class Host:
    """What a gateway process lends to each of its conversations.

    ``tls`` is the ``ssl.SSLContext`` for the client's side (None: this listener speaks without). ``insecure`` allows a
    token to travel without TLS (``insecure_local`` in the configuration). ``shared`` is a protocol's own memory across
    connections (catalogues, cancel keys).
    """

    tls: Any
    insecure: bool
    shared: dict[str, Any]


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
        """Open the target with the credential and tell the client that it may speak. Raises UpstreamFault."""
        ...

    async def refuse(self, denial: Denial) -> None:
        """Refuse the connection as a whole in the protocol's own words, and close."""
        ...

    def noting(self, note: Note) -> None:
        """From now on tell ``note`` of what happens outside exchanges (a cancel request, a reloaded catalogue)."""
        ...

    def channels(self) -> AsyncIterator[Channel]: ...

    def classify(self, statement: Statement) -> Facts:
        """Facts about a statement in the conversation's present surroundings. Never raises: UNKNOWN instead."""
        ...

    def rewrite(self, statement: Statement, facts: Facts) -> str:
        """The text that goes upstream if the statement is permitted. Raises ClientFault when there is no safe one."""
        ...

    async def close(self, denial: Denial | None = None) -> None:
        """End both legs; with a denial, after saying why in the protocol's own form. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class Manifest:
    """A protocol's own facts, from its ``protocol.toml``: default port, IAM action, client command, error codes."""

    name: str
    port: int
    raw: Mapping[str, Any]


def _nothing() -> None:
    """The end of what nothing started."""


def _nothing_to_start() -> Callable[[], None]:
    return _nothing


@dataclass(frozen=True, slots=True)
class ProtocolSpec:
    """A protocol folder's only export, as ``PROTOCOL`` in its ``__init__``.

    ``options`` is a pydantic model for the target's ``options:`` section. ``judge`` classifies a statement without a
    connection (``blastwall policy judge``): text, parameters, catalogue (None: none given) and the target's options.
    ``start`` is called once when a gateway begins to listen for the protocol; what it returns is called at the end.
    """

    manifest: Manifest
    options: type[Any]
    judge: Callable[[str, tuple[str | None, ...], Any, Any], Facts]
    load_catalogue: Callable[[str], Any]
    converse: Callable[[socket.socket, Host], Conversation]
    start: Callable[[], Callable[[], None]] = _nothing_to_start
