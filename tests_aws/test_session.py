"""An agent's session through the load balancer: run it from where agents are, with an agent's token."""

from __future__ import annotations

import json
import os
import socket
import time
import uuid

import psycopg
import pytest

from tests_aws.deployed import Deployed

EVENT_SECONDS = 180.0
WANTED = ("BLASTWALL_TOKEN", "BLASTWALL_TEST_TARGET", "BLASTWALL_TEST_HOST", "BLASTWALL_TEST_DATABASE")


@pytest.fixture
def door() -> dict[str, str]:
    """``BLASTWALL_TEST_HOST`` is the name in the gateway's certificate; PGSSLROOTCERT may say who signed it."""
    given = {name: os.environ.get(name, "") for name in WANTED}
    absent = [name for name, value in given.items() if not value]
    if absent:
        pytest.fail(f"set {', '.join(absent)}, or leave this file out")
    return given


def test_a_statement_runs_and_is_audited_with_the_agents_own_address(deployed: Deployed, door: dict[str, str]) -> None:
    mark = uuid.uuid4().hex
    with psycopg.connect(
        host=door["BLASTWALL_TEST_HOST"],
        user=door["BLASTWALL_TEST_TARGET"],
        password=door["BLASTWALL_TOKEN"],
        dbname=door["BLASTWALL_TEST_DATABASE"],
        sslmode="verify-full",
        sslrootcert=os.environ.get("PGSSLROOTCERT", "system"),
    ) as connection:
        with socket.socket(fileno=os.dup(connection.fileno())) as own:
            address = own.getsockname()[0]
        assert connection.execute(f"SELECT '{mark}'").fetchone() == (mark,)
    event = _audited(deployed, mark)
    assert event["src_endpoint"]["ip"] == address, "PROXY protocol v2 tells the gateway whose connection it is"


def _audited(deployed: Deployed, mark: str) -> dict[str, dict[str, str]]:
    logs, group = deployed.client("logs"), deployed.one("Audit", "AWS::Logs::LogGroup", "Log")
    deadline = time.monotonic() + EVENT_SECONDS
    while time.monotonic() < deadline:
        found = logs.filter_log_events(
            logGroupName=group, filterPattern=f'"{mark}"', startTime=int((time.time() - 600) * 1000)
        )["events"]
        if found:
            event: dict[str, dict[str, str]] = json.loads(found[0]["message"])
            return event
        time.sleep(5)
    raise AssertionError("the statement's audit event did not arrive")
