"""The process behind a load balancer: health on a port of its own, whose connection it is, and the end of both."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

from fargate_proxy.proxied import SIGNATURE

CONFIG = Path(__file__).parents[2] / "config"
SSL_REQUEST = struct.pack("!II", 8, 80877103)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def asked(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/ready")
    return connection.getresponse().status


def test_it_answers_for_its_health_and_takes_only_announced_connections(tmp_path: Path) -> None:
    health = free_port()
    overrides = tmp_path / "overrides.json"
    overrides.write_text(json.dumps({"listen": {"postgres": "127.0.0.1:0"}}))
    read, write = os.pipe()
    environ = {
        **os.environ,
        "BLASTWALL_CONFIG": str(CONFIG),
        "BLASTWALL_OVERRIDES": str(overrides),
        "BLASTWALL_STATE": str(tmp_path / "state"),
        "BLASTWALL_READY_FD": str(write),
        "BLASTWALL_HEALTH_PORT": str(health),
        "BLASTWALL_PROXY_PROTOCOL": "true",
    }
    command = [sys.executable, "-m", "fargate_proxy"]
    running = subprocess.Popen(command, env=environ, pass_fds=[write], cwd=CONFIG.parent, stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as pipe:
            host, _, port = json.loads(pipe.readline())["listening"]["postgres"].rpartition(":")
        assert asked(health) == 200
        with socket.create_connection((host, int(port)), 10) as unannounced:
            unannounced.sendall(SSL_REQUEST + b"\x00" * 8)
            assert unannounced.recv(1) == b""
        with socket.create_connection((host, int(port)), 10) as announced:
            address = socket.inet_aton("203.0.113.9") + socket.inet_aton("10.0.0.1") + struct.pack("!HH", 40000, 5432)
            announced.sendall(SIGNATURE + b"\x21\x11" + struct.pack("!H", len(address)) + address + SSL_REQUEST)
            assert announced.recv(1) == b"N"
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0
    finally:
        running.kill()
        running.wait()


def test_another_version_than_was_deployed_does_not_start(tmp_path: Path) -> None:
    environ = {**os.environ, "BLASTWALL_CONFIG_VERSION": "0" * 64, "BLASTWALL_STATE": str(tmp_path / "state")}
    command = [sys.executable, "-m", "fargate_proxy", "--config", str(CONFIG)]
    done = subprocess.run(command, env=environ, cwd=CONFIG.parent, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "not 000000000000, which was deployed" in done.stderr
