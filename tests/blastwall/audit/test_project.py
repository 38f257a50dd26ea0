"""Audit events are a pure projection: OCSF-shaped, with stable ids, and without what is secret."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path

import pytest

import blastwall.audit.project as module
from blastwall.audit.project import LOCAL, MAX_TEXT, PUBLIC, SECRET, SENSITIVE, project, project_all
from blastwall.model import Direction, Parameter
from blastwall.recording.records import End, Event, Header, Intent, Relayed, Seal

RAW = {
    "recording": "0123456789abcdef",
    "session": "session-1",
    "connection": "c-1",
    "protocol": "postgres",
    "started_at": 1_800_000_000.25,
    "mode": "enforce",
    "policy_version": "p1",
    "break_glass": None,
    "client_address": "10.0.0.7",
    "surprise": "never listed",
    "principal": {
        "issuer": "https://idp",
        "subject": "a-7",
        "agent": "reporter",
        "groups": ["agents", "readers"],
        "on_behalf_of": "ana@example.com",
        "token_id": "deadbeef" * 8,
        "expires_at": 1_800_003_600.0,
    },
    "target": {"name": "shop", "host": "db", "port": 5432, "labels": {"environment": "production"}},
}
HEADER = Header(0, 0, RAW)
FACTS = {
    "effect": "destroy",
    "verb": "delete",
    "objects": [{"access": "write", "kind": "table", "name": "public.orders"}],
    "flags": ["no_where"],
    "bounded": False,
}


def intent(decision, *, sequence=5, kind="execute", facts=FACTS, text="DELETE FROM orders", at=1_500_000_000):
    bound = (Parameter(b"a bound value"),)
    return Intent(sequence, at, 3, kind, text, None, "", bound, facts, decision, "", False)


def relayed(tag="", error=""):
    return Relayed(6, 10, 3, b"row bytes", 1, 0, tag, error, Direction.TO_AGENT, False)


PERMIT = {"verdict": "permit", "policies": ["deletes"], "risk": {"score": 40}}


def header_of(**changes):
    return dataclasses.replace(HEADER, raw={**RAW, **changes})


def test_a_statement_is_datastore_activity():
    event = project(intent(PERMIT), HEADER)
    assert event["class_uid"] == 6005
    assert event["category_uid"] == 6
    assert event["activity_id"] == 7
    assert event["type_uid"] == 600_507
    assert event["time"] == 1_800_000_001_750
    assert event["metadata"] == {
        "uid": "0123456789abcdef-5",
        "version": "1.8.0",
        "product": {"name": "Blastwall", "vendor_name": "Blastwall"},
        "log_name": "0123456789abcdef",
        "sequence": 5,
        "correlation_uid": "session-1",
        "profiles": ["datetime", "security_control"],
    }
    assert event["actor"]["user"] == {
        "name": "reporter",
        "uid": "https://idp|a-7",
        "type_id": 4,
        "groups": [{"name": "agents"}, {"name": "readers"}],
    }
    assert event["dst_endpoint"] == {"name": "shop", "hostname": "db", "port": 5432}
    assert event["database"] == {"name": "shop", "type": "postgres", "type_id": 1}
    assert event["query_info"] == {"query_string": "DELETE FROM orders", "uid": "0123456789abcdef/3"}
    assert event["authorizations"] == [{"policy": {"name": "deletes"}}]
    assert event["risk_score"] == 40
    own = event["unmapped"]["blastwall"]
    assert own["objects"] == ["write table public.orders"]
    assert own["bounded"] is False
    assert own["labels"] == {"environment": "production"}


REQUIRED = {  # what OCSF 1.8 requires of every event, and of each class
    None: ("class_uid", "category_uid", "activity_id", "type_uid", "severity_id", "time", "metadata"),
    3002: ("user", "service"),
    3003: ("user", "privileges"),
    6005: ("actor", "src_endpoint", "database"),
    6003: ("actor", "api", "src_endpoint"),
    4007: (),
}


@pytest.mark.parametrize("protocol", ["postgres", "mysql", "ssh", "kubernetes", "aws", "another"])
def test_every_event_has_what_its_class_requires(protocol):
    header = header_of(protocol=protocol)
    records = [
        intent({"verdict": "permit"}, kind="connect", facts={"effect": "session", "verb": "connect"}),
        *(
            intent(PERMIT, facts={"effect": effect, "verb": effect})
            for effect in module._CLASSES["api_activity"]["activity"]
        ),
        Event(7, 1, "credential", {"kind": "role", "user": "app_1"}),
        *(Event(8, 1, name, {}) for name in ("approval_requested", "cancel", "budget", "never heard of")),
        relayed("DELETE 3"),
        relayed(error="42501"),
        End(9, 2, "client closed", 1_800_000_002.0, {"statements": 1}),
    ]
    for record in records:
        event = project(record, header)
        for name in (*REQUIRED[None], *REQUIRED[event["class_uid"]]):
            assert name in event, (record, name)
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
        assert event["category_uid"] == event["class_uid"] // 1000
        assert (event["activity_id"] == 99) == ("activity_name" in event)


@pytest.mark.parametrize(
    ("protocol", "class_uid"), [("postgres", 6005), ("mysql", 6005), ("ssh", 4007), ("aws", 6003), ("kubernetes", 6003)]
)
def test_protocols_choose_the_class(protocol, class_uid):
    assert project(intent(PERMIT), header_of(protocol=protocol))["class_uid"] == class_uid


@pytest.mark.parametrize(
    ("decision", "action", "disposition", "severity", "status", "verdict"),
    [
        ({"verdict": "permit"}, 1, 1, 1, 1, "permit"),
        ({"verdict": "permit", "approval": "ap-1"}, 1, 8, 1, 1, "permit"),
        ({"verdict": "permit", "would_have": "denial"}, 1, 17, 3, 1, "observed"),
        ({"verdict": "denial", "code": "policy", "reason": "no"}, 2, 2, 3, 2, "denied"),
        ({"verdict": "denial", "code": "pending", "ticket": "ap-1"}, 2, 2, 2, 2, "held"),
        ({"verdict": "something new"}, 2, 2, 3, 2, "denied"),
    ],
)
def test_decisions_become_security_control(decision, action, disposition, severity, status, verdict):
    event = project(intent(decision), HEADER)
    assert (event["action_id"], event["disposition_id"]) == (action, disposition)
    assert (event["severity_id"], event["status_id"]) == (severity, status)
    assert event["unmapped"]["blastwall"]["verdict"] == verdict


def test_what_only_playback_needs_is_no_event_and_what_was_found_is_one():
    assert project(Event(2, 1, "masked", {"statement": 3, "columns": {"2": "public.t.c (hash)"}}), HEADER) is None
    for name, severity in (("withheld", 3), ("detected", 2)):
        event = project(Event(2, 1, name, {"statement": 3, "reason": "why"}), HEADER)
        assert event["severity_id"] == severity
        assert event["message"] == "why"


def test_sessions_are_authentication_and_leases_are_authorisation():
    on = project(intent({"verdict": "permit"}, kind="connect", facts={"effect": "session", "verb": "connect"}), HEADER)
    off = project(End(9, 2, "client closed", 0.0, {"statements": 4}), HEADER)
    lease = project(Event(2, 1, "credential", {"kind": "role", "user": "bw_1"}), HEADER)
    assert (on["type_uid"], on["action_id"], off["type_uid"], lease["type_uid"]) == (300_201, 1, 300_202, 300_301)
    assert off["unmapped"]["blastwall"]["totals"] == {"statements": 4}
    assert lease["privileges"] == ["shop:bw_1"]


def test_reads_tell_no_outcome_of_their_own():
    assert project(relayed("SELECT 5"), HEADER) is None
    assert project(relayed(), HEADER) is None
    assert project(HEADER, HEADER) is None
    assert project(Seal(9, 9, {}, b""), HEADER) is None
    changed = project(relayed("DELETE 5"), HEADER)
    assert (changed["status_id"], changed["unmapped"]["blastwall"]["outcome"]) == (1, "DELETE 5")
    failed = project(relayed("", "42P01"), HEADER)
    assert (failed["status_id"], failed["status_code"]) == (2, "42P01")


def test_the_gateways_own_refusal_is_no_outcome():
    """The intent has told it; the error that the agent was sent is not the target's."""
    refused = relayed("", "42501")._replace(refused=True)
    assert project(refused, HEADER) is None


def test_secret_and_unlisted_values_never_leave_the_recording():
    event = Event(
        3, 1, "credential", {"kind": "role", "user": "u", "password": "hunter2", "extra": {"deep": "hunter3"}}
    )
    for show in (LOCAL, frozenset({PUBLIC, SENSITIVE, SECRET})):
        text = json.dumps(
            [project(intent(PERMIT), HEADER, show), project(event, HEADER, show), project(relayed("X 1"), HEADER, show)]
        )
        for secret in ("a bound value", "hunter2", "hunter3", "never listed", "deadbeef", "row bytes"):
            assert secret not in text


def test_sensitive_fields_can_be_left_out():
    decision = {"verdict": "denial", "code": "policy", "reason": "because of ana"}
    event = project(intent(decision), HEADER, frozenset({PUBLIC}))
    text = json.dumps(event)
    for sensitive in ("DELETE FROM", "ana@example.com", "because of ana", "10.0.0.7"):
        assert sensitive not in text
        assert sensitive in json.dumps(project(intent(decision), HEADER))
    assert event["unmapped"]["blastwall"]["verb"] == "delete"


def test_every_line_of_the_map_names_a_class():
    table = tomllib.loads(Path(module.__file__).with_name("audit_map.toml").read_text())
    for section in table["fields"].values():
        for source, visibility in section.values():
            assert visibility in (PUBLIC, SENSITIVE, SECRET)
            assert source.split(".")[0] in ("header", "record", "facts", "decision", "fields", "derived")


def test_long_texts_are_cut():
    event = project(intent(PERMIT, text="x" * 100_000), HEADER)
    assert len(event["query_info"]["query_string"]) == MAX_TEXT + 1


def test_hostile_shapes_do_not_break_projection():
    facts = {"effect": ["x"], "verb": {"a": 1}, "objects": ["str", 5, {"name": None}], "flags": "x"}
    decision = {"verdict": "permit", "policies": "not a list", "risk": [], "approval": {"x": 1}}
    event = project(intent(decision, facts=facts), header_of(protocol="__class__", principal={"agent": {"x": 1}}))
    json.dumps(event)


def test_the_same_recording_gives_the_same_events():
    records = [HEADER, intent(PERMIT), relayed("DELETE 1"), End(9, 2, "x", 0.0, {})]
    assert list(project_all(records)) == list(project_all(records))
    assert len({event["metadata"]["uid"] for event in project_all(records)}) == 3
    assert list(project_all(records[1:])) == [], "without a header nobody can say whose statements these were"
