"""What stock clients are told, and who signs what; the whole way is tried with real clients in tests/e2e."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from blastwall.errors import ClientFault
from blastwall.model import Secret
from cli import ssh
from cli.door import Way
from rig import running
from rig.running import Running

ROOT = Path(__file__).parents[2]


def way(tmp_path: Path, **listening: str) -> Way:
    running.write(tmp_path, Running(os.getpid(), "config", listening, "ca.pem", {}))
    return Way(tmp_path, None, None)


def test_where_the_gateway_listens(tmp_path: Path) -> None:
    assert ssh.address(way(tmp_path, ssh="127.0.0.1:7422")) == ("127.0.0.1", 7422)
    assert ssh.address(Way(tmp_path, "[::1]:22", None)) == ("::1", 22)
    with pytest.raises(ClientFault, match=r"listen\.ssh"):
        ssh.address(way(tmp_path, postgres="127.0.0.1:7432"))
    with pytest.raises(ClientFault, match="no gateway runs"):
        ssh.address(Way(tmp_path / "nothing", None, None))


def test_the_stanza_is_one_that_ssh_reads(tmp_path: Path) -> None:
    way(tmp_path, ssh="127.0.0.1:7422")
    command = [sys.executable, "-m", "cli", "ssh", "config", "--state", str(tmp_path), "--directory", str(tmp_path)]
    stanza = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    (tmp_path / "stanza").write_text(stanza)
    shown = subprocess.run(
        ["ssh", "-G", "-F", str(tmp_path / "stanza"), "deploy@web@gateway"],
        capture_output=True, text=True, check=True, timeout=20,
    ).stdout.split("\n")  # fmt: skip
    assert "hostname 127.0.0.1" in shown
    assert "port 7422" in shown
    assert "user deploy@web" in shown
    assert "stricthostkeychecking true" in shown
    assert f"certificatefile {tmp_path}/id_ed25519-cert.pub" in shown
    assert "forwardagent no" in shown


def test_a_gateway_that_is_not_there_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ClientFault, match="gave no certificate"):
        ssh.obtain(way(tmp_path, ssh=f"127.0.0.1:{port}"), Secret("t"), tmp_path / "mine")
    assert not (tmp_path / "mine").exists()
