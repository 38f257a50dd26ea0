"""The documented questions are answered rightly here, and are Athena's SQL, too."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlglot

from blastwall.audit.columns import TABLE, hive_columns
from blastwall.audit.journal import GATEWAY, Journal, note
from blastwall.local.audit import AuditTrail
from blastwall.local.query import ask
from blastwall.local.recorder import LocalRecorder
from blastwall.model import (
    Denial,
    DenialCode,
    Effect,
    Facts,
    Masked,
    ObjectRef,
    Permit,
    Principal,
    Session,
    Statement,
    StatementKind,
    Target,
)
from blastwall.recording.writer import Writer

DOCUMENT = (Path(__file__).parents[2] / "docs" / "queries.md").read_text()
QUESTIONS = re.findall(r"^## (\d+)\..*?```sql\n(.*?)```", DOCUMENT, re.MULTILINE | re.DOTALL)
SQL = {int(number): sql for number, sql in QUESTIONS}


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


class Clock:
    def __init__(self):
        self.wall = 0.0

    def now(self):
        return self.wall

    def monotonic(self):
        return self.wall


REPORTER = Principal(
    "https://idp",
    "a-1",
    "reporting-agent",
    frozenset({"agents"}),
    "ana@example.com",
    "t1",
    0.0,
    at("2026-11-21T10:30:00"),
)
OTHER = Principal(
    "https://idp", "a-2", "cleaning-agent", frozenset({"agents"}), None, "t2", 0.0, at("2026-11-22T23:00:00")
)
AUDITOR = Principal("https://idp", "eve", "eve", frozenset({"auditors"}))
SHOP = Target("shop", "postgres", "db", 5432)
LOOSE = Target("lab", "postgres", "lab", 5432, recording="best_effort")
READ = Facts(
    Effect.READ,
    "select",
    (ObjectRef("table", "public.customers", "read"), ObjectRef("table", "public.orders", "read")),
    masked_columns=frozenset({"public.customers.ssn"}),
)
ORDERS = Facts(Effect.READ, "select", (ObjectRef("table", "public.orders", "read"),))
DROP = Facts(Effect.DESTROY, "drop table", (ObjectRef("table", "public.customers", "destroy"),), bounded=False)
CONNECT = Facts(Effect.SESSION, "connect")


class Timeline:
    """Recordings whose every record has the wall time the story says."""

    def __init__(self, state):
        self.clock = Clock()
        self.recorder = LocalRecorder(state, self.clock)

    def open(self, monkeypatch, when, session, target):
        self.move(monkeypatch, when)
        return self.recorder.open(session, target, f"c-{session.id}", {})

    def move(self, monkeypatch, when):
        self.clock.wall = at(when)
        monkeypatch.setattr("time.monotonic_ns", lambda: int(self.clock.wall * 1e9))


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    import asyncio

    place = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        asyncio.run(story(place, patch))
        AuditTrail(place).catch_up()
    return place


def permitted(writer: Writer, number, text, facts=READ, kind=StatementKind.EXECUTE):
    writer.intent(Statement(text, kind, number=number), facts, Permit(text, ("reads",)))


async def story(place, patch):
    line = Timeline(place)
    session = Session("s-report", REPORTER, "shop", at("2026-11-21T08:30:00"), at("2026-11-21T10:30:00"))
    one = line.open(patch, "2026-11-21T08:30:00", session, SHOP)
    permitted(one, 0, "connect to shop", CONNECT, StatementKind.CONNECT)
    line.move(patch, "2026-11-21T08:50:00")
    permitted(one, 1, "SELECT name FROM customers, orders -- too early")
    line.move(patch, "2026-11-21T09:15:00")
    permitted(one, 2, "SELECT ssn FROM customers, orders")
    one.relayed(Masked(b"", 2, 25_000, "SELECT 25000", cells=25_000))
    one.intent(
        Statement("DROP TABLE customers", number=3),
        DROP,
        Denial(DenialCode.POLICY, "Not allowed.", policies=("no-drop",)),
    )
    one.event("approval_requested", {"approval": "ap-1", "statement": 4, "approvers": ["owners"]})
    one.intent(Statement("DELETE FROM orders", number=4), DROP, Denial(DenialCode.PENDING, "Ask.", ticket="ap-1"))
    one.event("approval_decided", {"approval": "ap-1", "state": "approved", "by": ["bob", "carol"], "note": "once"})
    one.event("approval_redeemed", {"approval": "ap-1", "by": ["bob", "carol"], "note": "once"})
    line.move(patch, "2026-11-21T11:59:00")
    permitted(one, 5, "SELECT 1 FROM orders", ORDERS)
    one.relayed(Masked(b"", 5, 10, "SELECT 10"))
    one.close("the client left")

    glass = Session("s-glass", OTHER, "lab", 0.0, 0.0, break_glass="incident 7")
    two = line.open(patch, "2026-11-22T01:00:00", glass, LOOSE)
    permitted(two, 0, "connect to lab", CONNECT, StatementKind.CONNECT)
    permitted(
        two,
        1,
        "UPDATE orders SET a = 1",
        Facts(Effect.WRITE, "update", (ObjectRef("table", "public.orders", "write"),)),
    )
    two.relayed(Masked(b"", 1, 0, "UPDATE 4000"))
    two.event(
        "revocation_failed", {"user": "bw_7", "kind": "role", "proof": "the target did not answer", "reason": "over"}
    )
    line.move(patch, "2026-11-22T01:10:00")
    two.close("the client left")

    line.move(patch, "2026-11-22T02:00:00")
    read = {"recording": one.id, "session": "s-report", "agent": "reporting-agent", "how": "play", "known_by": "token"}
    await note(line.recorder, line.clock, AUDITOR, "recording_read", read, at="shop")
    await note(line.recorder, line.clock, OTHER, "recording_read", read | {"denial": "policy"}, at="shop")
    journal = Journal(line.recorder, line.clock)
    for _ in range(105):
        await journal.refused_login("postgres", "shop", "10.9.9.9:1", "the token has expired")
    line.move(patch, "2026-11-22T02:01:00")
    await journal.refused_login("postgres", "shop", "10.9.9.9:1", "the token has expired")
    journal.close("end")
    await note(
        line.recorder, line.clock, GATEWAY, "sink_failing", {"sink": "s3", "reason": "AccessDenied", "count": 12}
    )
    line.recorder.close()


def answer(state, number):
    found = ask(state / "audit", SQL[number])
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def test_there_are_the_questions_and_no_others():
    assert sorted(SQL) == list(range(1, 13))


@pytest.mark.parametrize("number", sorted(SQL))
def test_each_is_sql_for_athena(number):
    for dialect in ("athena", "trino"):
        (parsed,) = sqlglot.parse(SQL[number], dialect=dialect)
        assert isinstance(parsed, sqlglot.exp.Select)
        assert parsed.find(sqlglot.exp.Table).name == TABLE
        used = {column.parts[0].name for column in parsed.find_all(sqlglot.exp.Column)}
        aliases = {alias.alias for alias in parsed.find_all(sqlglot.exp.Alias)} | {"object", "column_name"}
        assert used <= set(hive_columns()) | {"dt", "hour"} | aliases
        assert not list(parsed.find_all(sqlglot.exp.Anonymous)), "a function that Trino does not have"


def test_1_who_touched_a_table(state):
    (row,) = answer(state, 1)
    assert (row["agent"], row["person"], row["object"]) == (
        "reporting-agent",
        "ana@example.com",
        "read table public.customers",
    )
    assert (row["statements"], row["first_seen"], row["last_seen"]) == (
        2,
        "2026-11-21T08:50:00.000Z",
        "2026-11-21T09:15:00.000Z",
    )


def test_2_what_an_agent_read_between(state):
    rows = answer(state, 2)
    assert [row["statement"] for row in rows] == ["SELECT ssn FROM customers, orders", "SELECT 1 FROM orders"]
    assert rows[0]["objects"] == "read table public.customers; read table public.orders"


def test_3_every_refused_statement(state):
    rows = answer(state, 3)
    assert {(row["statement"], row["verdict"], row["why"]) for row in rows} == {
        ("DROP TABLE customers", "denied", "policy"),
        ("DELETE FROM orders", "held", "pending"),
    }


def test_4_approvals_and_who_gave_them(state):
    (row,) = answer(state, 4)
    assert (row["approval"], row["decided_by"], row["state"], row["note"], row["used"]) == (
        "ap-1",
        "bob, carol",
        "approved",
        "once",
        1,
    )


def test_5_break_glass(state):
    (row,) = answer(state, 5)
    assert (row["agent"], row["reason"], row["target"], row["statements"]) == ("cleaning-agent", "incident 7", "lab", 1)


def test_6_masked_columns(state):
    (row,) = answer(state, 6)
    assert (row["column_name"], row["agent"], row["statements"]) == ("public.customers.ssn", "reporting-agent", 2)


def test_7_sessions_that_outlived(state):
    (row,) = answer(state, 7)
    assert (row["session_id"], row["seconds"], row["outlived_token"]) == ("s-report", 12_540, True)


def test_8_largest_results(state):
    rows = answer(state, 8)
    assert [(row["rows_moved"], row["agent"]) for row in rows] == [
        (25_000, "reporting-agent"),
        (4_000, "cleaning-agent"),
    ]


def test_9_recordings_read(state):
    rows = answer(state, 9)
    assert {(row["reader"], row["how"], row["agent"], row["outcome"]) for row in rows} == {
        ("eve", "play", "reporting-agent", "read"),
        ("cleaning-agent", "play", "reporting-agent", "refused"),
    }


def test_10_failed_logins(state):
    (row,) = answer(state, 10)
    assert (row["client"], row["asked_for"], row["attempts"]) == ("10.9.9.9:1", "shop", 106)


def test_11_what_might_be_missing(state):
    rows = answer(state, 11)
    assert {(row["what"], row["about"]) for row in rows} == {
        ("recorded best_effort", None),
        ("revocation_failed", "bw_7"),
        ("sink_failing", "s3"),
    }


def test_12_who_uses_it(state):
    rows = answer(state, 12)
    names = ("agent", "sessions", "statements", "denied", "held", "first_seen", "last_seen")
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("cleaning-agent", 1, 1, 0, 0, "2026-11-22T01:00:00.000Z", "2026-11-22T01:00:00.000Z"),
        ("reporting-agent", 1, 5, 1, 1, "2026-11-21T08:30:00.000Z", "2026-11-21T11:59:00.000Z"),
    ]
