"""What an agent's client may say, as events, and how each message body is read (PostgreSQL protocol 3.0/3.2, section 53.7).

Every inner length is checked against its frame and every body must be consumed exactly. Malformed bodies raise
:class:`MessageViolation`, with the server's own wording.
"""

from __future__ import annotations

from dataclasses import dataclass

from blastwall.errors import ProtocolViolation
from blastwall.model import Secret


class MessageViolation(ProtocolViolation):
    """A well-framed message with a body the protocol forbids: the stream is still in step, so it is not fatal.

    ``kind`` is the message's type byte (``b"B"``). ``extended`` tells what the server would do next: True, discard
    everything until Sync (see ``Downstream.skip_to_sync``); False, answer ReadyForQuery at once.
    """

    def __init__(self, message: str, *, kind: bytes, code: str = "08P01") -> None:
        super().__init__(message, code=code, fatal=False)
        self.kind = kind
        self.extended = kind in b"PBDECH"


@dataclass(slots=True)
class SSLRequest:
    """The client asks for TLS; it waits for one byte."""


@dataclass(slots=True)
class GSSENCRequest:
    """The client asks for GSSAPI encryption; it waits for one byte."""


@dataclass(slots=True)
class CancelRequest:
    """Cancel what the connection with this key runs. ``secret`` has 4 to 256 bytes. Nothing may follow."""

    pid: int
    secret: bytes


@dataclass(slots=True)
class Startup:
    """The startup packet. ``minor`` as asked (above 2 or with ``_pq_.`` names: answer NegotiateProtocolVersion).

    ``parameters`` always holds a non-empty ``user``; values are UTF-8, keys unique.
    """

    minor: int
    parameters: dict[str, str]


@dataclass(slots=True)
class Password:
    """The answer to AuthenticationCleartextPassword: never empty."""

    secret: Secret


@dataclass(slots=True)
class Query:
    """A simple query; ``text`` without its NUL and without any other NUL. UTF-8 is not yet checked."""

    text: bytes


@dataclass(slots=True)
class Parse:
    """Name a text. ``type_ids`` are OIDs, 0 for unspecified; there may be fewer than parameters."""

    name: bytes
    text: bytes
    type_ids: tuple[int, ...]


@dataclass(slots=True)
class Bind:
    """Bind parameters to a statement. ``formats`` and ``result_formats`` hold 0 (text) and 1 (binary): none, one for all, or
    one each. ``raw`` is all that follows the two names, proven equal to its own re-serialisation (``messages.rebind``)."""

    portal: bytes
    statement: bytes
    formats: tuple[int, ...]
    parameters: tuple[bytes | None, ...]
    result_formats: tuple[int, ...]
    raw: bytes


@dataclass(slots=True)
class Describe:
    """``kind`` is ``b"S"`` (statement) or ``b"P"`` (portal)."""

    kind: bytes
    name: bytes


@dataclass(slots=True)
class Execute:
    """Run a portal; ``max_rows`` 0 means all (the server takes a negative number as 0, and so does this)."""

    portal: bytes
    max_rows: int


@dataclass(slots=True)
class Close:
    """``kind`` is ``b"S"`` (statement) or ``b"P"`` (portal)."""

    kind: bytes
    name: bytes


@dataclass(slots=True)
class Sync:
    """The end of an extended batch."""


@dataclass(slots=True)
class Flush:
    """Send what you have."""


@dataclass(slots=True)
class CopyData:
    """A piece of COPY input, cut anywhere."""

    data: bytes


@dataclass(slots=True)
class CopyDone:
    """The end of COPY input."""


@dataclass(slots=True)
class CopyFail:
    """The client gives up its COPY input."""

    message: bytes


@dataclass(slots=True)
class FunctionCall:
    """The deprecated call without SQL. Nothing permits it; ``function_id`` is for the record."""

    function_id: int


@dataclass(slots=True)
class Terminate:
    """The client leaves: ``orderly`` with a Terminate message, otherwise by closing its connection (perhaps mid-frame)."""

    orderly: bool


Event = (
    SSLRequest
    | GSSENCRequest
    | CancelRequest
    | Startup
    | Password
    | Query
    | Parse
    | Bind
    | Describe
    | Execute
    | Close
    | Sync
    | Flush
    | CopyData
    | CopyDone
    | CopyFail
    | FunctionCall
    | Terminate
)
