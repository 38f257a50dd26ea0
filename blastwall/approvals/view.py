"""What a person is shown of a request: one model for terminal, JSON, web page and notifications.

Every text in a :class:`View` is safe to print anywhere (see ``visible``) and complete; whoever has less room folds it
with :func:`folded`, which says how much it left out. What the gateway found is apart from what the agent wrote, and
what the agent says of itself (:func:`agent_reason`) apart from both. A decision names the hash of the view.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from blastwall.approvals import foreseen
from blastwall.approvals.bounds import changes_rows, counted, hides_count
from blastwall.approvals.demands import demands_of, spelt
from blastwall.approvals.visible import block, legend, visible
from blastwall.model import ApprovalRequest, ApprovalState, ApprovalStatus, Effect, Facts, Parameter

VERSION = "blastwall view 1"
UNSEEN = "The gateway does not understand this statement. What is said above is all it knows: read the text yourself."
UNBOUNDED = "No condition limits which rows it changes."
WEAK = "Its condition may hold for nearly every row: neither an equality, nor a list, nor a narrow range says which."
COMMENTS = "It holds comments. They say what the agent wants you to read; nothing in them runs."
PERHAPS = "It may hold comments. They would say what the agent wants you to read."
UNCOUNTED = "Nobody knows how many rows it changes: approve it with the number that it may change at most."
HIDDEN = "The server does not tell how many rows it changes, so no number can be held against it."
CHARACTERS = "It holds characters that do not show, or that look like others:"

_READING = frozenset({"select", "values", "table", "copy to", "explain"})
_REASON = re.compile(r"\s*(?:/\*+\s*reason:(.*?)\*/|(?:--|#)[ \t]*reason:([^\n]*))", re.IGNORECASE | re.DOTALL)
_COMMENT = re.compile(r"/\*|--")
_PERHAPS = re.compile(r"/\*|--(?!\S)")  # where our own grammar has not read it: a shell's --all is no comment


@dataclass(frozen=True, slots=True)
class Words:
    """A text of the agent's: numbered lines in full, and its size in bytes."""

    title: str
    size: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class View:
    """What is shown of a request, whatever the medium. ``found`` are pairs of a label and what the gateway found."""

    id: str
    headline: str
    found: tuple[tuple[str, str], ...]
    blast: tuple[str, ...]
    cautions: tuple[str, ...]
    canonical: Words | None
    text: Words
    parameters: tuple[Words, ...]
    reason: Words | None
    shape: bool  # whether it can be approved for all statements of its shape
    rows: int | None = None  # how many rows it may change, unless the approver says another number
    countable: bool = False  # whether the approver may say one

    @property
    def shown(self) -> str:
        """SHA-256 (64 hex digits) over everything in the view: what a decision must name."""
        document = json.dumps([VERSION, asdict(self)], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(document.encode("ascii")).hexdigest()

    def document(self) -> dict[str, Any]:
        """The view as plain JSON values, with its hash."""
        return asdict(self) | {"found": dict(self.found), "shown": self.shown}


def view_of(request: ApprovalRequest) -> View:
    """Everything an approver needs, from the stored request alone."""
    statement, facts = request.statement, request.facts
    reason = agent_reason(statement.text)
    return View(
        id=visible(request.id),
        headline=headline(request),
        found=tuple((label, visible(text)) for label, text in _found(request)),
        blast=tuple(_foreseen(request.blast)) if request.blast is not None else (),
        cautions=tuple(_cautions(request)),
        canonical=_words("As the gateway reads it, without comments", request.canonical) if request.canonical else None,
        text=_words(f"What the agent wrote ({statement.kind})", statement.text),
        parameters=tuple(_parameter(number, one) for number, one in enumerate(statement.parameters, start=1)),
        reason=_words("What the agent says it is for (nobody has checked this)", reason) if reason else None,
        shape=bool(request.shape) and facts.effect is not Effect.UNKNOWN,
        rows=request.bound,
        countable=counted(facts),
    )


def headline(request: ApprovalRequest) -> str:
    """One line: what would happen to what, where."""
    objects = request.facts.objects
    acted_on = [one.name for one in objects if one.access != "call"]
    names = list(dict.fromkeys(acted_on or [one.name for one in objects]))
    first = visible(", ".join(names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{_verb(request.facts)}{f' on {first}' if names else ''} at {visible(request.target)}"


def _verb(facts: Facts) -> str:
    """A verb does not always say it: a SELECT can delete, in its WITH."""
    verb = visible(facts.verb)
    return f"{verb} that changes rows" if facts.verb in _READING and hides_count(facts) else verb


def agent_reason(text: str) -> str:
    """What the agent says it wants: a comment in front, ``/* reason: ... */`` or ``-- reason: ...``."""
    found = _REASON.match(text)
    return (found[1] or found[2] or "").strip() if found else ""


def lines_of(view: View, *, most: int | None = None) -> list[str]:
    """The view for a terminal: our findings first, the agent's own words in numbered margins below.

    ``most``: fold each of the agent's texts to so many lines; None: all of them.
    """
    shown = [view.headline, ""]
    shown += [f"{label:>13}  {text}" for label, text in view.found]
    if view.blast:
        shown += ["", "What it would do:", *(f"  {line}" for line in view.blast)]
    if view.cautions:
        shown += ["", "CAUTION", *(f"  {line}" for line in view.cautions)]
    for words in (view.canonical, view.text, *view.parameters, view.reason):
        if words is not None:
            shown += ["", titled(words), *(words.lines if most is None else folded(words.lines, most))]
    return [*shown, "", f"shown: {view.shown}"]


def titled(words: Words) -> str:
    """The heading of a text, with its size."""
    if not words.lines:
        return words.title
    return f"{words.title}, {_count(words.size, 'byte')}, {_count(len(words.lines), 'line')}:"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def folded(lines: Sequence[str], most: int) -> list[str]:
    """At most ``most`` lines (at least 3): the beginning and the end, and between them how many were left out."""
    most = max(most, 3)
    if len(lines) <= most:
        return list(lines)
    head = (most - 1) // 2 + (most - 1) % 2
    tail = most - 1 - head
    left = len(lines) - head - tail
    return [*lines[:head], f"⟨{left} more lines; show the whole request to read them⟩", *lines[len(lines) - tail :]]


def _found(request: ApprovalRequest) -> Iterator[tuple[str, str]]:
    principal, facts = request.principal, request.facts
    yield "request", request.id
    yield "does", f"{_verb(facts)} ({facts.effect})" + ("" if facts.bounded else ", WITHOUT A BOUND")
    yield "because", facts.reason or "-"
    yield "touches", "; ".join(str(one) for one in facts.objects) or "no object"
    yield "which rows", _predicate(request)
    if changes_rows(facts):
        yield "at most", _bound(request)
    yield "remarks", ", ".join(sorted(facts.flags)) or "none"
    if facts.masked_columns:
        yield "masked", ", ".join(sorted(facts.masked_columns))
    yield (
        "risk",
        f"{request.risk.score} of 100: {', '.join(f'{why} {by:+d}' for why, by in request.risk.reasons) or '-'}",
    )
    yield "agent", f"{principal.agent} ({principal.subject} of {principal.issuer})"
    yield "on behalf of", principal.on_behalf_of or "nobody in particular"
    yield "groups", ", ".join(sorted(principal.groups)) or "none"
    yield "session", f"{request.session} at {request.target}"
    yield "settings", request.statement.surroundings or "-"
    yield "approvers", spelt(demands_of(request))
    if request.escalate_at:
        yield "escalates", f"to {', '.join(request.escalation)} at {moment(request.escalate_at)}"
    yield "asked", moment(request.requested_at)
    yield "expires", moment(request.expires_at)


_SOME = "those that its condition, or what it inserts, names"
_ROWS = {"insert": "those that it inserts", "update": "those that its condition names"}
_ROWS |= {"delete": _ROWS["update"], "copy": "those that it brings"}


def _predicate(request: ApprovalRequest) -> str:
    facts = request.facts
    if facts.effect in (Effect.SESSION, Effect.READ):
        return "it changes none"
    if facts.effect is Effect.UNKNOWN:
        return "not understood"
    if facts.effect is Effect.WRITE:
        named = _ROWS.get(facts.verb, _SOME) if facts.bounded else "all of them"
        return f"{named}, which may be nearly all" if "weak_limit" in facts.flags else named
    return "the object as a whole"


def _bound(request: ApprovalRequest) -> str:
    if request.bound is None:
        return "as many rows as whoever approves says" if counted(request.facts) else "any number of rows"
    rows = rows_of(request.bound)
    return f"{rows} of its own: should it change more, it is rolled back (cascades and triggers are not counted)"


def rows_of(count: int) -> str:
    """ "1 row", "1,200 rows"."""
    return f"{count:,} row" + ("" if count == 1 else "s")


def standing(status: ApprovalStatus) -> str:
    """Where a request stands, and who brought it there: who uses an approval is never who gave it."""
    by = f" by {', '.join(map(visible, status.by))}" if status.by else ""
    if status.state is ApprovalState.REDEEMED:
        state = f"used, approved{by}"
    else:
        state = f"{status.state}{by}"
    if status.state is ApprovalState.APPROVED and status.same_shape:
        state += f", for every statement of its shape until {moment(status.expires_at)}, used {status.used} times"
    if status.bound is not None and status.state in (ApprovalState.APPROVED, ApprovalState.REDEEMED):
        state += f", for at most {rows_of(status.bound)}"
    return state


def _cautions(request: ApprovalRequest) -> Iterator[str]:
    facts, text = request.facts, request.statement.text
    if facts.effect is Effect.UNKNOWN:
        yield UNSEEN
    if not facts.bounded:
        yield UNBOUNDED
    elif "weak_limit" in facts.flags:
        yield WEAK
    if request.bound is None and changes_rows(facts):
        yield HIDDEN if hides_count(facts) else UNCOUNTED
    if request.canonical and _COMMENT.search(text):
        yield COMMENTS
    elif not request.canonical and _PERHAPS.search(text):
        yield PERHAPS
    values = [_text(one) for one in request.statement.parameters]
    unclear = legend("".join((text, *(str(one) for one in facts.objects), *values)))
    if unclear:
        yield CHARACTERS
        yield from (f"  {line}" for line in unclear)


def _text(parameter: Parameter) -> str:
    if parameter.value is None or parameter.binary:
        return ""
    return parameter.value.decode("utf-8", "surrogateescape")


def _words(title: str, text: str) -> Words:
    try:
        size = len(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:  # surrogates that stand for no byte
        size = len(text.encode("utf-8", "surrogatepass"))
    return Words(title, size, tuple(block(text)))


def _parameter(number: int, parameter: Parameter) -> Words:
    title = f"Parameter ${number}" + (f" (type {parameter.type_id})" if parameter.type_id else "")
    if parameter.value is None:
        return Words(f"{title}: NULL", 0, ())
    if parameter.binary:
        return Words(f"{title}, in binary", len(parameter.value), tuple(block(parameter.value.hex(" "))))
    return Words(title, len(parameter.value), tuple(block(_text(parameter))))


def _foreseen(document: Mapping[str, Any]) -> Iterator[str]:
    lines = foreseen.lines(document)
    return _tree(document, 0) if lines is None else iter(lines)


def _tree(value: object, depth: int) -> Iterator[str]:
    """JSON values as an indented tree of safe lines."""
    indent = "  " * depth
    if isinstance(value, Mapping):
        for name, below in value.items():
            if isinstance(below, (Mapping, list, tuple)):
                yield f"{indent}{visible(str(name))}"
                yield from _tree(below, depth + 1)
            else:
                yield f"{indent}{visible(str(name))}: {visible(_plain(below))}"
    elif isinstance(value, (list, tuple)):
        for below in value:
            yield from _tree(below, depth)
    else:
        yield indent + visible(_plain(value))


def _plain(value: object) -> str:
    if value is None:
        return "not known"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def moment(at: float) -> str:
    """A wall-clock time in UTC, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
