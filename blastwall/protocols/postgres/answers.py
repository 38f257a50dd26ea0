"""What the server owes, in order, and what of its words may go to the client.

Every message the gateway sends upstream is noted here as an :class:`Expected` step; every message the server sends is
held against the step at the head of the queue. A server that answers what nobody asked is a fault, not a curiosity:
both sides of the proxy are hostile. Source: PostgreSQL documentation, "Message Flow" (protocol 3.0).

Pure: bytes and steps in, bytes for the client out. No waiting, no sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from librt.strings import read_i64_be
from mypy_extensions import i64

from blastwall.errors import UpstreamFault
from blastwall.model import Denial, DenialCode, Sheet
from blastwall.protocols.postgres import messages, replies, speech
from blastwall.protocols.postgres.frames import HEADER_SIZE
from blastwall.protocols.postgres.layout import Disagreement
from blastwall.protocols.postgres.names import PREFIX, Names
from blastwall.protocols.postgres.net import Marking, Net
from blastwall.protocols.postgres.owed import (
    ALLOWED,
    BOUND,
    CLOSED,
    COMPLETE,
    COPY_DATA,
    COPY_IN,
    COPY_OUT,
    EMPTY,
    ENDS,
    ERROR,
    FAILED,
    FINAL,
    IDLE,
    IN_TRANSACTION,
    LAYOUT,
    MARKS,
    NO_DATA,
    NOTICE,
    NOTIFICATION,
    PARAMETER,
    PARSED,
    READY,
    ROW,
    STEPS,
    Effect,
    Effects,
    Expected,
    Owed,
    Step,
)
from blastwall.protocols.postgres.refusal import refusal
from blastwall.protocols.postgres.upstream import Run

__all__ = [
    "ALLOWED",
    "COMPLETE",
    "COPY_DATA",
    "ERROR",
    "FAILED",
    "FINAL",
    "IDLE",
    "IN_TRANSACTION",
    "MARKS",
    "NOTICE",
    "PARAMETER",
    "READY",
    "ROW",
    "STEPS",
    "Answers",
    "Expected",
    "Step",
]

#: What there is of a batch of the extended protocol: nothing, messages, messages of which one runs something.
NO_BATCH: Final = 0
PREPARING: Final = 1
RUNNING: Final = 2
#: Completion tags that are remembered by their frames, and of how many bytes at most.
_TAGS: Final = 32
_TAG_BYTES: Final = 64
#: Steps that are kept to be used again: those of a few statements.
_SPARES: Final = 16

_PREFIX: Final = PREFIX.encode()


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
        self._spare: Expected | None = None  # steps that were answered: making one costs more than filling one
        self._spares: i64 = 0
        self._batch: i64 = NO_BATCH  # of the extended protocol, since the last Sync or Query
        self.status: i64 = IDLE
        self.copying_in = False
        self.skipping = False  # the server discards until Sync, and no Sync is on its way yet
        self.fatal = False
        self.ready_owed: i64 = 0  # ReadyForQuery messages to come
        self.ended_transactions: i64 = 0
        # Findings about the run digested last; the channel reads them when it makes a chunk.
        self.tag = ""
        self._tag_frame = b""  # ... as it stood in the last CommandComplete
        self._tags: dict[bytes, str] = {}
        self.error = ""

    @property
    def quiescent(self) -> bool:
        """Nothing is owed."""
        return self._queue.first is None

    @property
    def at_rest(self) -> bool:
        """Nothing is owed, and no extended batch waits for its Sync: a Sync of ours would end the client's own
        implicit transaction."""
        return self._queue.first is None and self._batch == NO_BATCH

    @property
    def only_prepared(self) -> bool:
        """All was answered, and of an open batch nothing was asked to run: a Sync of ours takes nothing from it that a
        simple query would not take."""
        return self._queue.first is None and self._batch == PREPARING

    @property
    def number(self) -> int:
        """The statement that the head of the queue belongs to; 0 when nothing is owed."""
        head = self._queue.first
        return head.number if head is not None else 0

    @property
    def unsynced(self) -> bool:
        """Something was asked since the last Sync or Query: an error now makes the server skip until Sync."""
        last = self._queue.last
        return last is not None and last.step != Step.SYNC and last.step != Step.QUERY

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
        """Note a message that was staged upstream. The step is the queue's from now on."""
        step = expected.step
        if step == Step.SYNC:
            self.skipping = False
            self.ready_owed += 1
            self._batch = NO_BATCH
        elif step == Step.QUERY:
            self.ready_owed += 1
            self._batch = NO_BATCH
        elif step == Step.EXECUTE:
            self._batch = RUNNING
        elif self._batch == NO_BATCH:
            self._batch = PREPARING
        self._queue.put(expected)

    def ask(
        self,
        step: i64,
        number: int,
        effects: Effects,
        failed: Effect | None,
        rewritten: bool,
        marking: Marking | None,
    ) -> None:
        """As :meth:`expect`, of a step of the client's: what each statement makes several of."""
        spare = self._spare
        if spare is None:
            spare = Expected(step, number, effects, failed)
        else:
            self._spare = spare.after
            self._spares -= 1
            spare.after = None
            spare.step = step
            spare.number = number
            spare.effects = effects
            spare.failed = failed
        spare.rewritten = rewritten
        spare.marking = marking
        self.expect(spare)

    def _answered(self) -> None:
        """The step at the head is over."""
        step = self._queue.take()
        if self._spares < _SPARES:
            step.clear()
            step.after = self._spare
            self._spare = step
            self._spares += 1

    @property
    def plain(self) -> bool:
        """What the server answers may go to the client as it is: nothing is masked here, withheld or kept back."""
        return self.net is None and not self.condemned and not self.muted

    @property
    def head(self) -> Expected | None:
        """The step that the server answers now."""
        return self._queue.first

    def digest(self, run: Run) -> bytes:
        """Take the server's next run; return what the client gets of it (b"" for nothing).

        Raises UpstreamFault for an answer that nobody asked for, or a pinned setting that changed.
        """
        kind = run.type
        head = self._queue.first
        if head is not None and head.marking is not None and head.marking.touches:
            self._tainted = self._touched = True
        condemned = self.condemned
        if head is not None and MARKS[head.step * 256 + kind]:
            if kind in (ROW, COPY_DATA):
                return b"" if head.hidden or condemned else run.data
            if kind in (LAYOUT, NO_DATA, COPY_OUT) and self.net is not None and not condemned:
                try:
                    self._hold_against(self.net, head, kind, run.data)
                except Disagreement as disagreement:
                    told = self._condemn(head, str(disagreement))
                    if MARKS[head.step * 256 + kind] & ENDS:
                        self._answered()
                    return told
            withheld = head.hidden or (self.muted if kind == READY else condemned)
            self.advance(head, kind, run.data, 0, len(run.data))
            return b"" if withheld else run.data
        if kind == ERROR:
            told = self._error(head, run.data)
            return b"" if condemned and not self.fatal else told
        if kind == NOTICE:
            return b"" if condemned else self._spoken(run.data, messages.notice_response)
        if kind == PARAMETER:
            return self._parameter(run.data)
        if kind == NOTIFICATION:
            return self._notification(run.data)
        asked = STEPS[head.step] if head is not None else "nothing"
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
        if head.step != Step.QUERY:
            self.skipping = all(item.step != Step.SYNC for item in self._queue)
        if self.net is not None:
            self.net.note("withheld", {"statement": head.number, "reason": reason})
        return refusal(
            Denial(DenialCode.POLICY, f"{reason}; nothing of the result is shown", "Prepare and send it again.")
        )

    def advance(self, head: Expected, kind: i64, data: bytes, start: i64, end: i64) -> None:
        """Take the control message ``data[start:end]``, which answers the step at the head as it may.

        Raises UpstreamFault for a completion tag or a status that is none.
        """
        if kind == COMPLETE:
            if head.marking is not None:
                head.marking.sheet = None
            self._read_tag(data, start, end)
            if self._tainted and not speech.plain_tag(self.tag):
                raise UpstreamFault("the target sent a completion tag that is none", code="08P01")
            self.copying_in = False
            self._effect(head)
        elif kind == READY:
            status: i64 = data[start + HEADER_SIZE] if end - start == HEADER_SIZE + 1 else 0
            if status != IDLE and status != IN_TRANSACTION and status != FAILED:
                status = replies.ready_status(data[start:end])[0]  # it raises
            self._ready(status)
        elif kind in (BOUND, PARSED, CLOSED, EMPTY):
            self._effect(head)
        elif kind == COPY_IN:
            self.copying_in = True
            self._swallow_sync()
        if MARKS[head.step * 256 + kind] & ENDS:
            self._answered()

    def _read_tag(self, data: bytes, start: i64, end: i64) -> None:
        """Most statements of a session end alike, and each tag is read once: it depends on its bytes alone."""
        last = self._tag_frame
        rest: i64 = len(last) - 8
        if end - start == rest + 8 and rest >= 0:
            at: i64 = 0
            while at < rest and read_i64_be(data, start + at) == read_i64_be(last, at):
                at += 8
            if at >= rest and read_i64_be(data, start + rest) == read_i64_be(last, rest):
                return
        frame = data[start:end]
        tag = self._tags.get(frame)
        if tag is None:
            tag = replies.command_tag(frame)
            if len(frame) <= _TAG_BYTES:
                if len(self._tags) >= _TAGS:
                    self._tags.clear()
                self._tags[frame] = tag
        self.tag = tag
        self._tag_frame = frame

    def _swallow_sync(self) -> None:
        """A server in copy-in mode ignores Sync: those that went up before it said so get no answer."""
        second = self._queue.second
        while second is not None and second.step == Step.SYNC:
            self._queue.take_second()
            self.ready_owed -= 1
            second = self._queue.second

    def _effect(self, head: Expected) -> None:
        effects = head.effects
        if head.done < len(effects):
            effect = effects[head.done]
            if effect is not None:
                effect()
        head.done += 1

    def _ready(self, status: i64) -> None:
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
        elif head.hidden and head.step != Step.DESCRIBE_PORTAL:  # there it stands for the client's own Execute
            spoken = b""
        else:
            naming = head.step == Step.PARSE
            spoken = self._spoken(data, messages.error_response, drop_position=head.rewritten, naming=naming)
        if head.step != Step.QUERY and head.step != Step.SYNC:
            self._skip()
        elif head.failed is not None:
            head.failed()
        return spoken

    def _skip(self) -> None:
        """The server discards until Sync: so does the queue, and what was asked in between did not happen.

        What was noted of it is undone from the last to the first: a name that is made and closed was never there, and
        one that is closed and made anew is the old one.
        """
        queue = self._queue
        undone: list[Effect] = []
        head = queue.first
        while head is not None and head.step != Step.SYNC:
            failed = head.failed
            if failed is not None:
                undone.append(failed)
            if head.step == Step.QUERY:  # ignored, so it gets no ReadyForQuery of its own
                self.ready_owed -= 1
            self._answered()
            head = queue.first
        while len(undone) > 0:
            undone.pop()()
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
