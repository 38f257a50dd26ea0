"""One PostgreSQL client connection, from its first byte to its last."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import socket
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from blastwall.blast import NOTHING, Blast, unknown
from blastwall.conversation import TELL, TOLD, Hello, Host, Note
from blastwall.errors import NotOffered, UpstreamFault
from blastwall.masking.plan import Plan
from blastwall.model import Credential, Denial, Effect, Facts, Secret, Statement, Target
from blastwall.protocols.postgres import messages, requests
from blastwall.protocols.postgres.answers import Answers
from blastwall.protocols.postgres.arrival import Arrival, Cancelling, arrive
from blastwall.protocols.postgres.attribution import application_name, comment
from blastwall.protocols.postgres.channel import PostgresChannel
from blastwall.protocols.postgres.classify import Classifier
from blastwall.protocols.postgres.keeping import Keeper, Place
from blastwall.protocols.postgres.legs import Legs
from blastwall.protocols.postgres.link import Link, Route, cancel, open_link
from blastwall.protocols.postgres.names import Names
from blastwall.protocols.postgres.net import Net, net_for
from blastwall.protocols.postgres.options import Options
from blastwall.protocols.postgres.reading import SessionReader
from blastwall.protocols.postgres.refusal import refusal
from blastwall.protocols.postgres.shelf import Shelf
from blastwall.protocols.postgres.side import MEANING, Side, blanked
from blastwall.sql.blast import LONGEST, Named, Situation, needs_asking
from blastwall.sql.grammar import Unparsed
from blastwall.sql.parser import parse

#: What the gateway relies on, set in the startup packet (so that RESET ALL comes back to it) and watched ever after.
PINNED: Mapping[str, str] = {"client_encoding": "UTF8", "standard_conforming_strings": "on"}
#: Settings that change what a text means or does; they go into the startup packet too, but the server does not report
#: them.
SAFE: Mapping[str, str] = {"backslash_quote": "safe_encoding"}

#: Tokens whose sessions are remembered to have been told so; a later connection of an older one hears it again.
MOST_TOLD = 10_000
#: Wrong cancel keys for one process id in a minute before it is no longer looked up: 3.0 keys hold only 32 bits.
WRONG_CANCELS = 30
#: Cancel requests of nobody here that other gateways are told of in a minute.
PASSED_ON = 120


class CancelKeys:
    """Live conversations by the cancel keys the gateway gave out. The server's own keys never reach a client."""

    def __init__(self) -> None:
        self._live: dict[int, tuple[bytes, PostgresConversation]] = {}
        self._named: dict[str, PostgresConversation] = {}
        self._wrong: dict[int, list[float]] = {}  # by the process id they named: whoever guesses locks out no other
        self._passed: list[float] = []

    def issue(self, conversation: PostgresConversation, minor: int) -> tuple[int, bytes]:
        """A process id and a secret (32 bytes from protocol 3.2 on, else 4) that mean this conversation."""
        while True:
            pid = secrets.randbelow(2**31 - 1) + 1
            if pid not in self._live:
                break
        secret = secrets.token_bytes(32 if minor >= 2 else 4)
        self._live[pid] = (secret, conversation)
        self._named[name_of(pid, secret)] = conversation
        return pid, secret

    def forget(self, pid: int) -> None:
        if pid in self._live:
            secret, _ = self._live.pop(pid)
            self._wrong.pop(pid, None)
            self._named.pop(name_of(pid, secret), None)

    def elsewhere(self, request: requests.CancelRequest, now: float) -> str:
        """What to tell other gateways of a request that means nobody here; "" when it is a guess, or one too many."""
        self._passed = [at for at in self._passed if now - at < 60.0]
        if request.pid in self._live or len(self._passed) >= PASSED_ON:
            return ""
        self._passed.append(now)
        return name_of(request.pid, request.secret)

    async def told(self, name: str) -> None:
        """Another gateway got a cancel request that it could make nothing of."""
        conversation = self._named.get(name)
        if conversation is not None:
            await conversation.cancel()

    def find(self, request: requests.CancelRequest, now: float) -> PostgresConversation | None:
        """Whose key it is, compared in constant time; None for wrong ones, and for a process id that too many wrong
        ones have named: its own client, or somebody who knows it, is guessing.
        """
        secret, conversation = self._live.get(request.pid, (b"", None))
        if conversation is None:
            return None
        wrong = [at for at in self._wrong.pop(request.pid, ()) if now - at < 60.0]
        right = hmac.compare_digest(secret, request.secret)
        if not right and len(wrong) < WRONG_CANCELS:
            wrong.append(now)
        if wrong:
            self._wrong[request.pid] = wrong
        return conversation if right and len(wrong) < WRONG_CANCELS else None


def name_of(pid: int, secret: bytes) -> str:
    """What a cancel key is called among gateways: who reads it cannot cancel with it (SHA-256, 128 bits, hex)."""
    return hashlib.sha256(b"cancel\0" + pid.to_bytes(4, "big") + secret).hexdigest()[:32]


class PostgresConversation:
    """Implements :class:`blastwall.conversation.Conversation`."""

    def __init__(self, sock: socket.socket, host: Host) -> None:
        self._sock = sock
        self._host = host
        self._keys: CancelKeys = host.shared.setdefault("cancel_keys", CancelKeys())
        host.shared.setdefault(TOLD, self._keys.told)
        self._shelf: Shelf = host.shared.setdefault("catalogues", Shelf())
        self._classifier: Classifier = host.shared.setdefault("classifier", Classifier())
        self._arrival: Arrival | None = None
        self._link: Link | None = None
        self._legs: Legs | None = None
        self._reader: SessionReader | None = None
        self._route: Route | None = None
        self._pid = 0
        self._note: Note = _silent
        self._closed = False
        self._side: Side | None = None
        self._channel: PostgresChannel | None = None
        self._cancelling = asyncio.Lock()
        self._cancels = 0  # that have set out

    async def greet(self) -> Hello | None:
        arrived = await arrive(self._sock, self._host)
        if isinstance(arrived, Cancelling):
            try:
                conversation = self._keys.find(arrived.request, time.monotonic())
                if conversation is not None:
                    await conversation.cancel()
                elif TELL in self._host.shared and (name := self._keys.elsewhere(arrived.request, time.monotonic())):
                    await self._host.shared[TELL](name)
            finally:
                arrived.wire.close()
            return None
        self._arrival = arrived
        return arrived.hello

    async def connect(self, target: Target, credential: Credential) -> None:
        arrival = self._arrived()
        options: Options = target.options
        database = arrival.hello.attributes.get("database") or (options.databases or (credential.user,))[0]
        if options.databases and database not in options.databases:
            raise NotOffered(
                f'database "{database}" is not open to agents at {target.name}: use {" or ".join(options.databases)}'
            )
        user = arrival.hello.database_user
        if user is not None and options.database_users and user not in options.database_users:
            raise NotOffered(
                f'user "{user}" is not open to agents at {target.name}: use {" or ".join(options.database_users)}'
            )
        tls = options.tls
        self._route = Route(target.host, target.port, tls.mode, str(tls.ca_file) if tls.ca_file else None)
        parameters = self._parameters(arrival, options, database)
        bearer = credential.bearer
        if bearer is not None and "application_name" in options.attribution:
            parameters["application_name"] = application_name(bearer, parameters.get("application_name", ""))
        self._link = await open_link(self._route, parameters, credential, arrival.signal)
        names = Names()
        net = net_for(target.masking, lambda: self._reader.plan if self._reader is not None else Plan())
        answers = Answers(names, PINNED, options.allow_listen, net)
        self._legs = Legs(arrival.down, arrival.wire, self._link.up, self._link.wire, arrival.signal, answers)
        if bearer is not None and "comment" in options.attribution:
            self._legs.signature = comment(bearer)
        reported = self._link.ready.parameters
        answers.reported.update({name: reported[name] for name in MEANING if name in reported})
        if options.look_ahead_ms:
            self._side = Side(target, credential, parameters)
        for name, value in PINNED.items():
            if reported.get(name) != value:
                raise UpstreamFault(f"the database reports {name}={reported.get(name)!r}; the gateway needs {value!r}")
        self._reader = SessionReader(
            self._legs, self._shelf, self._classifier, target.name, database, options, target.masking
        )
        await self._reader.refresh()
        if self._host.capsules is not None:
            place = Place(target.name, database)
            self._legs.keeper = Keeper(self._legs, self._reader, self._host.capsules, place, time.time)
        self._welcome(arrival, reported, self._notice(arrival.hello.token, net))

    def _parameters(self, arrival: Arrival, options: Options, database: str) -> dict[str, str]:
        """The startup packet: the client's kept wishes first, then what the gateway relies on."""
        parameters = {key: value for key, value in arrival.parameters.items() if key not in ("user", "database")}
        parameters.update(PINNED)
        parameters.update(SAFE)
        parameters["database"] = database
        if options.search_path:
            parameters["search_path"] = ", ".join('"' + name.replace('"', '""') + '"' for name in options.search_path)
        for name, limit in (
            ("statement_timeout", options.statement_timeout_ms),
            ("lock_timeout", options.lock_timeout_ms),
            ("idle_in_transaction_session_timeout", options.idle_in_transaction_ms),
        ):
            parameters[name] = str(limit)
        return parameters

    def _notice(self, token: Secret, net: Net | None) -> bytes:
        """That masking is on, once for each token: its connections are one session."""
        if net is None:
            return b""
        told: dict[bytes, None] = self._host.shared.setdefault("told_of_masking", {})
        digest = sha256(token.reveal().encode()).digest()
        if digest in told:
            return b""
        if len(told) >= MOST_TOLD:
            del told[next(iter(told))]
        told[digest] = None
        return net.notice()

    def _welcome(self, arrival: Arrival, reported: Mapping[str, str], notice: bytes) -> None:
        """What a server says once it trusts a client, with a cancel key of the gateway's own."""
        self._pid, secret = self._keys.issue(self, arrival.minor)
        arrival.down.authenticated()
        arrival.wire.write(
            b"".join(
                (
                    messages.AUTHENTICATION_OK,
                    *(messages.parameter_status(name, value) for name, value in reported.items()),
                    messages.backend_key_data(self._pid, secret),
                    notice,
                    messages.ready_for_query(b"I"),
                )
            )
        )

    def noting(self, note: Note) -> None:
        self._note = note
        if self._legs is None:
            return
        self._legs.note = note
        if self._legs.answers.net is not None:
            self._legs.answers.net.note = note

    async def channels(self) -> AsyncIterator[Any]:
        assert self._legs is not None and self._reader is not None, "connect first"
        self._channel = PostgresChannel(self._legs, self._reader)
        yield self._channel

    @property
    def texts(self) -> SessionReader:
        """See :class:`blastwall.conversation.Lettered`."""
        assert self._reader is not None, "connect first"
        return self._reader

    def classify(self, statement: Statement) -> Facts:
        assert self._reader is not None, "connect first"
        return self._reader.classify(statement)

    def rewrite(self, statement: Statement, facts: Facts) -> str:
        assert self._reader is not None, "connect first"
        return self._reader.rewrite(statement)

    async def foresee(self, statement: Statement, facts: Facts) -> Blast:
        """See :class:`blastwall.conversation.Foresighted`."""
        assert self._reader is not None and self._legs is not None, "connect first"
        if facts.effect is Effect.UNKNOWN:
            return unknown("The gateway does not understand the statement.")
        finding = self._reader.find(statement.text)
        if finding.masked is not None and len(finding.masked) > LONGEST:
            return unknown(f"With its masks it is longer than {LONGEST:,} characters.")
        try:
            tree = finding.tree_of(statement.text) if finding.masked is None else parse(finding.masked)
        except Unparsed as fault:
            return unknown(f"The statement cannot be read: {fault.reason}")
        if tree is None:
            return unknown("The gateway does not understand the statement.")
        around, user, path = self._reader.place()
        changed = self._channel is not None and self._channel.wrote
        situation = Situation(tree, around, statement.parameters, changed, self._named)
        if not needs_asking(situation):
            return NOTHING
        if self._side is None:
            return unknown("This target's option look_ahead_ms is 0.")
        begun = time.monotonic()
        found, asked = await self._side.foresee(situation, user, path, self._legs.answers.reported)
        seconds = round(time.monotonic() - begun, 4)
        told = replace(found, reasons=tuple(map(blanked, found.reasons))).document()
        fields = {"statement": statement.number, "seconds": seconds, "questions": asked, "blast": told}
        self._note("looked_ahead", fields)
        return found

    def _named(self, name: str) -> Named | None:
        """What EXECUTE of the name would run; None: nothing that can be read."""
        assert self._legs is not None, "connect first"
        prepared = self._legs.answers.names.prepared.get(name)
        if prepared is None or max(len(prepared.text), len(prepared.masked or "")) > LONGEST:
            return None
        try:
            written = parse(prepared.text)
            tree = written if prepared.masked is None else parse(prepared.masked)
        except Unparsed:
            return None
        return Named(tree, written, prepared.type_ids)

    async def cancel(self) -> None:
        """Somebody with this conversation's key asked to cancel: the held statement, or what the database runs.

        One connection to the database at a time does so, however many ask.
        """
        legs = self._legs
        if legs is None:
            return
        if legs.waiting:
            self._note("cancel", {"statement": legs.answers.number})
            legs.cancelled = True
            legs.signal.set()
            return
        if self._route is None or self._link is None or legs.asking:
            return
        asked = self._cancels
        async with self._cancelling:
            if self._cancels == asked:  # or else one that set out after this was asked for has served it, too
                self._cancels += 1
                self._note("cancel", {"statement": legs.answers.number})
                await cancel(self._route, self._link.ready.pid, self._link.ready.secret)

    async def refuse(self, denial: Denial) -> None:
        await self.close(denial)

    async def close(self, denial: Denial | None = None) -> None:
        if self._closed:
            return
        self._closed = True
        self._keys.forget(self._pid)
        if self._side is not None:
            self._side.close()
        if self._link is not None:
            busy = self._legs is not None and not self._legs.answers.quiescent
            if busy and self._route is not None:
                await cancel(self._route, self._link.ready.pid, self._link.ready.secret)
            self._link.wire.write(messages.TERMINATE)
            self._link.wire.close()
        if self._arrival is not None:
            if denial is not None:
                self._arrival.wire.write(refusal(denial, fatal=True))
            self._arrival.wire.close()
        else:
            self._sock.close()

    def _arrived(self) -> Arrival:
        assert self._arrival is not None, "greet first"
        return self._arrival


def _silent(name: str, fields: Mapping[str, object]) -> None:
    """Before there is a recording nobody listens."""
