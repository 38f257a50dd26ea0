"""Recording to lines: what :mod:`blastwall.audit.project` and :mod:`blastwall.audit.sink` say, in a tenth of the time.

Thousands of statements are judged alike, and their events differ in a number, a time and a text. So for the second of
them the event is made once more, with marks in those places that stand nowhere else in it; the others fill in its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from json.encoder import encode_basestring_ascii
from typing import Final

from blastwall.audit.columns import written
from blastwall.audit.project import LOCAL, MAX_TEXT, Projection, moment
from blastwall.audit.sink import MAX_EVENT, day, encode, line
from blastwall.recording.records import Header, Intent, Record, Relayed, Seal

_HOLES: Final = ("sequence", "statement", "time", "time_dt", "text")  # where lines of one form differ
MAX_FORMS: Final = 128  # kept for one recording; past that they are made again


class Form:
    """What is alike. ``judged`` is what the key speaks of by ``id``: while it is kept, no other object has that id."""

    __slots__ = ("holes", "judged", "made", "parts")

    def __init__(self, judged: object) -> None:
        self.judged = judged
        self.made = False  # not before it is wanted for a second time
        self.parts: list[str] = []  # of the line; none: what is like this has no event
        self.holes: list[tuple[int, int]] = []  # which of the parts are to be filled in, and with what of _HOLES


class Lines:
    """The lines of one recording's events, in order: those of ``line(Projection(header, show).event(record))``."""

    def __init__(self, header: Header, show: frozenset[str] = LOCAL) -> None:
        self._projection = Projection(header, show)
        self._started = header.started_at
        self._forms: dict[tuple[object, ...], Form] = {}
        self._second = -1  # the last moment's, and how it is written
        self._written = ""
        self.ended = False

    def gather(self, records: Iterable[Record], first: int, days: dict[str, list[str]], most: int) -> bool:
        """Put the lines of the next records from number ``first`` on under their dates, at most about so many.

        Returns whether there are more. :attr:`ended` then tells whether the recording's last record was among them.
        """
        held = 0
        for record in records:
            if isinstance(record, Seal):
                self.ended = True
            if record.sequence < first:
                continue
            made = self.line(record)
            if made is None:
                continue
            day = days.get(made[0])
            if day is None:
                day = days[made[0]] = []
            day.append(made[1])
            held += 1
            if held >= most:
                return True
        return False

    def line(self, record: Record) -> tuple[str, str] | None:
        """Return the event's UTC date (YYYY-MM-DD) and its line without an end; None for a record that has no event."""
        if isinstance(record, Intent):
            key: tuple[object, ...] = (id(record.facts), id(record.decision), record.kind, record.redacted)
            text = record.text
            if not text or not record.statement or len(text) > MAX_TEXT:
                return self._whole(record)
            judged: object = (record.facts, record.decision)
        elif isinstance(record, Relayed):
            key = (record.tag, record.error, record.refused)
            text = ""
            if not record.statement:
                return self._whole(record)
            judged = None
        else:
            return self._whole(record)
        form = self._forms.get(key)
        if form is None:
            if len(self._forms) >= MAX_FORMS:
                self._forms.clear()
            self._forms[key] = Form(judged)
            return self._whole(record)
        if not form.made:
            self._lay_out(form, record)
        if not form.parts:
            return None
        time = moment(self._started, record.at)
        second = time // 1000
        if second != self._second:
            self._second = second
            self._written = written(second)
        values = [
            str(record.sequence),
            str(record.statement),
            str(time),
            f'"{self._written}.{time % 1000:03}Z"',
            encode_basestring_ascii(text),
        ]
        parts = form.parts.copy()
        for place, hole in form.holes:
            parts[place] = values[hole]
        made = "".join(parts)
        return (self._written[:10], made) if len(made) <= MAX_EVENT else self._whole(record)

    def _lay_out(self, form: Form, record: Intent | Relayed) -> None:
        """Take apart the line of an event that is like this record's and has marks where they differ."""
        form.made = True
        plain = self._projection.event(record)
        if plain is None:
            return
        sequence, statement, time, time_dt, text = _absent(encode(plain))
        marked: Record
        if isinstance(record, Intent):
            marked = record._replace(sequence=int(sequence), statement=int(statement), text=text)
        else:
            marked = record._replace(sequence=int(sequence), statement=int(statement))
        event = self._projection.event(marked)
        assert event is not None, "what it is about has not changed"
        event["time"] = int(time)
        if "time_dt" in event:
            event["time_dt"] = time_dt
        marks = [sequence, statement, time, f'"{time_dt}"', f'"{text}"']  # what JSON puts around a text goes with it
        form.parts = re.split(f"({'|'.join(marks)})", encode(event))
        form.holes = [(place, marks.index(part)) for place, part in enumerate(form.parts) if part in marks]

    def _whole(self, record: Record) -> tuple[str, str] | None:
        event = self._projection.event(record)
        return None if event is None else (day(event), line(event))


def _absent(text: str) -> list[str]:
    """As many different numbers of thirty digits as there are holes, none of which stands in the text."""
    found: list[str] = []
    number = 10**29
    while len(found) < len(_HOLES):
        if str(number) not in text:
            found.append(str(number))
        number += 1
    return found
