"""The client's prepared statements and portals, and what the server knows them as.

SQL ``PREPARE`` and wire Parse share one namespace, and so do SQL ``DECLARE`` and wire portals (PostgreSQL
documentation, "Extended Query"). The gateway gives every named one an upstream name that is never used twice, so that
the facts kept for a name can never belong to another text. The unnamed ones keep their empty name: the server replaces
them, and so do we.

Pure bookkeeping: whoever calls says what the server acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from blastwall.masking.plan import UNTOUCHED, Treatment
from blastwall.model import Facts, Permit, Statement, Value
from blastwall.protocols.postgres.brief import UNTOUCHED_BRIEF, Brief
from blastwall.protocols.postgres.replies import Field
from blastwall.protocols.postgres.sheet import RowSheet

if TYPE_CHECKING:
    from blastwall.protocols.postgres.held import Portion

#: Upstream names begin so; error texts are searched for it before they reach the client.
PREFIX: Final = "blastwall_"

#: Bounds what one connection may make the gateway remember. Drivers that cache keep some hundreds.
MAX_PREPARED: Final = 10_000
MAX_PORTALS: Final = 10_000
#: Characters of their texts: a gateway that remembers 10,000 megabytes for one connection has none for others.
MAX_PREPARED_TEXT: Final = 8 * 1024 * 1024
#: Names that were minted and stand for nothing, because what they were for was refused or failed.
MAX_IDLE: Final = 1_000
_NONE: Final[Mapping[str, str]] = {}
# By names of this module's own: through another module each costs a look-up.
_UNTOUCHED: Final = UNTOUCHED
_UNTOUCHED_BRIEF: Final = UNTOUCHED_BRIEF


class TooMany(Exception):
    """The connection holds more names than a well-behaved client needs."""


class Prepared(Value):
    """A prepared statement: the client's name, the server's, its text as judged, and its facts.

    ``masked`` is its text with the masks in it as they were when it was named, ``treatment`` what they make of running
    it. ``fields`` are its columns as the server described them, None until it has. ``minted`` are upstream names that
    its SQL defines when it runs. ``wire_names`` is how a Bind to the unnamed portal begins upstream, ``kept`` the
    portal that the last such Bind opened.
    """

    __slots__ = (
        "client",
        "facts",
        "fields",
        "kept",
        "masked",
        "minted",
        "own",
        "text",
        "treatment",
        "type_ids",
        "upstream",
        "upstream_text",
        "wire_names",
    )
    __match_args__ = ("client", "upstream", "text", "facts", "type_ids", "upstream_text", "masked", "treatment")

    def __init__(
        self,
        client: str,
        upstream: str,
        text: str,
        facts: Facts,
        type_ids: tuple[int, ...] = (),
        upstream_text: str = "",
    ) -> None:
        self.client = client
        self.upstream = upstream
        self.text = text
        self.facts = facts
        self.type_ids = type_ids
        self.upstream_text = upstream_text
        self.minted: Mapping[str, str] = _NONE
        self.masked: str | None = None
        self.treatment = _UNTOUCHED
        self.own: Brief | None = None  # None: made of the treatment
        self.wire_names = b"\0" + upstream.encode() + b"\0"
        self.fields: tuple[Field, ...] | None = None
        self.kept: Portal | None = None

    def keep(self, portal: Portal, unmade: Unmade) -> None:
        """Keep the portal for the next run; :meth:`Names.unprepare` lets go of it."""
        portal.unmade = unmade
        self.kept = portal

    @property
    def brief(self) -> Brief:
        """What the sink is told of running it."""
        if self.own is not None:
            return self.own
        return _UNTOUCHED_BRIEF if self.treatment is _UNTOUCHED else Brief(self.treatment)

    @property
    def rewritten(self) -> bool:
        """Do positions in the server's messages mean another text than the client's?"""
        return self.upstream_text != self.text


class Portal(Value):
    """A portal or cursor. ``permit`` is what its Execute runs under; ``number`` the statement it answers.

    Its rows come in ``formats``, as Bind asks. ``described``: the server has been asked for its columns; ``sheet`` is
    what its answer came to.
    """

    __slots__ = (
        "asked",
        "brief",
        "client",
        "described",
        "effects",
        "facts",
        "formats",
        "number",
        "permit",
        "portion",
        "prepared",
        "sheet",
        "treatment",
        "unmade",
        "upstream",
    )
    __match_args__ = ("client", "upstream", "facts", "permit", "number", "effects", "treatment")

    def __init__(
        self,
        client: str,
        upstream: str,
        facts: Facts,
        permit: Permit,
        number: int,
        effects: tuple[Callable[[], None] | None, ...] = (),
        treatment: Treatment = UNTOUCHED,
    ) -> None:
        self.client = client
        self.upstream = upstream
        self.facts = facts
        self.permit = permit
        self.number = number
        self.effects = effects  # what its completion does to the session's names
        self.treatment = treatment  # what masking makes of its rows
        self.brief = _UNTOUCHED_BRIEF if treatment is _UNTOUCHED else Brief(treatment)
        self.prepared: Prepared | None = None
        self.formats: tuple[int, ...] = ()
        self.described = False
        self.sheet: RowSheet | None = None
        self.asked: Statement | None = None  # where its permit has a guard
        self.portion: Portion | None = None  # its whole answer, where that was held back until it was counted
        self.unmade: Unmade | None = None  # for when the server fails its Bind, where the portal is kept

    def renew(
        self,
        facts: Facts,
        permit: Permit,
        number: int,
        effects: tuple[Callable[[], None] | None, ...],
        formats: tuple[int, ...],
    ) -> None:
        """Stand for the next run of the same prepared statement. Only where nothing is owed any more, so that nobody
        else knows this portal; and never where its permit had a guard, which leaves ``asked`` and ``portion``.
        """
        self.facts = facts
        self.permit = permit
        self.number = number
        self.effects = effects
        self.formats = formats
        self.described = False
        self.sheet = None

    @property
    def known(self) -> bool:
        """Has the server described the columns of what it runs, under the statement's name?"""
        return self.prepared is not None and self.prepared.fields is not None


class Unmade:
    """What is to be done when the server fails the Parse or Bind of a name: it was never there."""

    __slots__ = ("_made", "_names")

    def __init__(self, names: Names, made: Prepared | Portal) -> None:
        self._names = names
        self._made = made

    def __call__(self) -> None:
        names, made = self._names, self._made
        if isinstance(made, Portal):
            if names.portal(made.client) is made:
                names.close(made.client)
        elif names.prepared.get(made.client) is made:
            names.unprepare(made.client)


class Names:
    """Both maps of one connection."""

    def __init__(self) -> None:
        self.prepared: dict[str, Prepared] = {}
        self.portals: dict[str, Portal] = {}  # those with a name
        self.unnamed: Portal | None = None  # ... and the one without: each Bind of most clients makes it anew
        # Prepared statements by their names' bytes, as they were found last; any change of names forgets it.
        self._found: dict[bytes, Prepared] = {}
        self._last_name = b""  # ... and the one found last of all; empty: none
        self._last: Prepared | None = None
        self._count = 0
        self._clients: dict[str, str] = {}  # upstream name -> client's name, for error texts
        self._text = 0  # characters of prepared texts
        self.prepared_facts: dict[str, Facts] = {}
        self.cursor_facts: dict[str, Facts] = {}
        self.prepared_treatments: dict[str, Treatment] = {}
        self.cursor_treatments: dict[str, Treatment] = {}
        self.version = 0  # grows whenever what a text may refer to changed: part of cache keys

    def mint(self, client: str) -> str:
        """An upstream name for the client's name: the empty name stays empty."""
        if not client:
            return ""
        self._count += 1
        upstream = f"{PREFIX}{self._count}"
        if len(self._clients) > 2 * (len(self.prepared) + len(self.portals) + MAX_IDLE):
            self._forget_idle()
        self._clients[upstream] = client
        return upstream

    def _forget_idle(self) -> None:
        """Keep names that stand for something, and the last ones, whose answers may still come."""
        live = {each.upstream for each in self.prepared.values()} | {each.upstream for each in self.portals.values()}
        late = max(0, len(self._clients) - MAX_IDLE)
        kept = enumerate(self._clients.items())
        self._clients = {name: client for place, (name, client) in kept if place >= late or name in live}

    def prepare(self, prepared: Prepared) -> None:
        """The statement is known from now on. Raises TooMany."""
        before = self.prepared.get(prepared.client)
        if before is None and len(self.prepared) >= MAX_PREPARED:
            raise TooMany(f"this connection holds {MAX_PREPARED} prepared statements: close some of them")
        size = self._text + len(prepared.text) - (len(before.text) if before is not None else 0)
        if size > MAX_PREPARED_TEXT and prepared.client:
            raise TooMany(
                f"this connection's prepared statements hold over {MAX_PREPARED_TEXT >> 20} MiB of text: close some"
            )
        self._text = size
        self.prepared[prepared.client] = prepared
        if prepared.client:
            self._forget()
            self._clients[prepared.upstream] = prepared.client  # it may have been closed, and that be undone
            self.prepared_facts[prepared.client] = prepared.facts
            self.prepared_treatments[prepared.client] = prepared.treatment
            self.version += 1

    def named(self, name: bytes) -> Prepared | None:
        """The prepared statement of this name, as it stands in a client's message."""
        if not name:
            return self.prepared.get("")
        if name == self._last_name:
            return self._last
        prepared = self._found.get(name)
        if prepared is None:
            prepared = self.prepared.get(name.decode("utf-8", "backslashreplace"))
            if prepared is not None:
                if len(self._found) >= MAX_PREPARED:  # one name may be written in several ways
                    self._found = {}
                self._found[name] = prepared
        if prepared is not None:
            self._last_name = name
            self._last = prepared
        return prepared

    def _forget(self) -> None:
        self._found = {}
        self._last_name = b""
        self._last = None

    def unprepare(self, client: str) -> None:
        prepared = self.prepared.get(client)
        if prepared is None:
            return
        del self.prepared[client]
        self._text -= len(prepared.text)
        if prepared.kept is not None:
            prepared.kept.unmade = None  # it knows the portal: a circle
            prepared.kept = None
        if client:
            self._forget()
            self.prepared_facts.pop(client, None)
            self.prepared_treatments.pop(client, None)
            self._clients.pop(prepared.upstream, None)
            self.version += 1

    def unprepare_all(self) -> None:
        """DEALLOCATE ALL: every name but the unnamed statement, which it leaves alone."""
        for client in [name for name in self.prepared if name]:
            self.unprepare(client)

    def portal(self, client: str) -> Portal | None:
        """The open portal of this name."""
        return self.portals.get(client) if client else self.unnamed

    def open(self, portal: Portal) -> None:
        """The portal is open from now on. Raises TooMany."""
        client = portal.client
        if len(self.portals) >= MAX_PORTALS - 1 and self._crowded(client):
            raise TooMany(f"this transaction holds {MAX_PORTALS} portals: close some of them")
        if not client:
            self.unnamed = portal
            return
        self.portals[client] = portal
        self._clients[portal.upstream] = client
        self.cursor_facts[client] = portal.facts
        self.cursor_treatments[client] = portal.treatment
        self.version += 1

    def _crowded(self, client: str) -> bool:
        """Would one more portal, of this name, be one too many?"""
        return self.portal(client) is None and len(self.portals) + (self.unnamed is not None) >= MAX_PORTALS

    def close(self, client: str) -> None:
        if not client:
            self.unnamed = None
            return
        portal = self.portals.pop(client, None)
        if portal is not None:
            self.cursor_facts.pop(client, None)
            self.cursor_treatments.pop(client, None)
            self._clients.pop(portal.upstream, None)
            self.version += 1

    def close_all(self) -> None:
        """A transaction ended, or CLOSE ALL: no portal survives (WITH HOLD is refused)."""
        self.unnamed = None
        if not self.portals:
            return
        for client in list(self.portals):
            self.close(client)

    def outdate(self, facts: Facts) -> None:
        """The masks are others now: whatever SQL runs by name has these facts, which refuse it."""
        for known in (self.prepared_facts, self.cursor_facts):
            known.update(dict.fromkeys(known, facts))
        self.version += 1

    def upstream_names(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """(prepared, cursors): client's name to the server's, for rewriting SQL."""
        return (
            {name: item.upstream for name, item in self.prepared.items() if name},
            {name: item.upstream for name, item in self.portals.items()},
        )

    def client_text(self, text: str) -> str:
        """Put the client's own names back into a server's message."""
        if PREFIX not in text:
            return text
        for upstream, client in self._matches(text):
            text = text.replace(f'"{upstream}"', f'"{client}"')
        return text

    def _matches(self, text: str) -> Iterator[tuple[str, str]]:
        for upstream, client in self._clients.items():
            if f'"{upstream}"' in text:
                yield upstream, client
