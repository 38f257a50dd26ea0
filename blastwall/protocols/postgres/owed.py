"""What a server owes: the steps it is asked, what it may answer to each, and the queue of those it has not answered.

Source: PostgreSQL documentation, "Message Flow" (protocol 3.0).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from blastwall.value import Value

if TYPE_CHECKING:
    from blastwall.protocols.postgres.net import Marking

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


class Step:
    """One message upstream that the server answers. Numbers, because compiled they cost nothing."""

    PARSE: Final = 0
    BIND: Final = 1
    DESCRIBE_STATEMENT: Final = 2
    DESCRIBE_PORTAL: Final = 3
    EXECUTE: Final = 4
    CLOSE: Final = 5
    SYNC: Final = 6
    QUERY: Final = 7
    POISON: Final = 8  # a message made to fail, so that the server's own transaction fails with the refusal


#: What each is called, by its number.
STEPS: Final = (
    *("PARSE", "BIND", "DESCRIBE_STATEMENT", "DESCRIBE_PORTAL", "EXECUTE", "CLOSE", "SYNC", "QUERY", "POISON"),
)


def _types(*names: int) -> frozenset[int]:
    return frozenset(names)


_ROWS: Final = _types(ROW, COMPLETE, EMPTY, SUSPENDED, COPY_IN, COPY_OUT, COPY_DATA, COPY_DONE)

#: What the server may answer to each step.
ALLOWED: Final[Mapping[int, frozenset[int]]] = {
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
FINAL: Final[Mapping[int, frozenset[int]]] = {
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


#: Both tables as one byte for each step and type, at ``step * 256 + type``: looking into a set costs a call.
ALLOWS: Final = 1
ENDS: Final = 2
MARKS: Final = bytes(
    ALLOWS * (kind in ALLOWED[step]) + ENDS * (kind in FINAL[step]) for step in range(len(STEPS)) for kind in range(256)
)

Effect = Callable[[], None]
Effects = tuple[Effect | None, ...]


class Expected(Value):
    """One step the server owes an answer to.

    Once it is answered it stands for another: nobody else may keep it. ``effects`` run one by one as the server
    completes what it was asked (a simple query: one for each of its statements); ``failed`` runs instead when it
    answers with an error. ``replacement`` is the ErrorResponse that the client gets in the place of the server's.
    ``rewritten`` tells that positions in the server's messages mean nothing to the client. ``marking`` is what the
    sink's net knows of it, where the target has masking.
    """

    __slots__ = (
        "after",
        "done",
        "effects",
        "failed",
        "hidden",
        "marking",
        "number",
        "replacement",
        "rewritten",
        "step",
    )
    __match_args__ = ("step", "number", "effects", "failed", "replacement", "rewritten", "hidden", "done")

    def __init__(
        self,
        step: i64,
        number: int = 0,
        effects: Effects = (),
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
        self.after: Expected | None = None  # the one behind it: the queue's

    def clear(self) -> None:
        """Forget what it held, so that it may stand for another step, which has a number of its own."""
        self.done = 0
        self.rewritten = self.hidden = False
        if len(self.effects) > 0:
            self.effects = ()
        if self.failed is not None:
            self.failed = None
        if self.replacement is not None:
            self.replacement = None
        if self.marking is not None:
            self.marking = None


class Owed:
    """What the server owes, first in, first out. Each step knows the one behind it (``after``): a list would have to
    grow and be cut.
    """

    __slots__ = ("first", "last")

    def __init__(self) -> None:
        self.first: Expected | None = None  # the head, None when nothing is owed
        self.last: Expected | None = None  # the step that was put in last

    def __iter__(self) -> Iterator[Expected]:
        steps: list[Expected] = []
        step = self.first
        while step is not None:
            steps.append(step)
            step = step.after
        return iter(steps)

    @property
    def second(self) -> Expected | None:
        """The step behind the head."""
        first = self.first
        return None if first is None else first.after

    def put(self, step: Expected) -> None:
        """Put in a step that is in no queue."""
        last = self.last
        if last is None:
            self.first = step
        else:
            last.after = step
        self.last = step

    def take(self) -> Expected:
        """Take the head away. Raises IndexError when nothing is owed."""
        taken = self.first
        if taken is None:
            raise IndexError("nothing is owed")
        after = taken.after
        self.first = after
        if after is None:
            self.last = None
        taken.after = None
        return taken

    def take_second(self) -> Expected:
        """Take the step behind the head away. Raises IndexError when there is none."""
        first = self.first
        taken = None if first is None else first.after
        if first is None or taken is None:
            raise IndexError("no second step is owed")
        first.after = taken.after
        if taken.after is None:
            self.last = first
        taken.after = None
        return taken
