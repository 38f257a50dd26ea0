"""Which columns are masked, and how: what the rules of masking.yaml come to in one catalogue, for one session.

The same plan is read at both ends: the rewrite at scan puts a mask's ``source`` in the column's place inside the
database; the sink replaces what had to come up raw (``hash`` and ``fake`` need a key, and no key ever enters SQL), and
checks that nothing else did. Pure values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Strategy(StrEnum):
    """What an agent sees in a value's place."""

    REDACT = "redact"  # a constant
    PARTIAL = "partial"  # a recognisable part: the last four characters, a mail address' domain
    HASH = "hash"  # keyed; equal values stay equal. At the sink
    NULL = "null"
    FAKE = "fake"  # the same form, other characters; deterministic. At the sink
    TRUNCATE = "truncate"  # a date to its year, a number to a bucket


#: Strategies that need a key: the raw value comes up to the gateway, in bare projections only.
AT_SINK = frozenset({Strategy.HASH, Strategy.FAKE})


class Predicates(StrEnum):
    """What a statement may do with a masked column besides showing its mask."""

    DENY = "deny"
    EQUALITY = "equality"  # compare it for equality with a literal or a bound parameter; counted
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class Mask:
    """How one column of one relation is masked.

    ``column`` is "schema.table.column". ``source`` is an SQL expression of the column's exact type and modifier in
    which ``{}`` stands for the (qualified, quoted) column; for strategies at the sink it is what stands there wherever
    the raw value may not come up. ``origin`` says where the rule stands ("masking.yaml:12"; for a view's column also
    through which column it came). ``type_oid`` is the type that clients see (a domain's base type); ``length`` the most
    characters that it holds (0: any number). ``absence``: it is hidden also whether there is a value.
    """

    column: str
    strategy: Strategy
    predicates: Predicates
    source: str
    origin: str
    type_oid: int
    length: int = 0
    absence: bool = False

    @property
    def at_sink(self) -> bool:
        return self.strategy in AT_SINK


@dataclass(frozen=True, slots=True)
class Plan:
    """Masks by relation oid and column number (pg_attribute.attnum).

    Partitions and children have their parents' masks; a view has those of the columns that its output columns come
    from. ``opaque`` are relations that may show masked values in a way nobody can follow (views that filter on a masked
    column, materialised views and foreign tables over masked columns), with the reason for the agent. ``vouched`` are
    relations whose owner says that they show nothing of masked columns: what they read is not followed. ``marks`` are
    the beginnings by which a mask is recognised that is written back. ``shown`` are columns (relation oid, number) that
    a rule says to show, to everybody or to this group: detectors leave their values alone, and what is computed from
    masked columns under that very name is not masked. ``telling`` are tables of whose rows the partition that each is
    in tells what a masked column (its value) holds. ``widest`` is how many columns a table has at most; 0 where nothing
    is masked. ``version`` changes whenever any of it does, and is part of what caches are keyed by.
    """

    relations: Mapping[int, Mapping[int, Mask]] = field(default_factory=dict)
    opaque: Mapping[int, str] = field(default_factory=dict)
    version: str = ""
    vouched: frozenset[int] = frozenset()
    marks: frozenset[str] = frozenset()
    shown: frozenset[tuple[int, int]] = frozenset()
    telling: Mapping[int, str] = field(default_factory=dict)
    widest: int = 0

    def __bool__(self) -> bool:
        return bool(self.relations) or bool(self.opaque)

    def recognises(self, value: str) -> bool:
        """Whether ``value`` is a mask that an agent was shown, to be stored where the real value stands."""
        return any(value.startswith(mark) for mark in self.marks)


@dataclass(frozen=True, slots=True)
class Output:
    """One output column of a statement.

    ``sink`` is set where the raw value comes up and must be replaced before it is relayed. ``masks`` are those whose
    column the value was computed from and whose ``source`` already took the value's place inside the database.
    ``origin`` is the (relation oid, attribute number) that RowDescription must show: (0, 0) for what is computed.
    """

    name: str = ""
    sink: Mask | None = None
    masks: tuple[Mask, ...] = ()
    origin: tuple[int, int] | None = None  # None: not known from the text


@dataclass(frozen=True, slots=True)
class Treatment:
    """What masking makes of one statement of a text.

    ``touches``: it reads or writes a masked relation, so what the database says of it (errors, notices, tags) is
    reduced to what cannot carry a value. ``outputs`` None: it returns no rows whose columns the text tells.
    ``parameters`` are the numbers (from 1) of bound parameters compared with or stored into masked columns: the
    recording leaves their values out. ``stores`` are those (with the mask of their column) that are written to one:
    none may be a mask that comes back.
    """

    touches: bool = False
    outputs: tuple[Output, ...] | None = None
    parameters: frozenset[int] = frozenset()
    stores: tuple[tuple[int, Mask], ...] = ()


UNTOUCHED = Treatment()
