"""What ordinary tools and libraries send must come out as what it is: a gateway that cries wolf is switched off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from blastwall.model import Effect
from blastwall.sql.surroundings import Surroundings
from tests.blastwall.sql.judging import corpus, judged

HERE = Path(__file__).parent


def rows(name: str) -> list[dict[str, Any]]:
    lines = (HERE / name).read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


TOOLS, LIBRARIES = rows("tools.jsonl"), rows("orm.jsonl")


@pytest.mark.parametrize("row", TOOLS, ids=lambda row: row["tool"])
def test_a_tool_may_look_around(row: dict[str, Any]) -> None:
    """psql's backslash commands (recorded with psql -E from 17 and 18), drivers' and editors' own queries."""
    for surroundings in (corpus(), Surroundings(server_version=180000)):
        if surroundings.major >= row.get("since", 0):
            facts = judged(row["text"], surroundings)
            assert facts.effect in (Effect.READ, Effect.SESSION), (row["text"], facts.reason)
            assert "reset" not in facts.flags


@pytest.mark.parametrize("row", LIBRARIES, ids=lambda row: row["orm"])
def test_a_library_reads_and_writes(row: dict[str, Any]) -> None:
    for surroundings in (corpus(), Surroundings(server_version=150000)):
        facts = judged(row["text"], surroundings)
        assert facts.effect == row["effect"], (row["text"], facts.reason)
        assert facts.bounded


def test_there_are_enough_of_them() -> None:
    assert len(TOOLS) > 200
    assert len({row["tool"] for row in TOOLS}) > 8
    assert len(LIBRARIES) > 80


@pytest.mark.parametrize(
    "text",
    [
        "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL",
        "DISCARD ALL",
        "DEALLOCATE ALL",
        "DEALLOCATE _pg3_0",
        "RESET ALL",
        "UNLISTEN *",
        "CLOSE ALL",
        "DISCARD PLANS",
    ],
)
def test_a_pool_puts_its_session_back(text: str) -> None:
    """asyncpg, psycopg and Npgsql: the gateway does this itself, so policy must be able to tell it."""
    facts = judged(text)
    assert facts.effect is Effect.SESSION, facts.reason
    assert "reset" in facts.flags


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("SELECT oid FROM pg_catalog.pg_largeobject_metadata", "large objects"),
        ("SELECT subname FROM pg_catalog.pg_subscription", "connection strings"),
        ("SELECT setconfig FROM pg_catalog.pg_db_role_setting", "settings of other roles"),
        ("SELECT pg_catalog.current_setting(s.name) FROM pg_catalog.pg_settings s", "whose name is computed"),
    ],
)
def test_what_psql_may_not_show_says_why(text: str, what: str) -> None:
    facts = judged(text)
    assert facts.effect is Effect.ADMINISTER
    assert what in facts.reason
