"""What the client is started with: its arguments never hold the token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg.conninfo
import pytest

from blastwall.errors import ClientFault
from cli import connect
from cli.strings import Door
from rig import running
from rig.running import Running

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("value", ["shop", "reader@shop", "a b", "it's", "back\\slash", "", "x=y"])
def test_libpq_reads_quoted_values_back(value: str) -> None:
    parsed = psycopg.conninfo.conninfo_to_dict(f"dbname={connect.quoted(value)} user=x")
    assert parsed.get("dbname", "") == value
    assert parsed["user"] == "x"


def test_a_missing_client_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert connect.find_program("psql").endswith("bin/psql")  # the rig's own
    with pytest.raises(ClientFault, match="not installed"):
        connect.find_program("no-such-client")


def test_the_command_line_is_the_protocols_own(tmp_path: Path) -> None:
    argv, variable = connect.command_line("postgres", Door("127.0.0.1", 7432, "my shop", "r@shop", tmp_path))
    assert Path(argv[0]).name == "psql"
    assert argv[1:] == ["host=127.0.0.1 port=7432 dbname='my shop' user=r@shop"]
    assert variable == "PGPASSWORD"


def test_the_client_gets_the_token_in_its_environment_and_nowhere_else(tmp_path: Path) -> None:
    state, programs = tmp_path / "state", tmp_path / "bin"
    state.mkdir()
    programs.mkdir()
    client = programs / "psql"
    client.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "print(json.dumps({'argv': sys.argv[1:], 'environ': dict(os.environ)}))\nsys.exit(9)\n"
    )
    client.chmod(0o755)
    targets = {"shop": {"protocol": "postgres", "database": "store"}}
    running.write(state, Running(os.getpid(), "/config", {"postgres": "127.0.0.1:7432"}, "/ca.pem", targets))
    environ = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "BLASTWALL_TOKEN": "secret-token"}
    command = [
        sys.executable,
        "-m",
        "cli",
        "connect",
        "--state",
        str(state),
        "-u",
        "reader",
        "shop",
        "--",
        "-c",
        "SELECT 1",
    ]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 9, done.stderr
    told = json.loads(done.stdout)
    assert told["argv"] == ["host=127.0.0.1 port=7432 dbname=store user=reader@shop", "-c", "SELECT 1"]
    assert told["environ"]["PGPASSWORD"] == "secret-token"
    assert told["environ"]["PGSSLMODE"] == "verify-full"
    assert told["environ"]["PGSSLROOTCERT"] == "/ca.pem"
    assert "BLASTWALL_TOKEN" not in told["environ"]
