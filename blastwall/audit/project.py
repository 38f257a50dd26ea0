"""Recording to audit event: a projection, so the two can never disagree.

:func:`project` is pure: the same record and header give the same event, with the same id, whenever and wherever it is
asked. Which field of a record becomes which field of an event, and who may see it, is ``audit_map.toml``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blastwall.audit.columns import written
from blastwall.recording.records import End, Event, Header, Intent, Record, Relayed
from blastwall.recording.shown import verdict_of

PUBLIC, SENSITIVE, SECRET = "public", "sensitive", "secret"
LOCAL = frozenset({PUBLIC, SENSITIVE})
MAX_TEXT = 32_768  # characters of one text in an event; the recording has the rest

_TABLE: dict[str, Any] = tomllib.loads(Path(__file__).with_name("audit_map.toml").read_text(encoding="utf-8"))
_KEPT = frozenset(_TABLE["kept"]["events"])
_QUIET = tuple(_TABLE["outcomes"]["quiet"])
_LARGE: int = _TABLE["outcomes"]["large"]
_FAILURES = frozenset(_TABLE["failures"]["events"])
_CLASSES: Mapping[str, Mapping[str, Any]] = _TABLE["classes"]
_SEVERITY: Mapping[str, int] = _TABLE["severity"]
JOURNAL: str = _TABLE["journal"]["protocol"]
_DATETIME = ["datetime"]  # time_dt
_PROFILES = [*_DATETIME, "security_control"]
_DECIDED = frozenset({"recording_read"})  # events that policy decided about


@dataclass(frozen=True, slots=True)
class _Field:
    """One line of the map, taken apart."""

    path: tuple[str, ...]
    source: tuple[str, ...]
    visibility: str


def _fields(section: str) -> tuple[_Field, ...]:
    found = []
    for path, (source, visibility) in _TABLE["fields"][section].items():
        if visibility not in (PUBLIC, SENSITIVE, SECRET):
            raise ValueError(f"audit_map.toml: {path} has the unknown class {visibility!r}")
        found.append(_Field(tuple(path.split(".")), tuple(source.split(".")), visibility))
    return tuple(found)


_FIELDS: Mapping[str, tuple[_Field, ...]] = {section: _fields(section) for section in _TABLE["fields"]}


def project(record: Record, header: Header, show: frozenset[str] = LOCAL) -> dict[str, Any] | None:
    """Return the audit event of a record, or None when it has none.

    ``show`` are the classes of fields the sink may hold; secret fields are left out whatever it says. Times are in
    milliseconds since the epoch. For many records of one recording a :class:`Projection` is faster, and the same.
    """
    return Projection(header, show).event(record)


def project_all(records: Iterable[Record], show: frozenset[str] = LOCAL) -> Iterator[dict[str, Any]]:
    """Yield the events of one recording's records, in order."""
    projection: Projection | None = None
    for record in records:
        if isinstance(record, Header):
            projection = Projection(record, show)
        elif projection is not None:
            event = projection.event(record)
            if event is not None:
                yield event


class Projection:
    """Projects the records of one recording. What comes from the header is laid out once for each kind of event."""

    def __init__(self, header: Header, show: frozenset[str] = LOCAL) -> None:
        self._header = header
        self._show = show - {SECRET}
        principal = header.raw["principal"]
        expires = principal.get("expires_at")
        self._constant = {
            "ocsf": _TABLE["ocsf"],
            "product": "Blastwall",
            "identity": f"{principal.get('issuer')}|{principal.get('subject')}",
            "user_type": 4,  # OCSF: service account
            "expires": int(expires * 1000) if isinstance(expires, int | float) and expires else None,
            "database_type": 1,  # OCSF: relational
        }
        self._layouts: dict[tuple[str, str], tuple[dict[str, Any], list[_Field]]] = {}

    def event(self, record: Record) -> dict[str, Any] | None:
        """As :func:`project`."""
        match record:
            case Intent():
                return None if record.ran else self._intent(record)
            case Event() if record.name not in _KEPT:
                return self._event(record)
            case End() if self._header.protocol != JOURNAL and not self._header.raw.get("purpose"):
                event = self._new("end", "authentication", "end", _SEVERITY["default"], record)
                event["status_id"] = 1
                return self._filled(event, "end", "authentication", record)
            case Relayed() if not record.refused and (record.error or _telling(record.tag)):
                return self._outcome(record._replace(statement=record.run, run=0) if record.run else record)
        return None

    def _intent(self, record: Intent) -> dict[str, Any]:
        facts, decision = record.facts, record.decision
        verdict = verdict_of(decision)
        approval = decision.get("approval")
        connecting = record.kind == "connect"
        name = "authentication" if connecting else self._class()
        effect, verb = str(facts.get("effect")), str(facts.get("verb"))
        activities = _CLASSES[name]["activity"]
        word = verb.split(" ", 1)[0]
        activity = "connect" if connecting else word if word in activities else effect
        event = self._new("intent", name, activity, _SEVERITY.get(verdict, _SEVERITY["default"]), record)
        event["status_id"] = 1 if verdict in ("permit", "observed") else 2
        control = _TABLE["verdicts"]["approved" if approval and verdict == "permit" else verdict]
        objects = facts.get("objects")
        return self._filled(
            event,
            "intent",
            name,
            record,
            facts=facts,
            decision=decision,
            verdict=verdict,
            approval=approval or decision.get("ticket"),
            action_id=control["action"],
            disposition_id=control["disposition"],
            profiles=_PROFILES,
            operation=verb or record.kind,
            objects=[_object(item) for item in objects] if isinstance(objects, list) else None,
        )

    def _event(self, record: Event) -> dict[str, Any]:
        name = _TABLE["events"].get(record.name, "api_activity")
        event = self._new("event", name, record.name, _SEVERITY.get(record.name, _SEVERITY["default"]), record)
        denied = bool(record.fields.get("denial"))
        event["status_id"] = 2 if denied or record.name in _FAILURES else 1
        control = _TABLE["verdicts"]["denied" if denied else "permit"] if record.name in _DECIDED else {}
        lease = f"{self._header.raw['target'].get('name')}:{record.fields.get('user')}"
        privileges = [lease] if name == "authorize_session" else None
        return self._filled(
            event,
            "event",
            name,
            record,
            fields=record.fields,
            operation=record.name,
            privileges=privileges,
            action_id=control.get("action"),
            disposition_id=control.get("disposition"),
            profiles=_PROFILES if control else _DATETIME,
        )

    def _outcome(self, record: Relayed) -> dict[str, Any]:
        name = self._class()
        severity = _SEVERITY["failed"] if record.error else _SEVERITY["default"]
        event = self._new("relayed", name, "outcome", severity, record)
        event["activity_name"] = "Outcome"
        event["status_id"] = 2 if record.error else 1
        return self._filled(event, "relayed", name, record, operation="outcome", rows=_rows(record.tag))

    def _class(self) -> str:
        name: str = _TABLE["statements"].get(self._header.protocol, "api_activity")
        return name

    def _new(self, section: str, name: str, activity: str, severity: int, record: Record) -> dict[str, Any]:
        """What every OCSF event must have, and all that the header tells of it."""
        class_ = _CLASSES[name]
        number = class_["activity"].get(activity, 99)
        event = _copied(self._layout(section, name)[0])
        event["class_uid"] = class_["class_uid"]
        event["category_uid"] = class_["category_uid"]
        event["activity_id"] = number
        event["type_uid"] = class_["class_uid"] * 100 + number
        event["severity_id"] = severity
        event["time"] = moment(self._header.started_at, record.at)
        if number == 99:
            event["activity_name"] = activity[:100]
        return event

    def _layout(self, section: str, name: str) -> tuple[dict[str, Any], list[_Field]]:
        """The header's part of an event of this kind, and the fields that each record fills in."""
        known = self._layouts.get((section, name))
        if known is None:
            fixed: dict[str, Any] = {}
            open_: list[_Field] = []
            sources = {"header": self._header.raw, "derived": self._constant}
            for field in (*_FIELDS["common"], *_FIELDS[section], *_FIELDS.get(name, ())):
                if field.visibility not in self._show:
                    continue
                if field.source[0] == "header" or (field.source[0] == "derived" and field.source[1] in self._constant):
                    _fill(fixed, field, sources)
                else:
                    open_.append(field)
            known = self._layouts[section, name] = (fixed, open_)
        return known

    def _filled(
        self,
        event: dict[str, Any],
        section: str,
        name: str,
        record: Record,
        facts: Mapping[str, Any] | None = None,
        decision: Mapping[str, Any] | None = None,
        fields: Mapping[str, Any] | None = None,
        **derived: object,
    ) -> dict[str, Any]:
        statement = getattr(record, "statement", 0)
        recording = self._header.recording
        derived.setdefault("profiles", _DATETIME)
        derived["time_dt"] = _iso(event["time"])
        derived["uid"] = f"{recording}-{record.sequence}"
        derived["query"] = f"{recording}/{statement}" if statement else None
        sources = {
            "record": record,
            "facts": facts or {},
            "decision": decision or {},
            "fields": fields or {},
            "derived": derived,
        }
        for field in self._layout(section, name)[1]:
            _fill(event, field, sources)
        return event


def moment(started: float, at: int) -> int:
    """A record's wall time in milliseconds since the epoch; ``at`` is in nanoseconds since ``started`` (seconds)."""
    return int((started + at / 1e9) * 1000)


def _telling(tag: str) -> bool:
    return bool(tag) and (not tag.startswith(_QUIET) or (_rows(tag) or 0) >= _LARGE)


def _rows(tag: str) -> int | None:
    """The number a completion tag ends in ("SELECT 12", "INSERT 0 1"): rows given or changed."""
    last = tag.rpartition(" ")[2]
    return int(last) if last.isascii() and last.isdigit() and len(last) < 16 else None


def _iso(milliseconds: int) -> str:
    """RFC 3339 in UTC with milliseconds: sorts as text, in every query engine."""
    return f"{written(milliseconds // 1000)}.{milliseconds % 1000:03}Z"


def _copied(layout: dict[str, Any]) -> dict[str, Any]:
    return {name: _copied(value) if type(value) is dict else value for name, value in layout.items()}


def _fill(event: dict[str, Any], field: _Field, sources: Mapping[str, Any]) -> None:
    value = _look_up(sources, field.source)
    if value is not None and value != "" and value != []:
        _put(event, field.path, value)


def _look_up(sources: Mapping[str, Any], path: tuple[str, ...]) -> object:
    value: Any = sources
    for part in path:
        value = value.get(part) if isinstance(value, dict) else getattr(value, part, None)
        if value is None:
            return None
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + "…"
    return value if isinstance(value, bool | int | float | list | dict) else None


def _put(event: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    place = event
    for index, part in enumerate(path[:-1]):
        if part.endswith("[]"):
            items = value if isinstance(value, list) else [value]
            made: list[dict[str, Any]] = []
            for item in items:
                inner: dict[str, Any] = {}
                _put(inner, path[index + 1 :], item)
                made.append(inner)
            place[part[:-2]] = made
            return
        place = place.setdefault(part, {})
    place[path[-1]] = value


def _object(item: object) -> str:
    if not isinstance(item, dict):
        return str(item)
    return f"{item.get('access')} {item.get('kind')} {item.get('name')}"
