"""The sink's net under one connection: for each result the sheet its rows are masked by, and what is kept from errors.

Lineage from the statement's text and RowDescription from the server must agree before a row passes. What is found is
noted for the recording: which columns are masked, what the content detectors saw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from blastwall.errors import UpstreamFault
from blastwall.masking.detectors import Detectors, detectors, kinds
from blastwall.masking.plan import Plan
from blastwall.masking.rules import Rules
from blastwall.protocols.postgres import messages, replies
from blastwall.protocols.postgres.brief import UNTOUCHED_BRIEF, Brief
from blastwall.protocols.postgres.layout import Disagreement, Replace, columns, copied, formatted
from blastwall.protocols.postgres.sheet import RowSheet

if TYPE_CHECKING:
    from blastwall.protocols.postgres.names import Portal, Prepared

Note = Callable[[str, Mapping[str, object]], None]


MASKING_ON: Final = "blastwall: masking is on"
HINT: Final = "Do not write masks back: they are not the values."


class Marking:
    """What the net knows of one step that the server owes an answer to.

    ``briefs``: one for each statement of a simple query, else one. ``sheet`` is the one of the rows that come now.
    """

    __slots__ = ("briefs", "portal", "prepared", "sheet", "touches")

    def __init__(
        self, briefs: Sequence[Brief] = (), portal: Portal | None = None, prepared: Prepared | None = None
    ) -> None:
        self.briefs = briefs
        self.portal = portal
        self.prepared = prepared
        self.sheet: RowSheet | None = None
        self.touches = False
        for brief in briefs:
            if brief.treatment.touches:
                self.touches = True

    def brief(self, number: int) -> Brief:
        """Of the statement ``number`` (from 0). Raises Disagreement for one that the text does not have."""
        if not self.briefs:
            return UNTOUCHED_BRIEF
        if number >= len(self.briefs):
            raise Disagreement("the database answers more statements than were judged")
        return self.briefs[number]


class Net:
    """Made for connections to targets with masking. ``plan`` is that of the session's catalogue, now."""

    def __init__(self, detectors: Detectors | None, replace: Replace, plan: Callable[[], Plan]) -> None:
        self.detectors = detectors
        self.note: Note = _silent
        self._replace = replace
        self._plan = plan
        self._talk: RowSheet | None = None
        self._told = 0  # the statement whose columns were told last

    @property
    def plan(self) -> Plan:
        return self._plan()

    def notice(self) -> bytes:
        """What an agent is told at the beginning of its session."""
        count = sum(len(masks) for masks in self.plan.relations.values())
        told = []
        if count:
            told.append(f"{count} columns show masks" if count != 1 else "1 column shows masks")
        if self.detectors is not None and self.detectors.masks:
            told.append("values that look like personal data or secrets are overwritten with asterisks")
        detail = "; ".join(told)
        return messages.notice_response(
            "NOTICE", "00000", MASKING_ON, detail=detail[:1].upper() + detail[1:], hint=HINT
        )

    @property
    def talk(self) -> RowSheet | None:
        """The sheet of what is no result: errors, notices, tags."""
        if self._talk is None and self.detectors is not None:
            self._talk = RowSheet(None, self.detectors, self._replace, self._telling(0))
        return self._talk

    def described(self, marking: Marking, done: int, number: int, frame: bytes) -> None:
        """Hold a RowDescription against what was judged. Raises Disagreement: nothing of the result may pass."""
        fields = replies.row_description(frame)
        portal, prepared = marking.portal, marking.prepared
        if prepared is not None and portal is None:
            columns(marking.brief(0), fields, self.plan)
            prepared.fields = fields
            return
        brief = marking.brief(0 if portal is not None else done)
        sheet = self._sheet(brief, fields, number)
        if portal is not None:
            portal.sheet = sheet
        else:
            marking.sheet = sheet

    def undescribed(self, marking: Marking) -> None:
        """There will be no rows (NoData)."""
        if marking.prepared is not None and marking.portal is None:
            marking.prepared.fields = ()

    def copied(self, marking: Marking, done: int, number: int, frame: bytes) -> None:
        """Hold a CopyOutResponse against what was judged. Raises Disagreement."""
        _, formats = replies.copy_response(frame)
        brief = marking.brief(0 if marking.portal is not None else done)
        made = copied(brief, formats)
        self._tell_columns(brief, number)
        form = brief.copies if made else None
        marking.sheet = RowSheet(made, self.detectors, self._replace, self._telling(number), form)

    def rows(self, marking: Marking | None, number: int) -> RowSheet:
        """The sheet of the rows that come now. Raises UpstreamFault for rows that nobody described."""
        if marking is not None:
            portal = marking.portal
            if marking.sheet is not None:
                return marking.sheet
            if portal is not None:
                if portal.sheet is None and portal.prepared is not None and portal.prepared.fields:
                    fields = formatted(portal.prepared.fields, portal.formats)
                    portal.sheet = self._sheet(portal.brief, fields, number)
                if portal.sheet is not None:
                    return portal.sheet
        raise UpstreamFault("the target sent rows that it did not describe", code="08P01")

    def _sheet(self, brief: Brief, fields: Sequence[replies.Field], number: int) -> RowSheet:
        made = columns(brief, fields, self.plan)
        self._tell_columns(brief, number)
        return RowSheet(made, self.detectors, self._replace, self._telling(number))

    def _tell_columns(self, brief: Brief, number: int) -> None:
        """For playback: which columns of the result are masked, by number from 1."""
        masked = {
            str(place): ", ".join(f"{mask.column} ({mask.strategy})" for mask in masks)
            for place, output in enumerate(brief.treatment.outputs or (), start=1)
            if (masks := (*output.masks, *((output.sink,) if output.sink is not None else ())))
        }
        if masked and number != self._told:
            self._told = number
            self.note("masked", {"statement": number, "columns": masked})

    def _telling(self, number: int) -> Callable[[str, str], None]:
        def told(kind: str, mode: str) -> None:
            done = "is masked" if mode == "mask" else "passed"
            reason = f"a value that looks like this {done}: {kinds()[kind]}"
            self.note("detected", {"statement": number, "found": kind, "mode": mode, "reason": reason})

        return told


def net_for(rules: Rules | None, plan: Callable[[], Plan]) -> Net | None:
    """The net for whoever these rules are narrowed to; None when nothing is masked for them."""
    if rules is None:
        return None
    found = detectors(rules.detectors.value)
    if found is None and not any(rule.strategy is not None for rule in rules.rules):
        return None
    return Net(found, rules.pseudonym, plan)


def _silent(name: str, fields: Mapping[str, object]) -> None:
    """Until somebody listens."""
