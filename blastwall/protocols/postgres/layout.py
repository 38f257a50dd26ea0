"""The columns of a result as the database describes them, held against what was judged.

Lineage says what each output column must be; RowDescription says what it is (relation oid and attribute number, section
53.7). Where they disagree, a table was swapped, or the judgement was wrong: either way nothing of it is shown. Pure.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, Final

from blastwall.masking.plan import Mask, Output, Plan
from blastwall.model import Value
from blastwall.protocols.postgres.brief import Brief
from blastwall.protocols.postgres.explain import telling
from blastwall.protocols.postgres.replies import Field

_TABLE: Final[Any] = tomllib.loads((files(__package__) / "layout.toml").read_text("utf-8"))
_PLAIN: Final[frozenset[int]] = frozenset(_TABLE["plain"]["oids"])
_DOCUMENT: Final[frozenset[int]] = frozenset(_TABLE["document"]["oids"])

UUID: Final = 2950
INTEGERS: Final = {21: 2, 23: 4, 20: 8}  # oid to bytes in binary format

#: The pseudonym of a value, given as text: what a mask at the sink shows.
Replace = Callable[[Mask, str], str]

PASS: Final = 0
SEARCH: Final = 1
SEARCH_DOCUMENT: Final = 2
SINK: Final = 3
CONCEAL: Final = 4


class Disagreement(Exception):
    """What the database returns is not what was judged; the message is for the agent."""


class Column(Value):
    """What is done with the values of one column: one of the numbers above; ``mask`` and its wire format for SINK,
    ``telling`` is what CONCEAL hides.
    """

    __slots__ = ("action", "binary", "mask", "telling", "type_id")
    __match_args__ = ("action", "mask", "type_id", "binary", "telling")

    def __init__(
        self,
        action: int,
        mask: Mask | None = None,
        type_id: int = 0,
        binary: bool = False,
        telling: re.Pattern[bytes] | None = None,
    ) -> None:
        self.action = action
        self.telling = telling
        self.mask = mask
        self.type_id = type_id
        self.binary = binary


def columns(brief: Brief, fields: Sequence[Field], plan: Plan) -> tuple[Column, ...]:
    """What is done with each column of a result. Raises Disagreement."""
    if brief.explain and brief.touches:
        if len(fields) != 1 or fields[0].table:
            raise Disagreement("the database returns something else than the plan that was asked for")
        return (Column(CONCEAL, telling=telling(plan)),)
    outputs = brief.treatment.outputs
    if outputs is not None and len(outputs) != len(fields):
        raise Disagreement(f"the database returns {len(fields)} columns where {len(outputs)} were judged")
    made: list[Column] = []
    for number, field in enumerate(fields):
        output = outputs[number] if outputs is not None else None
        masks = plan.relations.get(field.table) if field.table else None
        mask = masks.get(field.column) if masks is not None else None
        told = f'column {number + 1} ("{field.name}")'
        if output is not None and output.origin is not None and output.origin != (field.table, field.column):
            raise Disagreement(f"{told} does not come from the table that was judged")
        if output is not None and output.sink is not None:
            made.append(_sink(told, output, output.sink, mask, field))
            continue
        if mask is not None:
            raise Disagreement(f"{told} would be the unmasked {mask.column}")
        if masks is not None and field.column == 0:
            raise Disagreement(f"{told} would be whole rows of a table with masked columns")
        made.append(Column(PASS if (field.table, field.column) in plan.shown else _search(field.type_id)))
    return tuple(made)


def copied(brief: Brief, formats: Sequence[int]) -> tuple[Column, ...]:
    """What is done with each column of copied lines; () when no mask is at the sink. Raises Disagreement.

    A COPY says only how many columns it has; where they come from its rewritten text says.
    """
    outputs = brief.treatment.outputs
    if outputs is None:
        return ()
    if len(outputs) != len(formats):
        raise Disagreement(f"the database copies {len(formats)} columns where {len(outputs)} were judged")
    raw = next((output.sink.column for output in outputs if output.sink is not None), None)
    if raw is None:
        return ()
    if brief.copies is None or any(formats):
        raise Disagreement(
            f"COPY in this form would carry the unmasked {raw}: copy it as text or CSV without further options"
        )
    return tuple(
        Column(SEARCH) if output.sink is None else Column(SINK, output.sink, output.sink.type_oid) for output in outputs
    )


def _sink(told: str, output: Output, sink: Mask, mask: Mask | None, field: Field) -> Column:
    computed = output.origin == (0, 0)  # as a UNION ALL of the column is, or a sub-query in its place: judged to be it
    if not computed and (mask is None or mask.column != sink.column):
        raise Disagreement(f"{told} is not {sink.column}, which was judged")
    if field.type_id != sink.type_oid:
        raise Disagreement(f"{told} is not of the type that {sink.column} was judged to have")
    return Column(SINK, sink, field.type_id, field.format == 1)


def _search(type_id: int) -> int:
    if type_id in _PLAIN:
        return PASS
    return SEARCH_DOCUMENT if type_id in _DOCUMENT else SEARCH


def formatted(fields: Sequence[Field], formats: Sequence[int]) -> tuple[Field, ...]:
    """The fields of a prepared statement in the formats that a Bind asked for: none, one for all, or one each."""
    if len(formats) != len(fields):
        formats = (formats[0] if formats else 0,) * len(fields)
    return tuple(field._replace(format=format_) for field, format_ in zip(fields, formats, strict=True))
