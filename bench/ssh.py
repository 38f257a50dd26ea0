"""SSH: a large output, short commands one after another, and a key's way to the screen and back.

Against OpenSSH's own server reached directly, and through a bastion (``ssh -J``) as teams without a gateway do it.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import asyncssh

from bench.measure import BLASTWALL, DIRECT, PGBOUNCER, Measure, Pace
from bench.pgbench import BenchFault
from bench.stage import Stage
from blastwall.model import Secret
from cli.door import Way
from cli.ssh import Files, obtain
from rig import account
from rig.hosts import LocalHost, SshKeys
from rig.issuer import LocalIssuer
from rig.openssh import USER
from rig.up import LocalStack

CONFIG = Path(__file__).with_name("hosts")
BASTION = PGBOUNCER  # the peer's column
BYTES = 500_000_000
COMMANDS = 200  # a round: a thousand in all
KEYS = 200
SECONDS = 300.0


def ssh(stage: Stage, pace: Pace) -> list[Measure]:
    """Rates and times of each way, interleaved. Raises BenchFault when a client fails."""
    bulk = Measure("ssh-bulk", f"cat of {BYTES // 1_000_000} MB", "MB/s")
    short = Measure("ssh-exec", "short commands on one connection", "commands/s")
    fresh = Measure("ssh-connect", "a command with its connection", "ms")
    keys = Measure("ssh-key", "a key to its echo, median", "us")
    slowest = Measure("ssh-key-p99", "a key to its echo, 99th of 100", "us")
    with LocalStack(CONFIG, stage.state / "ssh") as stack:
        ways = _ways(stack, stage.state / "ssh")
        _fill(stack)
        for name in pace.interleave(ways, "SSH"):
            way = ways[name]
            began = time.perf_counter()
            _run([*way, "cat", "large.txt"])
            bulk.add(name, BYTES / 1e6 / (time.perf_counter() - began))
            began = time.perf_counter()
            for _ in range(5):
                _run([*way, "uptime"])
            fresh.add(name, (time.perf_counter() - began) / 5 * 1e3)
            if name != BASTION:
                rate, times = asyncio.run(_inside(stack, stage.state / "ssh", through=name == BLASTWALL))
                short.add(name, rate)
                keys.add(name, statistics.median(times) * 1e6)
                slowest.add(name, sorted(times)[len(times) * 99 // 100] * 1e6)
    return [bulk, fresh, short, keys, slowest]


def _ways(stack: LocalStack, state: Path) -> dict[str, list[str]]:
    """The command line up to the command, of each way to the same host."""
    assert stack.running is not None
    token = Secret(LocalIssuer.open(state).mint("bench", ("agents",), ttl=3600))
    files = obtain(Way(state, None, None), token, state / "client")
    port = stack.running.listening["ssh"].rpartition(":")[2]
    common = ["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]
    direct = [*common, *_direct(stack, state).options]
    host = str(_host(stack).server.port)
    jump = " ".join([*direct, "-p", host, "-W", "%h:%p", f"{USER}@127.0.0.1"])
    return {
        DIRECT: [*direct, "-p", host, f"{USER}@127.0.0.1"],
        BASTION: [*direct, "-o", f"ProxyCommand={jump}", "-p", host, f"{USER}@127.0.0.1"],
        BLASTWALL: [*common, *files.options, "-p", port, "-l", "host", "127.0.0.1"],
    }


def _direct(stack: LocalStack, state: Path) -> Files:
    """A certificate that the host itself takes: what the gateway would show it."""
    place = state / "direct"
    place.mkdir(mode=0o700, exist_ok=True)
    authority = asyncssh.read_private_key(str(SshKeys(state / "ssh").directory / "upstream_ca"))
    key = asyncssh.generate_private_key("ssh-ed25519")
    certificate = authority.generate_user_certificate(key, "bench", principals=[USER])
    account.write_private(place / "id_ed25519", key.export_private_key("openssh"))
    account.write_private(place / "id_ed25519-cert.pub", certificate.export_certificate("openssh"))
    target = _host(stack)
    account.write_private(place / "known_hosts", f"* {target.host_key}\n".encode())
    return Files(place.absolute())


def _host(stack: LocalStack) -> LocalHost:
    (target,) = stack.targets
    assert isinstance(target, LocalHost)
    return target


def _fill(stack: LocalStack) -> None:
    target = _host(stack)
    file = target.server.home / "large.txt"
    if not file.exists():
        line = b"2026-01-01T00:00:00Z app[7]: a line as logs have them, nothing in it looks like a secret\n"
        with file.open("wb") as stream:
            stream.write((line * (BYTES // len(line) + 1))[:BYTES])
        owner = account.unprivileged()
        if owner is not None:
            os.chown(file, owner.uid, owner.gid)


def _run(command: Sequence[str], most: int = 1 << 20) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise BenchFault(f"{' '.join(command[-2:])} ended with {done.returncode}: {done.stderr.decode()[-300:]}")


async def _inside(stack: LocalStack, state: Path, *, through: bool) -> tuple[float, list[float]]:
    """(commands a second, seconds of each key) on one connection, by asyncssh on both ways."""
    assert stack.running is not None
    if through:
        token = LocalIssuer.open(state).mint("bench", ("agents",), ttl=3600)
        port = int(stack.running.listening["ssh"].rpartition(":")[2])
        opening = asyncssh.connect(
            "127.0.0.1", port, username="host", password=token, known_hosts=None, config=None, agent_path=None,
            client_keys=None,
        )  # fmt: skip
    else:
        files = _direct(stack, state).directory
        pair = (str(files / "id_ed25519"), str(files / "id_ed25519-cert.pub"))
        opening = asyncssh.connect(
            "127.0.0.1", _host(stack).server.port, username=USER, known_hosts=None, config=None, agent_path=None,
            client_keys=[pair],
        )  # fmt: skip
    async with opening as connection:
        began = time.perf_counter()
        for _ in range(COMMANDS):
            await connection.run("uptime", check=True)
        rate = COMMANDS / (time.perf_counter() - began)
        process = await connection.create_process(term_type="dumb", encoding=None)
        await process.stdout.readuntil(b"$ ")
        times = []
        for _ in range(KEYS):
            began = time.perf_counter()
            process.stdin.write(b"x")
            await process.stdout.readexactly(1)
            times.append(time.perf_counter() - began)
        process.close()
    return rate, times
