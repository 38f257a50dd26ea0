"""Where audit events go: the port, and what every sink needs to know of an event. Pure.

Events travel as JSON lines: one object a line, ASCII only, so that nothing recorded can forge or break a line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from blastwall.audit.columns import partition

MAX_EVENT: Final = 240 * 1024  # bytes of one line: CloudWatch Logs takes 256 KiB an event, its own 26 bytes included
_ENCODER = json.JSONEncoder(separators=(",", ":"), sort_keys=True, ensure_ascii=True, default=str)


class Sink(Protocol):
    """One place that audit events are sent to.

    ``put`` returns the ids (:func:`uid`) that were not taken, and never raises for what the other side says or does:
    whatever is not known to have been taken has failed. Sending an event again is harmless: its id is the same.
    Of one session's events (:func:`session`), none is sent behind one that failed.
    """

    name: str

    def put(self, batch: Sequence[Mapping[str, Any]]) -> Collection[str]: ...


def encode(event: Mapping[str, Any]) -> str:
    """One event as JSON on one line, however long. Equal events give equal texts."""
    return _ENCODER.encode(event)


def line(event: Mapping[str, Any]) -> str:
    """One event as a line, without its end; shortened to :data:`MAX_EVENT`."""
    text = encode(event)
    return text if len(text) <= MAX_EVENT else _ENCODER.encode(cut(event, MAX_EVENT))


def cut(event: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """The event in ``limit`` bytes: its longest texts and lists are halved until it fits, and it says so.

    The recording has the whole. An event of names alone, with nothing left to cut, may stay longer.
    """
    whole: dict[str, Any] = json.loads(_ENCODER.encode(event))
    whole.setdefault("unmapped", {}).setdefault("blastwall", {})["cut"] = True
    while len(_ENCODER.encode(whole)) > limit:
        longest = max(_long(whole), key=lambda found: len(_ENCODER.encode(found[2])), default=None)
        if longest is None or not longest[2]:
            break
        place, name, value = longest
        place[name] = value[: len(value) // 2]
    return whole


def _long(value: Any) -> Iterator[tuple[Any, Any, Any]]:  # noqa: ANN401  any JSON value
    """Every text and list in a JSON value, with where it stands."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        if isinstance(item, str | list):
            yield value, name, item
        if isinstance(item, dict | list):
            yield from _long(item)


def uid(event: Mapping[str, Any]) -> str:
    """The event's id: recording and record."""
    return str(event["metadata"]["uid"])


def session(event: Mapping[str, Any]) -> str:
    """The session whose order is kept."""
    return str(event["metadata"].get("correlation_uid", ""))


def day(event: Mapping[str, Any]) -> str:
    """The UTC date (YYYY-MM-DD) an event belongs to."""
    return partition(event["time"])["dt"]


def chunks(
    batch: Sequence[Mapping[str, Any]], *, most: int, size: int, of: Callable[[Mapping[str, Any]], int]
) -> Iterator[list[Mapping[str, Any]]]:
    """Consecutive pieces of ``most`` events and ``size`` bytes at most, an event being ``of(event)`` bytes."""
    piece: list[Mapping[str, Any]] = []
    filled = 0
    for event in batch:
        bytes_ = of(event)
        if piece and (len(piece) >= most or filled + bytes_ > size):
            yield piece
            piece, filled = [], 0
        piece.append(event)
        filled += bytes_
    if piece:
        yield piece


def send_in_order(
    pieces: Iterable[Sequence[Mapping[str, Any]]],
    send: Callable[[Sequence[Mapping[str, Any]]], Collection[str]],
) -> set[str]:
    """Send piece by piece and return the ids that failed; a session whose event failed sends no more."""
    failed: set[str] = set()
    held: set[str] = set()
    for piece in pieces:
        failed |= {uid(event) for event in piece if session(event) in held}
        going = [event for event in piece if session(event) not in held]
        if not going:
            continue
        lost = set(send(going))
        failed |= lost
        held |= {session(event) for event in going if uid(event) in lost}
    return failed
