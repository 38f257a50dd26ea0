"""What playback shows: protocol-neutral values between a protocol's decoder and the terminal, JSON, or an export.

A protocol folder offers ``replay.decode(records, rows=...) -> Iterator[Shown]``: it turns relayed bytes into tables,
messages and tags, and hands everything else to :func:`tell`. Texts in these values are as hostile as the recording;
whoever shows them makes them harmless (``recording/terminal.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from blastwall.model import Direction, Parameter
from blastwall.recording.records import End, Event, Header, Intent, Record, Relayed

MAX_TEXT = 100_000  # characters of one statement that are shown
MAX_PARAMETER = 200  # bytes of one parameter that are shown


@dataclass(frozen=True, slots=True)
class Shown:
    """``at`` is in nanoseconds since the recording began; ``statement`` is 0 for what belongs to none."""

    at: int
    statement: int


@dataclass(frozen=True, slots=True)
class Opened(Shown):
    """The beginning: who, where, under which rules."""

    header: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked(Shown):
    """A statement and the verdict: permit, denied, held (a person must decide), observed (observe mode let it pass)."""

    kind: str
    text: str
    upstream: str | None
    parameters: tuple[str | None, ...]
    verdict: str
    why: str
    hint: str
    policies: tuple[str, ...]
    risk: int
    effect: str
    verb: str
    approval: str
    redacted: bool


@dataclass(frozen=True, slots=True)
class Table(Shown):
    """Rows of a result, as texts (None: NULL). ``more`` rows followed that are not kept.

    ``masked`` has for each row the columns (from 0) in which the agent saw a mask; ``hidden`` names the columns that
    rules mask, and ``replaced`` counts the values that the gateway itself replaced in the whole result.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    more: int = 0
    masked: tuple[tuple[int, ...], ...] = ()
    hidden: tuple[str, ...] = ()
    replaced: int = 0


@dataclass(frozen=True, slots=True)
class Said(Shown):
    """A message of the target: severity in its own word, and an error code when it failed."""

    severity: str
    message: str
    code: str = ""
    detail: str = ""
    hint: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Streamed(Shown):
    """A piece of a stream: ``stream`` is output, errors or input."""

    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class Done(Shown):
    """A statement's completion, in the target's own word."""

    tag: str


@dataclass(frozen=True, slots=True)
class Happened(Shown):
    """An event of the session."""

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Opaque(Shown):
    """Bytes that are not shown, and why."""

    size: int
    note: str


@dataclass(frozen=True, slots=True)
class Ended(Shown):
    """The end. ``totals`` is empty when the recording just stops."""

    reason: str
    totals: Mapping[str, Any] = field(default_factory=dict)


class Decode(Protocol):
    """A protocol's decoder for playback."""

    def __call__(self, records: Iterable[Record], *, rows: int) -> Iterator[Shown]: ...


def decode_opaque(records: Iterable[Record], *, rows: int) -> Iterator[Shown]:
    """The decoder of protocols that have none: sizes instead of contents."""
    for record in records:
        if isinstance(record, Relayed):
            yield Opaque(record.at, record.statement, len(record.data), "this protocol has no decoder for playback")
        else:
            yield from tell(record)


def tell(record: Record) -> Iterator[Shown]:
    """What a record means in every protocol. Relayed bytes towards the agent, and the manifest, yield nothing."""
    match record:
        case Header():
            yield Opened(record.at, 0, record.raw)
        case Intent():
            yield _asked(record)
        case Event():
            yield Happened(record.at, 0, record.name, record.fields)
        case End():
            yield Ended(record.at, 0, record.reason, record.totals)
        case Relayed() if record.direction is Direction.TO_TARGET:
            yield Opaque(record.at, record.statement, len(record.data), "sent by the agent")


def as_json(shown: Shown) -> dict[str, Any]:
    """One JSON object: ``at`` in seconds, ``type`` in lower case, and the value's own fields."""
    return {**asdict(shown), "at": round(shown.at / 1e9, 6), "type": type(shown).__name__.lower()}


def _asked(intent: Intent) -> Asked:
    decision = intent.decision
    approval = _text(decision.get("approval") or decision.get("ticket"))
    would_have = _text(decision.get("would_have"))
    why = _text(decision.get("reason")) or (f"enforce mode would have answered: {would_have}" if would_have else "")
    policies = decision.get("policies")
    risk = decision.get("risk")
    return Asked(
        at=intent.at,
        statement=intent.statement,
        kind=intent.kind,
        text=intent.text[:MAX_TEXT],
        upstream=None if intent.upstream is None else intent.upstream[:MAX_TEXT],
        parameters=tuple(_parameter(parameter) for parameter in intent.parameters),
        verdict=verdict_of(decision),
        why=why,
        hint=_text(decision.get("hint")),
        policies=tuple(map(_text, policies)) if isinstance(policies, list) else (),
        risk=score_of(risk),
        effect=_text(intent.facts.get("effect")),
        verb=_text(intent.facts.get("verb")),
        approval=approval,
        redacted=intent.redacted,
    )


def verdict_of(decision: Mapping[str, Any]) -> str:
    """permit, observed, held or denied; what nobody recognises counts as denied."""
    match decision.get("verdict"):
        case "permit":
            return "observed" if decision.get("would_have") else "permit"
        case "pending":
            return "held"
        case _:
            return "held" if decision.get("code") == "pending" else "denied"


def score_of(risk: object) -> int:
    """The score of a recorded risk, 0 when there is none."""
    score = risk.get("score") if isinstance(risk, dict) else None
    return score if isinstance(score, int) else 0


def _parameter(parameter: Parameter) -> str | None:
    value = parameter.value
    if value is None:
        return None
    shown = value[:MAX_PARAMETER]
    text = shown.hex(" ") if parameter.binary else shown.decode("utf-8", "backslashreplace")
    return text if len(value) <= MAX_PARAMETER else f"{text}… ({len(value)} bytes)"


def _text(value: object) -> str:
    return "" if value is None else str(value)
