"""The ways a statement can reach the database, and what became of it on the way."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

from blastwall.model import DenialCode
from blastwall.protocols.postgres.refusal import SQLSTATES
from tests.e2e.raw import SYNC, Client, Frame, bind, execute, parse, query
from tests.e2e.stacks import Stack

HELD = {SQLSTATES[DenialCode.PENDING], SQLSTATES[DenialCode.BUDGET]}
REFUSED = {SQLSTATES[code] for code in (DenialCode.POLICY, DenialCode.UNKNOWN)}
#: Statements that one session asks about before it is replaced: it may have 32 requests waiting.
PER_SESSION = 25


QUERY = re.compile(r"\s*(?:SELECT|WITH|VALUES|TABLE)\b", re.IGNORECASE)
PREPARABLE = re.compile(r"\s*(?:SELECT|WITH|VALUES|TABLE|INSERT|UPDATE|DELETE|MERGE)\b", re.IGNORECASE)

PLACEHOLDER = re.compile(r"\$([0-9]+)")
NUMBERS = itertools.count(1)
Path = Callable[[str], list[bytes] | None]


def simple(text: str) -> list[bytes] | None:
    return [query(text)]


def extended(text: str) -> list[bytes] | None:
    nulls = max((int(number) for number in PLACEHOLDER.findall(text)), default=0)
    return [parse(text), bind((None,) * nulls), execute(), SYNC]


def prepared(text: str) -> list[bytes] | None:
    if not PREPARABLE.match(text):
        return None
    name = f"attack_{next(NUMBERS)}"
    return [query(f"PREPARE {name} AS {text}"), query(f"EXECUTE {name}")]


def cursor(text: str) -> list[bytes] | None:
    if not QUERY.match(text):
        return None
    return [query("BEGIN"), query(f"DECLARE attack CURSOR FOR {text}"), query("FETCH ALL FROM attack")]


def copied(text: str) -> list[bytes] | None:
    return [query(f"COPY ({text.rstrip(';')}) TO STDOUT")] if QUERY.match(text) else None


PATHS: dict[str, Path] = {path.__name__: path for path in (simple, extended, prepared, cursor, copied)}


class Agent:
    """A connection that is made anew when it is lost or has asked for enough."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._client: Client | None = None
        self._used = 0

    def ask(self, messages: list[bytes]) -> list[Frame]:
        """Send one after another until one fails; return all that came back, whether or not the connection survived."""
        if self._client is None or self._used >= PER_SESSION:
            self.leave()
            self._client = Client(self._stack)
            self._client.log_in()
            self._used = 0
        self._used += 1
        heard: list[Frame] = []
        for part in self._parts(messages):
            self._client.send(part)
            try:
                heard += self._client.until("Z")
            except (EOFError, OSError):
                self.leave()
                return heard
            if any(frame.kind == "E" for frame in heard):
                break
        if heard[-1].body != b"I":
            self._client.send(query("ROLLBACK"))
            self._client.until("Z")
        return heard

    def _parts(self, messages: list[bytes]) -> list[bytes]:
        """A simple query at a time; an extended batch as one."""
        return messages if all(message[:1] == b"Q" for message in messages) else [b"".join(messages)]

    def leave(self) -> None:
        if self._client is not None:
            self._client.sock.close()
        self._client = None


def outcome(frames: list[Frame]) -> str:
    """deny, approve or allow: an error of the database itself means that the gateway let it pass."""
    codes = [frame.fields["C"] for frame in frames if frame.kind == "E"]
    ours = [frame.fields["C"] for frame in frames if frame.kind == "E" and "blastwall" in frame.fields["M"]]
    if not frames:
        return "deny"  # hung up without a word
    if set(ours) & REFUSED or any(frame.fields["S"] == "FATAL" for frame in frames if frame.kind == "E"):
        return "deny"
    if set(ours) & HELD:
        return "approve"
    # What the protocol itself forbids is refused before it is judged.
    return "deny" if "08P01" in codes else "allow"
