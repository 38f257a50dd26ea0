"""The engine that faces the agent: bytes in, events out, in the server's role (sans-I/O, h11's contract)."""

from __future__ import annotations

from blastwall.protocols.postgres.requests import Event


class Downstream:
    """Reads one client's bytes. States: startup, auth, ready, closed.

    Limits: ``max_frame`` bounds a whole frame (type byte, length, body) and is checked at the header, before the body is
    buffered; ``max_startup`` bounds packets before authentication (the server's own limit is 10,000). Names of statements
    and portals are at most 255 bytes. SSLRequest and GSSENCRequest: once each, and nothing may arrive behind them before
    they are answered.
    """

    def __init__(self, *, max_frame: int = 16 * 1024 * 1024, max_startup: int = 10_000) -> None:
        raise NotImplementedError

    def receive(self, data: bytes) -> None:
        """Take bytes from the client; ``b""`` is the end of its stream. Never raises on content (see next_event).

        Raises OurFault when the caller keeps feeding without draining: pause reading while ``buffered`` is large.
        """
        raise NotImplementedError

    def next_event(self) -> Event | None:
        """Return the next event, None when more bytes are needed.

        Raises ProtocolViolation with the server's SQLSTATE and wording. ``fatal``: send the error and close; the engine
        then answers None for ever. Otherwise it is a MessageViolation: the offending message is consumed and
        the caller goes on (``skip_to_sync()`` when ``violation.extended``). The end of the stream is
        ``Terminate(orderly=False)``, once.
        """
        raise NotImplementedError

    @property
    def ready(self) -> bool:
        """Is a complete frame at hand? Cheap; says nothing about its validity (a bad header counts as ready)."""
        raise NotImplementedError

    @property
    def buffered(self) -> int:
        """Unread bytes."""
        raise NotImplementedError

    @property
    def state(self) -> str:
        """startup | auth | ready | closed."""
        raise NotImplementedError

    def encrypted(self) -> None:
        """The client's SSLRequest was accepted and TLS is about to start: from here on bytes come decrypted.

        Raises ProtocolViolation when bytes arrived in the clear behind the request (CVE-2021-23214).
        """
        raise NotImplementedError

    def authenticated(self) -> None:
        """The caller has sent AuthenticationOk: auth -> ready. Bytes that came early are read now."""
        raise NotImplementedError

    def skip_to_sync(self) -> None:
        """Discard messages unread until Sync (returned as event) or Terminate, as the server does after an error."""
        raise NotImplementedError
