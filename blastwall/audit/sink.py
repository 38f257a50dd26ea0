"""Audit events as JSON lines: one object a line, ASCII only, so that nothing recorded can forge or break a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

_ENCODER = json.JSONEncoder(separators=(",", ":"), sort_keys=True, ensure_ascii=True, default=str)


def line(event: Mapping[str, Any]) -> str:
    """One event as a line, without its end. Equal events give equal lines."""
    return _ENCODER.encode(event)


def day(event: Mapping[str, Any]) -> str:
    """The UTC date (YYYY-MM-DD) an event belongs to."""
    return datetime.fromtimestamp(event["time"] / 1000, UTC).date().isoformat()


def by_day(events: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Lines by date, in the order of the events."""
    days: dict[str, list[str]] = {}
    for event in events:
        days.setdefault(day(event), []).append(line(event))
    return days
