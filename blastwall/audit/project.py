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

from blastwall.recording.records import End, Event, Header, Intent, Record, Relayed
from blastwall.recording.shown import verdict_of

PUBLIC, SENSITIVE, SECRET = "public", "sensitive", "secret"
LOCAL = frozenset({PUBLIC, SENSITIVE})
MAX_TEXT = 32_768  # characters of one text in an event; the recording has the rest

_TABLE: dict[str, Any] = tomllib.loads(Path(__file__).with_name("audit_map.toml").read_text(encoding="utf-8"))
_QUIET = tuple(_TABLE["outcomes"]["quiet"])
_CLASSES: Mapping[str, Mapping[str, Any]] = _TABLE["classes"]
_SEVERITY: Mapping[str, int] = _TABLE["severity"]
_PROFILES = ["security_control"]


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
    milliseconds since the epoch.
    """
    match record:
        case Intent():
            return _intent(record, header, show)
        case Event():
            return _event(record, header, show)
        case End():
            event = _new("authentication", "end", _SEVERITY["default"], record, header)
            event["status_id"] = 1
            return _filled(event, ("end", "authentication"), _sources(record, header), show)
        case Relayed() if not record.refused and (record.error or (record.tag and not record.tag.startswith(_QUIET))):
            return _outcome(record, header, show)
    return None


def project_all(records: Iterable[Record], show: frozenset[str] = LOCAL) -> Iterator[dict[str, Any]]:
    """Yield the events of one recording's records, in order."""
    header: Header | None = None
    for record in records:
        if isinstance(record, Header):
            header = record
        elif header is not None:
            event = project(record, header, show)
            if event is not None:
                yield event


def _intent(record: Intent, header: Header, show: frozenset[str]) -> dict[str, Any]:
    verdict = verdict_of(record.decision)
    approval = record.decision.get("approval")
    connecting = record.kind == "connect"
    name = "authentication" if connecting else _TABLE["statements"].get(header.protocol, "api_activity")
    effect, verb = str(record.facts.get("effect")), str(record.facts.get("verb"))
    activities = _CLASSES[name]["activity"]
    activity = "connect" if connecting else verb.split(" ")[0] if verb.split(" ")[0] in activities else effect
    event = _new(name, activity, _SEVERITY.get(verdict, _SEVERITY["default"]), record, header)
    event["status_id"] = 1 if verdict in ("permit", "observed") else 2
    control = _TABLE["verdicts"]["approved" if approval and verdict == "permit" else verdict]
    objects = record.facts.get("objects")
    sources = _sources(
        record,
        header,
        facts=record.facts,
        decision=record.decision,
        verdict=verdict,
        approval=approval or record.decision.get("ticket"),
        action_id=control["action"],
        disposition_id=control["disposition"],
        profiles=_PROFILES,
        operation=verb or record.kind,
        objects=[_object(item) for item in objects] if isinstance(objects, list) else None,
    )
    return _filled(event, ("intent", name), sources, show)


def _event(record: Event, header: Header, show: frozenset[str]) -> dict[str, Any]:
    name = _TABLE["events"].get(record.name, "api_activity")
    event = _new(name, record.name, _SEVERITY.get(record.name, _SEVERITY["default"]), record, header)
    event["status_id"] = 1
    user = record.fields.get("user")
    sources = _sources(
        record,
        header,
        fields=record.fields,
        operation=record.name,
        privileges=[f"{header.raw['target'].get('name')}:{user}"] if name == "authorize_session" else None,
    )
    return _filled(event, ("event", name), sources, show)


def _outcome(record: Relayed, header: Header, show: frozenset[str]) -> dict[str, Any]:
    name = _TABLE["statements"].get(header.protocol, "api_activity")
    severity = _SEVERITY["failed"] if record.error else _SEVERITY["default"]
    event = _new(name, "outcome", severity, record, header)
    event["activity_name"] = "Outcome"
    event["status_id"] = 2 if record.error else 1
    sources = _sources(record, header, operation="outcome")
    return _filled(event, ("relayed", name), sources, show)


def _new(name: str, activity: str, severity: int, record: Record, header: Header) -> dict[str, Any]:
    """The fields that every OCSF event must have, from the class's table."""
    class_ = _CLASSES[name]
    number = class_["activity"].get(activity, 99)
    event = {
        "class_uid": class_["class_uid"],
        "category_uid": class_["category_uid"],
        "activity_id": number,
        "type_uid": class_["class_uid"] * 100 + number,
        "severity_id": severity,
        "time": int((header.started_at + record.at / 1e9) * 1000),
    }
    if number == 99:
        event["activity_name"] = activity[:100]
    return event


def _sources(
    record: Record,
    header: Header,
    facts: Mapping[str, Any] | None = None,
    decision: Mapping[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
    **derived: object,
) -> dict[str, Any]:
    principal = header.raw["principal"]
    expires = principal.get("expires_at")
    statement = getattr(record, "statement", 0)
    return {
        "header": header.raw,
        "record": record,
        "facts": facts or {},
        "decision": decision or {},
        "fields": fields or {},
        "derived": {
            "uid": f"{header.recording}-{record.sequence}",
            "ocsf": _TABLE["ocsf"],
            "product": "Blastwall",
            "identity": f"{principal.get('issuer')}|{principal.get('subject')}",
            "user_type": 4,  # OCSF: service account
            "expires": int(expires * 1000) if isinstance(expires, int | float) and expires else None,
            "database_type": 1,  # OCSF: relational
            "query": f"{header.recording}/{statement}" if statement else None,
            **derived,
        },
    }


def _filled(
    event: dict[str, Any], sections: tuple[str, ...], sources: Mapping[str, Any], show: frozenset[str]
) -> dict[str, Any]:
    for section in ("common", *sections):
        for field in _FIELDS[section]:
            if field.visibility == SECRET or field.visibility not in show:
                continue
            value = _look_up(sources, field.source)
            if value is not None and value != "" and value != []:
                _put(event, field.path, value)
    return event


def _look_up(sources: Mapping[str, Any], path: tuple[str, ...]) -> object:
    value: Any = sources
    for part in path:
        if isinstance(value, Mapping):
            value = value.get(part)
        elif part != "raw" and value is not None:
            value = getattr(value, part, None)
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
