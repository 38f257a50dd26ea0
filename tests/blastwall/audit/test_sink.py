"""Lines that nothing recorded can break (REC-009)."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from blastwall.audit.sink import by_day, line

HOSTILE = 'agent\n{"forged": true}\r\x1b[2J\u2028\u0085"}'


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_an_event_is_one_printable_line(text):
    event = {"time": 0, "who": text, text: 1}
    written = line(event)
    assert written.isascii()
    assert written.isprintable()
    assert json.loads(written) == event


def test_a_forged_line_stays_inside_its_string():
    assert json.loads(line({"time": 0, "name": HOSTILE}))["name"] == HOSTILE
    assert "\n" not in line({"name": HOSTILE})


def test_events_go_to_the_day_they_happened_in_order():
    midnight = 1_800_057_600_000
    events = [{"time": at, "n": n} for n, at in enumerate([midnight - 1, midnight, midnight - 2])]
    days = by_day(events)
    assert list(days) == ["2027-01-15", "2027-01-16"]
    assert [json.loads(text)["n"] for text in days["2027-01-15"]] == [0, 2]
