"""Words that tasks leave for each other, in the table of sessions: ``words#<minute>`` has ``words`` SS, ``ttl`` N."""

from __future__ import annotations

from typing import Final

from blastwall.aws.tables import Calls, number, text

KEPT_SECONDS: Final = 3600.0
MINUTE: Final = 60.0


def tell(calls: Calls, word: str, now: float) -> None:
    """Leave a word for every task. Raises OurFault."""
    values = {":words": {"SS": [word]}, ":ttl": number(int(now + KEPT_SECONDS))}
    calls.update({"id": text(_place(now))}, "SET #ttl = :ttl ADD #words :words", values)


def told(calls: Calls, now: float) -> frozenset[str]:
    """What was left in this minute and the one before: each word for at least a minute. Raises OurFault."""
    found = calls.get_many([{"id": text(_place(at))} for at in (now, now - MINUTE)])
    return frozenset(word for item in found for word in item["words"]["SS"])


def _place(at: float) -> str:
    return f"words#{int(at // MINUTE)}"
