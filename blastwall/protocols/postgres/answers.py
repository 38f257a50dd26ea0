"""What the server owes, in order, and what of its words may go to the client.

Every message the gateway sends upstream is noted here as an :class:`Expected` step; every message the server sends is
held against the step at the head of the queue. A server that answers what nobody asked is a fault, not a curiosity:
both sides of the proxy are hostile. Source: PostgreSQL documentation, "Message Flow" (protocol 3.0).

Pure: bytes and steps in, bytes for the client out. No waiting, no sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Final

from blastwall.errors import UpstreamFault
from blastwall.model import Denial, DenialCode, Sheet, Value
from blastwall.protocols.postgres import messages, replies, speech
from blastwall.protocols.postgres.layout import Disagreement
from blastwall.protocols.postgres.names import PREFIX, Names
from blastwall.protocols.postgres.net import Marking, Net
from blastwall.protocols.postgres.owed import Owed
from blastwall.protocols.postgres.refusal import refusal
from blastwall.protocols.postgres.upstream import Run

ROW: Final = 68  # D
COPY_DATA: Final = 100  # d
COPY_DONE: Final = 99  # c
COMPLETE: Final = 67  # C
EMPTY: Final = 73  # I
READY: Final = 90  # Z
ERROR: Final = 69  # E
NOTICE: Final = 78  # N
PARAMETER: Final = 83  # S
NOTIFICATION: Final = 65  # A
PARSED: Final = 49  # 1
BOUND: Final = 50  # 2
CLOSED: Final = 51  # 3
SUSPENDED: Final = 115  # s
NO_DATA: Final = 110  # n
LAYOUT: Final = 84  # T
PARAMETER_TYPES: Final = 116  # t
COPY_IN: Final = 71  # G
COPY_OUT: Final = 72  # H

IDLE: Final = 73  # I
IN_TRANSACTION: Final = 84  # T
FAILED: Final = 69  # E


class Step(IntEnum):
    """One message upstream that the server answers."""

    PARSE = 0
    BIND = 1
    DESCRIBE_STATEMENT = 2
    DESCRIBE_PORTAL = 3
    EXECUTE = 4
    CLOSE = 5
    SYNC = 6
    QUERY = 7
    POISON = 8  # a message made to fail, so that the server's own transaction fails with the refusal


def _types(*names: int) -> frozenset[int]:
    return frozenset(names)


_ROWS: Final = _types(ROW, COMPLETE, EMPTY, SUSPENDED, COPY_IN, COPY_OUT, COPY_DATA, COPY_DONE)

#: What the server may answer to each step.
ALLOWED: Final[Mapping[Step, frozenset[int]]] = {
    Step.PARSE: _types(PARSED),
    Step.BIND: _types(BOUND),
    Step.DESCRIBE_STATEMENT: _types(PARAMETER_TYPES, LAYOUT, NO_DATA),
    Step.DESCRIBE_PORTAL: _types(LAYOUT, NO_DATA),
    Step.EXECUTE: _ROWS,
    Step.CLOSE: _types(CLOSED),
    Step.SYNC: _types(READY),
    Step.QUERY: (_ROWS - {SUSPENDED}) | {LAYOUT, READY},
    Step.POISON: frozenset(),
}

#: What ends each step.
FINAL: Final[Mapping[Step, frozenset[int]]] = {
    Step.PARSE: _types(PARSED),
    Step.BIND: _types(BOUND),
    Step.DESCRIBE_STATEMENT: _types(LAYOUT, NO_DATA),
    Step.DESCRIBE_PORTAL: _types(LAYOUT, NO_DATA),
    Step.EXECUTE: _types(COMPLETE, EMPTY, SUSPENDED),
    Step.CLOSE: _types(CLOSED),
    Step.SYNC: _types(READY),
    Step.QUERY: _types(READY),
    Step.POISON: frozenset(),
}


def _marks(table: Mapping[Step, frozenset[int]]) -> tuple[bytes, ...]:
    """The table as one byte for each step and type: looking into a set hashes an enum first."""
    return tuple(bytes(kind in table[step] for kind in range(256)) for step in Step)


_ALLOWED: Final = _marks(ALLOWED)
_FINAL: Final = _marks(FINAL)

_PREFIX: Final = PREFIX.encode()

Effect = Callable[[], None]


class Expected(Value):
    """One step the server owes an answer to.

    ``effects`` run one by one as the server completes what it was asked (a simple query: one for each of its
    statements); ``failed`` runs instead when it answers with an error. ``replacement`` is the ErrorResponse that the
    client gets in the place of the server's. ``rewritten`` tells that positions in the server's messages mean nothing
    to the client. ``marking`` is what the sink's net knows of it, where the target has masking.
    """

    __slots__ = ("done", "effects", "failed", "hidden", "marking", "number", "replacement", "rewritten", "step")
    __match_args__ = ("step", "number", "effects", "failed", "replacement", "rewritten", "hidden", "done")

    def __init__(
        self,
        step: Step,
        number: int = 0,
        effects: Sequence[Effect | None] = (),
        failed: Effect | None = None,
        replacement: bytes | None = None,
        rewritten: bool = False,
        hidden: bool = False,
        done: int = 0,
        marking: Marking | None = None,
    ) -> None:
        self.step = step
        self.number = number
        self.effects = effects
        self.failed = failed
        self.replacement = replacement
        self.rewritten = rewritten
        self.hidden = hidden  # the gateway's own doing: the client sees none of its answers
        self.done = done
        self.marking = marking


class Answers:
    """The queue of owed answers, the transaction status, and the filter on what the server says."""

    def __init__(
        self, names: Names, pinned: Mapping[str, str], listening: bool = False, net: Net | None = None
    ) -> None:
        self.names = names
        self.net = net  # None: nothing is masked at this target
        self.condemned = False  # the client had its error: what the server still says of the batch is not for it
        self.refused = False  # ... and it had it just now
        self._tainted = False  # a statement over masked columns ran in this transaction
        self._touched = False  # ... since the last ReadyForQuery
        self.muted = False  # the gateway says by itself when it is ready: the server's word is not for the client
        self._pinned = pinned
        self.reported: dict[str, str] = {}  # settings somebody put in here: as the server reports them now
        self._listening = listening
        self._queue = Owed()
        self._in_batch = False
        self.status = IDLE
        self.copying_in = False
        self.skipping = False  # the server discards until Sync, and no Sync is on its way yet
        self.fatal = False
        self.ready_owed = 0  # ReadyForQuery messages to come
        self.ended_transactions = 0
        # Findings about the run digested last; the channel reads them when it makes a chunk.
        self.tag = ""
        self._tag_frame = b""  # ... as it stood in the last CommandComplete
        self.error = ""

    @property
    def quiescent(self) -> bool:
        """Nothing is owed."""
        return not self._queue

    @property
    def at_rest(self) -> bool:
        """Nothing is owed, and no extended batch waits for its Sync: a Sync of ours would end the client's own
        implicit transaction."""
        return not self._queue and not self._in_batch

    @property
    def number(self) -> int:
        """The statement that the head of the queue belongs to; 0 when nothing is owed."""
        head = self._queue.first
        return head.number if head is not None else 0

    @property
    def unsynced(self) -> bool:
        """Something was asked since the last Sync or Query: an error now makes the server skip until Sync."""
        last = self._queue.last
        return last is not None and last.step is not Step.SYNC and last.step is not Step.QUERY

    @property
    def preparing_only(self) -> bool:
        """Nothing but naming and describing texts is on its way: nothing that runs."""
        return all(item.step in (Step.PARSE, Step.DESCRIBE_STATEMENT) for item in self._queue)

    @property
    def newest(self) -> Expected:
        """The step that was noted last, and is still owed."""
        last = self._queue.last
        assert last is not None, "asked for right after it was noted"
        return last

    def retold(self, data: bytes) -> bytes:
        """An ErrorResponse to a statement of the gateway's own, as the client may have it."""
        return self._spoken(data, messages.error_response)

    def expect(self, expected: Expected) -> None:
        """Note a message that was staged upstream."""
        self._in_batch = expected.step is not Step.SYNC and expected.step is not Step.QUERY
        if expected.step is Step.SYNC:
            self.skipping = False
            self.ready_owed += 1
        elif expected.step is Step.QUERY:
            self.ready_owed += 1
        self._queue.put(expected)

    @property
    def plain(self) -> bool:
        """What the server answers may go to the client as it is: nothing is masked here, withheld or kept back."""
        return self.net is None and not self.condemned and not self.muted

    def awaits(self, kind: int) -> bool:
        """Does a message of this type answer what is asked at the head, for the client to see?"""
        head = self._queue.first
        return head is not None and not head.hidden and _ALLOWED[head.step][kind] != 0

    def take(self, kind: int, data: bytes) -> None:
        """As :meth:`digest`, of a control message that is awaited where answers are plain: the client gets it whole.

        Raises UpstreamFault as that does.
        """
        head = self._queue.first
        assert head is not None, "awaited"
        self._advance(head, kind, data)

    def digest(self, run: Run) -> bytes:
        """Take the server's next run; return what the client gets of it (b"" for nothing).

        Raises UpstreamFault for an answer that nobody asked for, or a pinned setting that changed.
        """
        kind = run.type
        head = self._queue.first
        if head is not None and head.marking is not None and head.marking.touches:
            self._tainted = self._touched = True
        condemned = self.condemned
        if head is not None and _ALLOWED[head.step][kind]:
            if kind in (ROW, COPY_DATA):
                return b"" if head.hidden or condemned else run.data
            told = self._advance(head, kind, run.data)
            return b"" if condemned and kind != READY else told
        if kind == ERROR:
            told = self._error(head, run.data)
            return b"" if condemned and not self.fatal else told
        if kind == NOTICE:
            return b"" if condemned else self._spoken(run.data, messages.notice_response)
        if kind == PARAMETER:
            return self._parameter(run.data)
        if kind == NOTIFICATION:
            return self._notification(run.data)
        asked = head.step.name if head is not None else "nothing"
        raise UpstreamFault(f"the database sent message {chr(kind)!r} when {asked} was asked")

    @property
    def sheet(self) -> Sheet | None:
        """How the rows of the statement at the head are masked; None at targets without masking.

        Raises UpstreamFault for rows that the server did not describe.
        """
        head = self._queue.first
        if self.net is None or head is None or self.condemned:
            return None
        return self.net.rows(head.marking, head.number)

    def _hold_against(self, net: Net, head: Expected, kind: int, data: bytes) -> None:
        """A description of what comes: does it agree with what was judged? Raises Disagreement."""
        if head.marking is None:
            return
        if kind == LAYOUT:
            net.described(head.marking, head.done, head.number, data)
        elif kind == NO_DATA:
            net.undescribed(head.marking)
        elif kind == COPY_OUT:
            net.copied(head.marking, head.done, head.number, data)

    def _condemn(self, head: Expected, reason: str) -> bytes:
        """The client's error for a result that may not be shown; nothing more of its batch is."""
        self.condemned = self.refused = True
        self.error = "refused"
        if head.step is not Step.QUERY:
            self.skipping = all(item.step is not Step.SYNC for item in self._queue)
        if self.net is not None:
            self.net.note("withheld", {"statement": head.number, "reason": reason})
        return refusal(
            Denial(DenialCode.POLICY, f"{reason}; nothing of the result is shown", "Prepare and send it again.")
        )

    def _advance(self, head: Expected, kind: int, data: bytes) -> bytes:
        if kind in (LAYOUT, NO_DATA, COPY_OUT) and self.net is not None and not self.condemned:
            try:
                self._hold_against(self.net, head, kind, data)
            except Disagreement as disagreement:
                if _FINAL[head.step][kind]:
                    self._queue.take()
                return self._condemn(head, str(disagreement))
        if kind == COMPLETE:
            if head.marking is not None:
                head.marking.sheet = None
            if data != self._tag_frame:
                self.tag = replies.command_tag(data)
                self._tag_frame = data
            if self._tainted and not speech.plain_tag(self.tag):
                raise UpstreamFault("the target sent a completion tag that is none", code="08P01")
            self.copying_in = False
            self._effect(head)
        elif kind in (SUSPENDED, EMPTY, PARSED, BOUND, CLOSED):
            if kind != SUSPENDED:
                self._effect(head)
        elif kind == COPY_IN:
            self.copying_in = True
            self._swallow_sync()
        elif kind == READY:
            self._ready(replies.ready_status(data)[0])
            if self.muted:
                data = b""
        if _FINAL[head.step][kind]:
            self._queue.take()
        return b"" if head.hidden else data

    def _swallow_sync(self) -> None:
        """A server in copy-in mode ignores Sync: those that went up before it said so get no answer."""
        second = self._queue.second
        while second is not None and second.step is Step.SYNC:
            self._queue.take_second()
            self.ready_owed -= 1
            second = self._queue.second

    def _effect(self, head: Expected) -> None:
        if head.done < len(head.effects):
            effect = head.effects[head.done]
            if effect is not None:
                effect()
        head.done += 1

    def _ready(self, status: int) -> None:
        self.condemned = self._touched = False
        if status == IDLE:
            self._tainted = False
            self.names.close_all()
            if self.status != IDLE:
                self.ended_transactions += 1
        self.status = status
        self.ready_owed -= 1
        self.copying_in = False

    def _error(self, head: Expected | None, data: bytes) -> bytes:
        fields = replies.error_fields(data)
        self.error = fields.get("C", "XX000")
        self.copying_in = False
        if fields.get("V", fields.get("S", "")) in ("FATAL", "PANIC"):
            self.fatal = True
        if head is None:
            return self._spoken(data, messages.error_response)
        # The client's names are put back before the failed step forgets them.
        if head.replacement is not None:
            self.error = replies.error_fields(head.replacement).get("C", self.error)
            spoken = head.replacement
        elif head.hidden and head.step is not Step.DESCRIBE_PORTAL:  # there it stands for the client's own Execute
            spoken = b""
        else:
            naming = head.step is Step.PARSE
            spoken = self._spoken(data, messages.error_response, drop_position=head.rewritten, naming=naming)
        if head.failed is not None:
            head.failed()
        if head.step is not Step.QUERY and head.step is not Step.SYNC:
            self._skip()
        return spoken

    def _skip(self) -> None:
        """The server discards until Sync: so does the queue, and what was asked in between did not happen."""
        queue = self._queue
        first = True
        head = queue.first
        while head is not None and head.step is not Step.SYNC:
            queue.take()
            if not first and head.failed is not None:
                head.failed()
            first = False
            head = queue.first
        self.skipping = head is None

    def _spoken(
        self, data: bytes, build: Callable[..., bytes], drop_position: bool = False, naming: bool = False
    ) -> bytes:
        """An error or notice with the client's own names, re-made only where something must change."""
        if _PREFIX not in data and not drop_position and not self._tainted:
            return data
        fields = {key: self.names.client_text(text) for key, text in replies.error_fields(data).items()}
        if self._tainted:
            return speech.reduced(fields, naming=naming)
        if drop_position:
            fields.pop("P", None)
        severity, code, message = (fields.pop(key, "") for key in "SCM")
        return build(severity, code, message, fields=fields)

    def _parameter(self, data: bytes) -> bytes:
        name, value = replies.parameter_status(data)
        if name in self.reported:
            self.reported[name] = value
        wanted = self._pinned.get(name)
        if wanted is not None and value != wanted:
            raise UpstreamFault(
                f"the pinned setting {name} changed to {value!r}: the gateway cannot vouch for statements any more",
                code="57P01",
            )
        if self._touched and not speech.tells_nothing(name):
            return b""
        return data

    def _notification(self, data: bytes) -> bytes:
        if not self._listening or self.condemned:
            return b""
        return speech.silent_notification(data) if self.net is not None and self.net.plan else data
