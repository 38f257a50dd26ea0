import io
import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from fargate_proxy.pulse import (
    ENDING_SECONDS,
    MOST_BEATS,
    PROTECTED_MINUTES,
    RESTING_BEATS,
    SECONDS,
    Pulse,
    metrics,
    protect,
)


class Agent(HTTPServer):
    """ECS's agent, as far as a task asks it."""

    asked: list[dict]
    answer: dict


class Handler(BaseHTTPRequestHandler):
    server: Agent

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append({"path": self.path, **body})
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.server.answer).encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def agent() -> Iterator[Agent]:
    server = Agent(("127.0.0.1", 0), Handler)
    server.asked, server.answer = [], {"protection": {"ProtectionEnabled": True}}
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def address(agent: Agent) -> str:
    return f"http://127.0.0.1:{agent.server_port}/api/abc"


def test_a_count_is_an_embedded_metric() -> None:
    document = metrics({"LiveConnections": 3}, 1_700_000_000.5)
    assert document["LiveConnections"] == 3 and document["service"] == "gateway"
    about = document["_aws"]
    assert about == {
        "Timestamp": 1_700_000_000_500,
        "CloudWatchMetrics": [
            {
                "Namespace": "Blastwall",
                "Dimensions": [["service"]],
                "Metrics": [{"Name": "LiveConnections", "Unit": "Count"}],
            }
        ],
    }


async def test_a_task_is_protected_while_connections_live_and_released_once(agent: Agent) -> None:
    live, out = [2], io.StringIO()
    pulse = Pulse(lambda: live[0], lambda: 1.0, out, address(agent))
    await pulse.beat()
    live[0] = 0
    await pulse.beat()
    await pulse.beat()
    path = "/api/abc/task-protection/v1/state"
    assert agent.asked == [
        {"path": path, "ProtectionEnabled": True, "ExpiresInMinutes": PROTECTED_MINUTES},
        {"path": path, "ProtectionEnabled": False},
    ]
    assert [json.loads(line)["LiveConnections"] for line in out.getvalue().splitlines()] == [2, 0, 0]


async def test_a_certificate_that_is_about_to_end_is_counted() -> None:
    now, out = [0.0], io.StringIO()
    pulse = Pulse(lambda: 0, lambda: now[0], out, certificate_ends=ENDING_SECONDS + 1)
    for moment in (0.0, 1.0, 2.0, 2 * ENDING_SECONDS):
        now[0] = moment
        await pulse.beat()
    documents = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [document["CertificateEnding"] for document in documents] == [0, 0, 1, 1]
    names = [metric["Name"] for metric in documents[0]["_aws"]["CloudWatchMetrics"][0]["Metrics"]]
    assert names == ["CertificateEnding", "LiveConnections"]


async def test_an_agent_that_refuses_stops_nothing(agent: Agent, caplog: pytest.LogCaptureFixture) -> None:
    agent.answer = {"failure": {"Reason": "TASK_NOT_VALID"}}
    pulse = Pulse(lambda: 1, lambda: 1.0, io.StringIO(), address(agent))
    await pulse.beat()
    assert "TASK_NOT_VALID" in caplog.text and not pulse.protected
    with pytest.raises(ValueError, match="TASK_NOT_VALID"):
        protect(address(agent), True)


async def test_a_task_that_a_deployment_waits_for_makes_way(agent: Agent) -> None:
    """Old tasks take connections, and with them protection, for as long as they are there: none would ever be replaced."""
    pulse = Pulse(lambda: 1, lambda: 1.0, io.StringIO(), address(agent))
    await pulse.beat()
    assert pulse.protected
    agent.answer = {"failure": {"Arn": "task", "Reason": "DEPLOYMENT_BLOCKED", "Detail": None}}
    await pulse.beat()
    assert [asked["ProtectionEnabled"] for asked in agent.asked] == [True, True, False]
    assert PROTECTED_MINUTES <= 10, "and one that is not told so is kept no longer"


async def test_a_task_that_is_never_idle_is_let_go_now_and_then(agent: Agent) -> None:
    """An hour at most: CloudFormation waits for three for a service to become stable, and then takes the update back."""
    pulse = Pulse(lambda: 1, lambda: 1.0, io.StringIO(), address(agent))
    held = []
    for _ in range(3 * (MOST_BEATS + RESTING_BEATS)):
        await pulse.beat()
        held.append(pulse.protected)
    runs = [len(list(group)) for _, group in itertools.groupby(held)]
    assert held[0] and runs[:4] == [MOST_BEATS, RESTING_BEATS, MOST_BEATS, RESTING_BEATS]
    assert (MOST_BEATS * SECONDS) / 60 + PROTECTED_MINUTES <= 60


async def test_elsewhere_nobody_is_asked() -> None:
    await Pulse(lambda: 1, lambda: 1.0, io.StringIO()).beat()
