"""What tools and libraries ask of a catalogue (tests/corpus), answered through the gateway as the database does.

psql's describing verbs, DBeaver, DataGrip, pgAdmin, pgjdbc, Npgsql, SQLAlchemy, Rails, Django, Metabase, Prisma.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import pq

from blastwall.protocols.postgres.refusal import SQLSTATES
from tests.e2e.paths import Agent, extended, outcome
from tests.e2e.stacks import ROOT, Stack

Result = tuple[Any, ...]
MAJOR = 17


def rows(name: str) -> list[dict[str, Any]]:
    lines = (ROOT / "tests" / "corpus" / name).read_text().strip().split("\n")  # U+2028 is no end of a line here
    return [json.loads(line) for line in lines]


TOOLS = [row for row in rows("tools.jsonl") if row.get("since", 0) <= MAJOR]
LIBRARIES = rows("orm.jsonl")
OURS = set(SQLSTATES.values())


@pytest.fixture(scope="module")
def through(corpus: Stack) -> Iterator[psycopg.Connection[Any]]:
    with corpus.connect(corpus.token("introspects"), autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def past(corpus: Stack) -> Iterator[psycopg.Connection[Any]]:
    pinned = {"search_path": '"public"', "standard_conforming_strings": "on", "backslash_quote": "safe_encoding"}
    options = " ".join(f"-c {name}={value}" for name, value in pinned.items())  # as the gateway does
    with psycopg.connect(**corpus.own(), autocommit=True, options=options) as connection:
        yield connection


def answer(result: Any) -> Result:
    """Columns and rows, or the error; rows without an order of their own are sorted."""
    if result.status == pq.ExecStatus.FATAL_ERROR:
        return ("error", (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode())
    columns = [(result.fname(number), result.ftype(number)) for number in range(result.nfields)]
    values = [tuple(result.get_value(row, number) for number in range(result.nfields)) for row in range(result.ntuples)]
    return (columns, sorted(values, key=repr), result.command_tuples)


def run(connection: psycopg.Connection[Any], text: str) -> Result:
    """Simple protocol."""
    return answer(connection.pgconn.exec_(text.encode()))


def described(connection: psycopg.Connection[Any], text: str) -> Result:
    """Extended protocol: what the parameters and columns are, without running it."""
    parsed = connection.pgconn.prepare(b"", text.encode())
    if parsed.status == pq.ExecStatus.FATAL_ERROR:
        return answer(parsed)
    about = connection.pgconn.describe_prepared(b"")
    return ([about.param_type(number) for number in range(about.nparams)], *answer(about)[:1])


def test_every_question_of_a_tool_is_answered_as_the_database_does(
    through: psycopg.Connection[Any], past: psycopg.Connection[Any]
) -> None:
    answered = 0
    for row in TOOLS:
        text = row["text"]
        same = described(past, text)
        assert described(through, text) == same, (row["tool"], text)
        if same[0] == "error":
            assert same[1] not in OURS
            continue
        if not same[0]:  # no parameters: it can be run as it stands
            before, here, after = run(past, text), run(through, text), run(past, text)
            assert here[0] == before[0] and (here[0] == "error") == (before[0] == "error"), (row["tool"], text)
            if before == after:  # not a question whose answer moves (a clock, statistics)
                assert here == before, (row["tool"], text)
            answered += 1
    assert answered > 150


def test_what_libraries_send_runs_or_is_held(corpus: Stack) -> None:
    """Reads and what belongs to the session run; bounded changes get a ticket; nothing is refused but a condition on a
    masked column.
    """
    agent = Agent(corpus)
    found = {row["text"]: outcome(agent.ask(extended(row["text"]) or [])) for row in LIBRARIES}
    agent.leave()
    wanted = {row["text"]: "allow" if row["effect"] in ("read", "session") else "approve" for row in LIBRARIES}
    masked = [text for text in wanted if re.search(r'WHERE.*"profile"', text)]
    wanted |= dict.fromkeys(masked, "deny")
    assert len(masked) == 3
    wrong = {text: (found[text], wanted[text]) for text in wanted if found[text] != wanted[text]}
    assert not wrong
    assert list(wanted.values()).count("approve") > 20
