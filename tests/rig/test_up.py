"""The local stack as a whole: started for real, each part killed in turn."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from blastwall.errors import ConfigFault
from rig import account, running
from rig.issuer import LocalIssuer
from rig.postgres import RigFault
from rig.up import LocalStack

CONFIG = Path(__file__).parents[2] / "config"
LISTEN = {"postgres": "127.0.0.1:0"}


@pytest.fixture(scope="module")
def state(rig_directory: Path) -> Iterator[Path]:
    """One state directory for the module: the second start finds the first one's data."""
    yield rig_directory / "up"
    account.remove_tree(rig_directory / "up")


@pytest.fixture
def stack(state: Path) -> Iterator[LocalStack]:
    with LocalStack(CONFIG, state, listen=LISTEN) as started:
        yield started


def connect(stack: LocalStack, user: str = "shop") -> psycopg.Connection[tuple[object, ...]]:
    assert stack.running is not None
    host, _, port = stack.running.listening["postgres"].rpartition(":")
    token = LocalIssuer.open(stack.state).mint("tester", ["agents"])
    tls = {"sslmode": "verify-full", "sslrootcert": stack.running.ca, "connect_timeout": 10}
    return psycopg.connect(host=host, port=int(port), user=user, password=token, dbname="shop", **tls)


def until_it_is_noticed(check: Callable[[], None], seconds: float = 10.0) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            check()
        except RigFault as fault:
            return str(fault)
        time.sleep(0.02)
    raise AssertionError("nobody noticed")


def test_an_agent_with_a_local_token_reads_the_seeded_target(stack: LocalStack) -> None:
    with connect(stack) as connection:
        assert connection.execute("SELECT count(*) FROM customers").fetchone() == (200,)


def test_what_runs_is_told_to_others_and_forgotten_afterwards(state: Path) -> None:
    with LocalStack(CONFIG, state, listen=LISTEN) as started:
        found = running.read(state)
        assert found == started.running
        assert found is not None
        assert found.pid == os.getpid()
        assert found.targets == {"shop": {"protocol": "postgres", "database": "shop"}}
        overrides = state / "overrides.json"
        assert overrides.stat().st_mode & 0o777 == 0o600
        assert json.loads(overrides.read_text())["insecure_local"] is False
    assert running.read(state) is None
    with LocalStack(CONFIG, state, listen=LISTEN):
        pass


def test_tokens_never_travel_in_the_clear(stack: LocalStack) -> None:
    assert stack.running is not None
    host, _, port = stack.running.listening["postgres"].rpartition(":")
    with pytest.raises(psycopg.OperationalError, match=r"(?i)tls|ssl|encrypt"):
        psycopg.connect(
            host=host, port=int(port), user="shop", password="x", dbname="shop", sslmode="disable", connect_timeout=10
        )


def test_a_second_stack_does_not_touch_the_first_ones_state(stack: LocalStack, state: Path) -> None:
    with pytest.raises(RigFault, match="another `blastwall up` uses"):
        LocalStack(CONFIG, state, listen=LISTEN).start()
    with connect(stack) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_gateway_that_dies_is_named(state: Path) -> None:
    stack = LocalStack(CONFIG, state, listen=LISTEN)
    stack.start()
    try:
        stack.check()
        os.kill(stack.gateway.pid, signal.SIGKILL)
        assert "the gateway stopped by itself" in until_it_is_noticed(stack.check)
    finally:
        stack.stop()


def test_a_target_that_dies_is_named(stack: LocalStack, state: Path) -> None:
    os.kill(int((state / "targets" / "shop" / "server.pid").read_text()), signal.SIGQUIT)
    assert "target shop stopped by itself" in until_it_is_noticed(stack.check)


def test_a_port_that_is_taken_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RigFault, match=f"cannot listen on {address}: .*in use; .*--port 0"):
            LocalStack(CONFIG, tmp_path / "state", listen={"postgres": address}).start()
    assert not (tmp_path / "state" / "targets").exists()


@pytest.mark.parametrize("place", ["file/state", "/proc/state"])
def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RigFault, match=r"the state directory .*state cannot be used: .*; choose another --state"):
        LocalStack(CONFIG, tmp_path / place, listen=LISTEN).start()


def test_a_gateway_that_cannot_listen_takes_everything_down_again(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rig.up.why_not", lambda host, port: None)  # as if the port were taken a moment later
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RigFault, match=f"cannot listen on {address}"):
            LocalStack(CONFIG, state, listen={"postgres": address}).start()
    pid = int((state / "targets" / "shop" / "server.pid").read_text())
    assert not Path(f"/proc/{pid}").exists()
    assert running.read(state) is None


def test_masking_rules_that_do_not_fit_the_database_start_nothing(tmp_path: Path, rig_directory: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(CONFIG, config)
    shutil.copytree(CONFIG.parent / "demo", tmp_path / "demo", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    masking = config / "masking.yaml"
    masking.write_text(masking.read_text().replace("public.customers.ssn", "public.customers.snn"))
    state = rig_directory / "unfit"
    stack = LocalStack(config, state, listen=LISTEN)
    with pytest.raises(
        ConfigFault, match=r"masking\.yaml:\d+: shop has no column public\.customers\.snn; did you mean"
    ):
        stack.start()
    account.remove_tree(state)


def test_a_configuration_that_does_not_load_starts_nothing(tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(CONFIG, config)
    (config / "gateway.yaml").write_text("version: 1\n")
    with pytest.raises(ConfigFault, match="targets"):
        LocalStack(config, tmp_path / "state", listen=LISTEN).start()
    assert not (tmp_path / "state").exists()
