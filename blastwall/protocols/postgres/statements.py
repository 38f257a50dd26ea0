"""What goes down the road for each kind of a client's message: classes, because a closure for each costs as much as all
that it does.
"""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from blastwall.model import Denial, Parameter, Permit, Statement
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.answers import Step
from blastwall.protocols.postgres.exchange import PostgresExchange
from blastwall.protocols.postgres.legs import Legs
from blastwall.protocols.postgres.names import Prepared
from blastwall.protocols.postgres.requests import Bind

if TYPE_CHECKING:
    from blastwall.protocols.postgres.handlers import Handlers

#: No parameter is withheld: the object itself, which is not looked into.
NONE_WITHHELD: Final[Set[int]] = frozenset()


@mypyc_attr(free_list_len=1)
class QueryExchange(PostgresExchange):
    """A simple query. ``frame`` is the message as it came: it may go upstream where the permit is for that very text.
    b"": it is made anew.
    """

    __slots__ = ("_handlers", "frame")

    def __init__(self, handlers: Handlers, legs: Legs, statement: Statement, frame: bytes) -> None:
        super().__init__(legs, statement)
        self._handlers = handlers
        self.frame = frame

    def stage(self, permit: Permit | None, ending: bool) -> bool:
        assert permit is not None and self.statement is not None
        return self._handlers.stage_query(self.statement, permit, self)

    def turn_down(self, denial: Denial) -> None:
        assert self.statement is not None
        self._handlers.failing.refuse_query(self.statement, denial)

    def settle(self) -> float:
        return self._handlers.patience()


@mypyc_attr(free_list_len=1)
class ParseExchange(PostgresExchange):
    """A Parse: nobody is waited for."""

    __slots__ = ("_handlers", "_type_ids")

    def __init__(self, handlers: Handlers, legs: Legs, statement: Statement, type_ids: tuple[int, ...]) -> None:
        super().__init__(legs, statement, legs.down.ready)
        self._handlers = handlers
        self._type_ids = type_ids

    def stage(self, permit: Permit | None, ending: bool) -> bool:
        assert permit is not None and self.statement is not None
        self._handlers.stage_parse(self.statement, self._type_ids, permit)
        return False

    def turn_down(self, denial: Denial) -> None:
        assert self.statement is not None
        self._handlers.failing.refuse_extended(self.statement, denial)


@mypyc_attr(free_list_len=1)
class BindExchange(PostgresExchange):
    """A Bind, and perhaps what is behind it as far as its Sync."""

    __slots__ = ("_client", "_event", "_handlers", "_prepared")

    def __init__(
        self,
        handlers: Handlers,
        legs: Legs,
        statement: Statement,
        event: Bind,
        prepared: Prepared,
        client: str,
    ) -> None:
        super().__init__(legs, statement, legs.down.ready)
        self._handlers = handlers
        self._event = event
        self._prepared = prepared
        self._client = client

    def stage(self, permit: Permit | None, ending: bool) -> bool:
        statement = self.statement
        assert permit is not None and statement is not None
        self.ended = self._handlers.stage_bind(
            statement, self._event, self._prepared, self._client, permit, ending and self.more
        )
        return False

    def turn_down(self, denial: Denial) -> None:
        assert self.statement is not None
        self._handlers.failing.refuse_extended(self.statement, denial)

    def settle(self) -> float:
        return self._handlers.patience()


class SyncExchange(PostgresExchange):
    """The end of a batch. One serves for all of a connection; ``number`` is the batch's last statement (0: it is
    empty), whose transaction may fail as late as that: deferred constraints are checked there.
    """

    __slots__ = ("number",)

    def __init__(self, legs: Legs) -> None:
        super().__init__(legs, None)
        self.number = 0

    def stage(self, permit: Permit | None, ending: bool) -> bool:
        self._leg.stage(messages.SYNC)
        self._leg.answers.ask(Step.SYNC, self.number, (), None, False, None)
        return True


def parameters(event: Bind, type_ids: tuple[int, ...], withheld: Set[int]) -> tuple[Parameter, ...]:
    """Bind's values with their formats and the types that Parse named (0 where it named none); ``withheld`` are the
    numbers (from 1) of those that no recording holds.
    """
    values = event.parameters
    if not values:
        return ()
    formats = event.formats
    count = len(values)
    each = len(formats) == count
    binary = not each and len(formats) > 0 and formats[0] == 1
    known = len(type_ids)
    any_withheld = withheld is not NONE_WITHHELD and len(withheld) > 0
    if count == 1 and not any_withheld:
        return (Parameter(values[0], binary or (each and formats[0] == 1), type_ids[0] if known else 0, False),)
    found: list[Parameter] = []
    for number in range(count):  # zip and a generator cost more than all the rest when compiled
        if each:
            binary = formats[number] == 1
        type_id = type_ids[number] if number < known else 0
        found.append(Parameter(values[number], binary, type_id, any_withheld and number + 1 in withheld))
    return tuple(found)
