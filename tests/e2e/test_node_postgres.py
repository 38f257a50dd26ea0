"""node-postgres: simple, extended and named statements, a cursor, a pool."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clients import fetch
from tests.e2e.stacks import Stack


@pytest.fixture(scope="module")
def node() -> fetch.Node:
    return fetch.node()


@pytest.fixture(scope="module")
def seen(shop: Stack, node: fetch.Node) -> Any:
    """What the program of clients/session.js saw."""
    environ = shop.environ(shop.token("node")) | {"NODE_PATH": str(node.modules), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [str(node.node), str(Path(fetch.__file__).parent / "session.js")],
        env=environ, capture_output=True, text=True, timeout=45, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_simple_and_extended_queries(seen: Any) -> None:
    assert seen["simple"] == 1000
    assert seen["several"] == [1, 2]
    assert seen["extended"] == {"id": 7, "name": "Shelf no. 7"}
    assert seen["array"] == {"a": [1, 2], "j": {"b": 1}}


def test_a_named_statement_is_parsed_once(seen: Any, shop: Stack) -> None:
    assert seen["named"] == list(range(1, 11))
    asked = [item for item in shop.asked("node") if item["text"] == "SELECT id FROM orders WHERE id = $1"]
    assert [item["kind"] for item in asked] == ["prepare", *["execute"] * 10]


def test_a_cursor_takes_a_portal_in_steps(seen: Any) -> None:
    assert seen["cursor"] == [170] * 5 + [150]


def test_refusals_reach_it_with_code_detail_and_hint(seen: Any, shop: Stack) -> None:
    for refused in (seen["refusedSimple"], seen["refusedExtended"], *seen["refusedNamed"], seen["inTransaction"]):
        assert refused["code"] == "42501"
        assert refused["message"].startswith("blastwall: this statement is not permitted")
        assert refused["detail"] and refused["hint"]
    assert seen["afterRefusals"] == 5
    assert shop.value("SELECT count(*) FROM orders") == 1000


def test_a_failed_transaction_stays_failed_until_it_ends(seen: Any) -> None:
    assert seen["thenFailed"]["code"] == "25P02"
    assert seen["commit"] == "ROLLBACK"
    assert seen["databaseError"]["code"] == "22012"


def test_a_pool_answers_everybody(seen: Any) -> None:
    assert seen["pool"] == list(range(60))
