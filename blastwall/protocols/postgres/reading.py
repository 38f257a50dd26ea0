"""What the gateway knows of a session when it reads a text: catalogue, search path, role, prepared names.

Everything that changes a text's meaning is part of the surroundings, whose fingerprint keys caches and approvals. What
DDL changed is read anew before the next statement is judged.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from blastwall.errors import ClientFault
from blastwall.masking.plan import Plan
from blastwall.masking.rules import Rules
from blastwall.model import Effect, Facts, Parameter, Permit, Statement, StatementKind
from blastwall.protocols.postgres import snapshot
from blastwall.protocols.postgres.ahead import Ahead, measure, renamed
from blastwall.protocols.postgres.answers import FAILED, IDLE
from blastwall.protocols.postgres.classify import (
    Classifier,
    Finding,
    Surroundings,
    declared,
    undoes,
    undoing,
    written,
)
from blastwall.protocols.postgres.consequences import consequence
from blastwall.protocols.postgres.exchange import Reader
from blastwall.protocols.postgres.legs import Legs
from blastwall.protocols.postgres.looking import ask_row, load, persist
from blastwall.protocols.postgres.names import Prepared
from blastwall.protocols.postgres.options import Options
from blastwall.protocols.postgres.remembered import REMEMBERED, Remembered, bounded, keep
from blastwall.protocols.postgres.shelf import Shelf
from blastwall.protocols.postgres.timeouts import raised
from blastwall.road import Texts
from blastwall.sql.amplification import BY_PARAMETER
from blastwall.sql.catalogue import Catalogue
from blastwall.sql.facts import unknown
from blastwall.sql.skeleton import fits, joined, pieces

#: A hold inside a transaction ends this long before the server would end the session for idling (seconds).
IDLE_MARGIN: Final = 5.0
#: What others did to the database is noticed before the first statement that comes after this (seconds). It takes one
#: question of about a millisecond for all sessions of a database together.
LOOK_SECONDS: Final = 1.0
_UNMASKED: Final = Plan()
_NOTHING: Final[Mapping[str, str]] = {}
_monotonic: Final = time.monotonic  # asked before each statement: through its module it costs a look-up more
_OUTDATED: Final = (
    "What is masked changed after this was named, so it may show what it should not; prepare or declare it again."
)
#: Characters of texts that a connection remembers; statements with minted names, whether staged or refused.
KEPT_TEXT: Final = 512 * 1024
MINTED: Final = 64


class SessionReader(Reader, Texts):
    """Reads texts in one session's surroundings."""

    def __init__(
        self,
        legs: Legs,
        shelf: Shelf,
        classifier: Classifier,
        target: str,
        database: str,
        options: Options,
        rules: Rules | None = None,
    ) -> None:
        self._legs = legs
        self._shelf = shelf
        self._classifier = classifier
        self._target = target
        self._database = database
        self._options = options
        self._rules = rules
        self._plan = _UNMASKED
        self._names = legs.answers.names
        self._spoiled: dict[int, str] = {}
        self._minted: dict[int, Mapping[str, str]] = {}
        self._bound: Prepared | None = None  # what the statement of this number runs
        self._bound_number = 0
        self._known: Surroundings | None = None
        self._exact: dict[str, Remembered] = {}  # of this very surroundings
        self._exact_size = 0  # characters
        self._ahead = Ahead()
        # The text read last, the object itself: each statement's is asked for several times. As good as what is exact.
        self._last_text: str | None = None
        self._last: Remembered | None = None
        self._shapes: dict[bytes, Remembered] = {}  # of this catalogue, by skeleton
        self._shape: Remembered | None = None  # the one met last: as good as what is exact
        self._amounts: dict[str, Facts] = {}  # of texts whose parameters say how much, as they were bound last
        self._known_version = -1
        self._fingerprint = ""
        self._catalogue: Catalogue | None = None
        self._search_path: tuple[str, ...] = ()
        self._temp: frozenset[str] = frozenset()
        self._user = ""
        self._server_version = 0
        self._soiled = True  # this session's own statements may have changed the catalogue
        self._dirty_transaction = False  # the catalogue is one that only this session's open transaction sees
        self._undone = False  # and that may be gone by now
        self._freshness = ""
        self._looked_at = 0.0
        self.look_seconds: float = LOOK_SECONDS

    @property
    def stale(self) -> bool:
        """Must the catalogue be looked at before the next statement is judged?

        In an open transaction only for what the session itself did: a question of the gateway's own would come before
        the client's SET TRANSACTION, which must be first. In a failed one nothing can be asked.
        """
        if self._soiled:
            return self._legs.answers.status != FAILED
        if self._legs.answers.status != IDLE:
            return False
        return self._dirty_transaction or _monotonic() - self._looked_at >= self.look_seconds

    @property
    def plan(self) -> Plan:
        """What is masked here, now."""
        return self._plan

    def surroundings(self, text: str) -> str:
        """The fingerprint of everything that changes the text's meaning here, EXECUTE's prepared text included.

        Where a cursor says which row is changed it is another each time: no text tells on which row a cursor stands, so
        what was approved is that very statement, and none that is asked later in the same words.
        """
        read = self._read(text)
        finding = read.finding
        if not read.session_names or finding.tree is None:
            return self._fingerprint
        used = [name for touched in read.touched for name in touched.uses_statements]
        known = [self._names.prepared[name] for name in used if name in self._names.prepared]
        texts = [f"{each.text}{each.type_ids or ''}" for each in known]
        if finding.facts.effect is not Effect.READ and self._on_a_row(read, known):
            texts.append(secrets.token_hex(16))
        return f"{self._fingerprint}/{hashlib.sha256(chr(0).join(texts).encode()).hexdigest()}"

    def _on_a_row(self, read: Remembered, prepared: list[Prepared]) -> bool:
        """Does a cursor's row matter to what it does, or to what it runs by name? Not to what is only being named."""
        if any(touched.uses_cursors and touched.defines_statement is None for touched in read.touched):
            return True
        return any(touched.uses_cursors for each in prepared for touched in self._read(each.text).touched)

    def cold(self, text: str, values: tuple[Parameter, ...], type_ids: tuple[int, ...]) -> bool:
        """Is there anything about a long text that :meth:`warm` should find out first?"""
        self._settle()
        read = self._exact.get(text)
        if read is None:
            parts = pieces(text)
            return parts is None or joined(parts) not in self._shapes
        return self._ahead.lacks(read, text, values, type_ids, self._names.version)

    async def warm(self, text: str, values: tuple[Parameter, ...], type_ids: tuple[int, ...]) -> None:
        """Find out beside the event loop what a long text does, and remember it for whoever asks next."""
        around = self._settle()
        read = self._exact.get(text)
        if read is None:
            read = await self._ahead.read(text, self._classifier, around)
            if self._settle() is not around:
                return
            self._keep(text, read)
        await self._ahead.find_out(read, text, around, values, type_ids, self._names)

    def find(self, text: str) -> Finding:
        """What the text does, here and now."""
        return self._read(text).finding

    def _read(self, text: str) -> Remembered:
        if self._known_version == self._names.version:
            last = self._last
            if last is not None and text is self._last_text:
                return last
            read = self._exact.get(text)
            if read is not None:
                self._last_text = text
                self._last = read
                return read
        return self._look(text)

    def _look(self, text: str) -> Remembered:
        """Past the exact texts: by skeleton, if nothing in it depends on its integers, else by judging."""
        around = self._settle()
        parts = pieces(text)
        shape = joined(parts) if parts is not None else b""
        read = self._shapes.get(shape) if parts is not None else None
        if read is None:
            found = self._classifier.classify(text, around)
            read = Remembered(found)
            if parts is not None and read.shared:
                if len(parts) > 1:
                    read.pieces = parts
                bounded(self._shapes)[shape] = read
        if read.pieces is not None:
            self._shape = read
        self._keep(text, read)
        self._last_text = text
        self._last = read
        return read

    def _keep(self, text: str, read: Remembered) -> None:
        """Remember what is exact. Of long texts no more than KEPT_TEXT: a tree is 30 times its text."""
        self._exact_size += len(text)
        if self._exact_size > KEPT_TEXT:
            self._exact.clear()
            self._exact_size = len(text)
        keep(self._exact, text, read)

    def meet(self, words: str, text: bytes) -> None:
        """A text as the client sent it, of which will be asked next: most differ from the last in their numbers only.

        What it means is that one's finding, as :meth:`_look` would find it by its skeleton. That holds where what is
        exact holds: until the surroundings are others (:meth:`_settle`) or the catalogue is read anew
        (:meth:`refresh`).
        """
        shape = self._shape
        if shape is None or words is self._last_text or self._known_version != self._names.version:
            return
        parts = shape.pieces
        if parts is not None and fits(parts, text):
            self._last_text = words
            self._last = shape

    def spoil(self, number: int, reason: str) -> None:
        """The statement's bytes are not a text: it is unknown, whatever it looks like."""
        self._spoiled[number] = reason

    def declared(self, text: str, type_ids: tuple[int, ...]) -> str:
        """Why the text may not be named with parameters of these types (Parse's oids); "" when they change nothing."""
        ahead = self._ahead.declared
        if ahead is not None and self._ahead.declares(text, type_ids):
            return ahead[2]
        return declared(text, self._settle(), type_ids)

    def classify(self, statement: Statement) -> Facts:
        """Facts of one of this session's statements. Never raises."""
        reason = self._spoiled.pop(statement.number, None) if len(self._spoiled) > 0 else None
        if reason is not None:
            return Facts(Effect.UNKNOWN, "unknown", reason=reason)
        read = self._read(statement.text)
        finding = read.finding
        if read.plain:
            return finding.facts
        if "setting" in finding.facts.flags:
            for part in finding.statements:
                reason = raised(part.name, part.value, self._options) if part.kind == "set" else ""
                if reason:
                    return replace(finding.facts, effect=Effect.ADMINISTER, reason=reason)
        facts = finding.facts
        if BY_PARAMETER in facts.flags:
            facts = self._measured(finding, statement)
        return written(finding, facts, statement, self._plan) if "writes_masked" in facts.flags else facts

    def _measured(self, finding: Finding, statement: Statement) -> Facts:
        """Facts of a text whose parameters say how much it asks for, once they are bound."""
        if statement.kind is not StatementKind.EXECUTE or not statement.parameters:
            return finding.facts
        ahead = self._ahead.measured
        if ahead is not None and self._ahead.measures(statement.text, statement.parameters):
            facts = ahead[2]
        else:
            facts = measure(finding.tree, statement.text, self._settle(), statement.parameters)
        # The same facts are the same object: what was decided and recorded for them is found by that.
        known = self._amounts.get(statement.text)
        if known == facts:
            return known
        if len(self._amounts) >= REMEMBERED:
            self._amounts.clear()
        self._amounts[statement.text] = facts
        return facts

    def place(self) -> tuple[Surroundings, str, tuple[str, ...]]:
        """Where the session is: its surroundings, its role and its search path."""
        return self._settle(), self._user, self._search_path

    @property
    def patience(self) -> float:
        """For how many seconds a statement may be held here: in a transaction the server's idle timer runs."""
        limit = self._options.idle_in_transaction_ms / 1000
        return limit - IDLE_MARGIN if limit and self._legs.answers.status != IDLE else float("inf")

    def _settle(self) -> Surroundings:
        known = self._known
        if known is not None and self._known_version == self._names.version:
            return known
        known = Surroundings(
            catalogue=self._catalogue,
            search_path=self._search_path,
            server_version=self._server_version,
            database_user=self._user,
            temp=self._temp,
            prepared=dict(self._names.prepared_facts),
            cursors=dict(self._names.cursor_facts),
            allowed_functions=frozenset(self._options.allowed_functions),
            plan=self._plan,
            prepared_treatments=dict(self._names.prepared_treatments),
            cursor_treatments=dict(self._names.cursor_treatments),
            uncommitted=self._dirty_transaction,
            undone=self._undone,
        )
        self._known = known
        self._exact.clear()
        self._exact_size = 0
        self._ahead.forget()
        self._last_text = self._last = self._shape = None
        self._known_version = self._names.version
        self._fingerprint = f"{self._database}/{self._user}/{known.fingerprint}"
        return known

    # -- names inside SQL

    def rewrite(self, statement: Statement) -> str:
        """The text with the gateway's names. Raises Unparsed (a ClientFault) when there is no safe one."""
        bound = self._bound if self._bound_number == statement.number else None
        self._bound = None
        read = self._read(statement.text)
        finding = read.finding
        if bound is not None:
            if bound.masked != finding.masked:
                raise ClientFault(_OUTDATED)
            return bound.upstream_text
        text = statement.text if finding.masked is None else finding.masked
        tree = finding.tree  # the text's own: what is named is not shared
        if tree is None or not read.named:
            return text
        ahead = self._ahead.take_renamed(statement.text, self._names.version)
        minted, words = ahead or renamed(read, tree, self._names)
        self._note_minted(statement.number, minted)
        if isinstance(words, ClientFault):
            raise words
        return words

    def _note_minted(self, number: int, minted: Mapping[str, str]) -> None:
        """Keep them until the statement is staged, which those that are refused never are."""
        if len(self._minted) >= MINTED:
            self._minted.clear()
        self._minted[number] = minted

    def bound(self, number: int, prepared: Prepared) -> None:
        """The statement runs a prepared text: what goes upstream was settled when it was named."""
        self._bound = prepared
        self._bound_number = number

    def minted(self, number: int) -> Mapping[str, str]:
        """The upstream names that the rewritten statement defines, kept until it is staged."""
        return self._minted.pop(number, _NOTHING) if len(self._minted) > 0 else _NOTHING

    def effects(
        self, text: str, permit: Permit, number: int, minted: Mapping[str, str]
    ) -> tuple[Callable[[], None] | None, ...]:
        """For each statement of the text what its completion changes here; () when nothing."""
        read = self._read(text)
        if self._dirty_transaction and undoing(read.finding):  # also for what is judged before it has run
            self._soiled = self._undone = True
            self._known_version = -1
        if not read.naming and not read.changing:
            return ()
        finding = read.finding
        if finding.tree is None:
            return ()
        touched = read.touched if read.naming else (None,) * len(finding.statements)
        text_of = (minted, text, finding.masked, permit, number)
        return tuple(
            consequence(self._names, part, names, *text_of, self._take_back if undoes(part) else self._soil)
            for part, names in zip(finding.statements, touched, strict=True)
        )

    def _soil(self) -> None:
        self._soiled = True

    def _take_back(self) -> None:
        """What the transaction changed is gone. Its portal may have been made long before, when that was not there."""
        if self._dirty_transaction:
            self._soiled = True

    # -- the catalogue

    async def refresh(self) -> None:
        """Read the catalogue anew if it may have changed. Raises UpstreamFault: no catalogue, no session.

        In a transaction the session's own uncommitted changes count, for this session only; in a failed one nothing can
        be asked, and nothing but its end will run.
        """
        await persist(self._refresh)

    async def _refresh(self) -> None:
        if not self.stale:
            return
        if self._soiled or self._dirty_transaction or not await self._unchanged():
            await self._look_again()

    async def catch_up(self) -> None:
        if self._soiled:
            await self._look_again()

    async def _look_again(self) -> None:
        answers = self._legs.answers
        path, user, version, temporary = await ask_row(self._legs, snapshot.SESSION)
        self._search_path = snapshot.listed(path)
        self._temp = frozenset(snapshot.listed(temporary))
        self._user = user
        self._server_version = int(version)
        shared = answers.status == IDLE and answers.at_rest  # an open batch is a transaction of its own
        place = (self._target, self._database)
        self._catalogue, self._freshness = await load(self._legs, self._shelf, place, self._server_version, shared)
        if self._rules is not None:
            self._remask(await self._shelf.planned(self._rules, self._catalogue))
        self._known = None
        self._known_version = -1
        self._shapes.clear()
        self._shape = None
        self._soiled = self._undone = False
        self._dirty_transaction = not shared
        self._looked_at = time.monotonic()
        if shared and not self._temp:
            self._shelf.looked[place] = (self._looked_at, self._freshness)

    def _remask(self, plan: Plan) -> None:
        """The masks as they are now. What was named under others does not run any more."""
        before, self._plan = self._plan, plan
        if before.version and (before.relations, before.opaque) != (plan.relations, plan.opaque):
            self._names.outdate(replace(unknown(_OUTDATED, "unresolved"), refusal=_OUTDATED))

    async def _unchanged(self) -> bool:
        """Is the database's catalogue still the one at hand? One session asks for all that share it."""
        now = time.monotonic()
        place = (self._target, self._database)
        at, freshness = self._shelf.looked.get(place, (float("-inf"), self._freshness))
        if self._temp or now - at >= self.look_seconds:  # one's own temporary relations show in one's own answer only
            at = now
            if not self._temp:
                self._shelf.looked[place] = (now, freshness)  # the others need not ask meanwhile
            try:
                freshness = (await ask_row(self._legs, snapshot.FRESHNESS))[0]
            except BaseException:
                self._shelf.looked.pop(place, None)  # nobody has looked
                raise
            if not self._temp:
                self._shelf.looked[place] = (now, freshness)
        self._looked_at = at
        return freshness == self._freshness
