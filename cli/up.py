"""``blastwall up``: a local gateway, with the targets that its configuration marks as local."""

from __future__ import annotations

import shlex
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from blastwall.recording.terminal import neutral
from cli import place, strings
from rig.desk import login_link
from rig.hosts import SshKeys
from rig.running import Running
from rig.up import LocalStack

if TYPE_CHECKING:
    from rig.cloud.up import CloudStack

CHECK_SECONDS = 0.25
#: pgjdbc and what is built on it take no password from the environment.
NO_ENVIRONMENT = "(JDBC, so DBeaver and DataGrip, want it in the password field; or use `blastwall proxy TARGET`)"
MOST_NEWS, LONGEST_NEWS = 1024 * 1024, 1000  # bytes of the log at one look, characters of a line


class _Interrupted(Exception):
    """Somebody asked us to stop while we were still starting."""


class _Signals:
    """What SIGINT, SIGTERM and SIGHUP mean: abandon the start, then stop, and once stopping nothing more."""

    def __init__(self) -> None:
        self.starting = True
        self.stop = threading.Event()
        self.reload = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask_to_stop)
        signal.signal(signal.SIGHUP, lambda *_: self.reload.set())

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        again = self.stop.is_set()
        self.stop.set()
        if self.starting and not again:
            raise _Interrupted


class _News:
    """What the gateway's log says of its configuration: whoever edits it looks at this terminal, and not at the log.

    Only what is written after this was made. A line that does not begin with a year goes on with the one before it.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._at = log.stat().st_size if log.exists() else 0
        self._rest = b""
        self._ours = False

    def take(self) -> list[str]:
        """The lines since the last time; none while there is no log."""
        try:
            with self._log.open("rb") as file:
                file.seek(self._at)
                new = file.read(MOST_NEWS)
        except OSError:
            return []
        self._at += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        told = []
        for line in (one.decode("utf-8", "replace") for one in lines):
            if line[:4].isdecimal():
                self._ours = " blastwall.watch " in line and " configuration " in line
                line = line.partition(" blastwall.watch ")[2]
            if self._ours:
                told.append(neutral(line, LONGEST_NEWS))
        return told


def _listen(address: str | None, port: int | None) -> dict[str, str]:
    if address is not None and port is not None:
        raise click.UsageError("give --listen or --port, not both")
    if port is not None:
        address = f"127.0.0.1:{port}"
    if address is None:
        return {}
    try:
        strings.parted(address)
    except ValueError as fault:
        raise click.UsageError(f"--listen: {fault}") from None
    return {"postgres": address}


@click.command(short_help="Start a local gateway.")
@click.option(
    "--config",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path("config"),
    show_default=True,
    help="The configuration directory: gateway.yaml and policies.",
)
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".state"),
    show_default=True,
    envvar="BLASTWALL_STATE",
    help="Keys, certificates, recordings and the local targets' data; kept from one start to the next.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port for PostgreSQL clients on 127.0.0.1; 0: any free one."
)
@click.option("--listen", metavar="HOST:PORT", help="The same with an address.")
@click.option(
    "--cloud/--local",
    help="The AWS stacks, deployed into an emulated account; or one gateway that needs nothing else.  [default: local]",
)
def command(config: Path, state: Path, port: int | None, listen: str | None, cloud: bool) -> None:
    """Start a local gateway and the local targets of its configuration; Ctrl-C stops them.

    SIGHUP has the gateway read its configuration again (it also does so when a file changes).
    """
    if cloud:
        if listen is not None or port is not None:
            raise click.UsageError("--cloud listens where it finds a free port")
        _serve_cloud(config, state)
        return
    signals = _Signals()
    stack = LocalStack(config, state, listen=_listen(listen, port), say=click.echo)
    try:
        try:
            running = stack.start()
            signals.starting = False
            click.echo(f"sign in once as {place.user()}: {login_link(running.page, state, place.user(), ('owners',))}")
            click.echo(announcement(running, state))
            news = _News(state / "gateway.log")
            while not signals.stop.wait(CHECK_SECONDS):
                stack.check()
                for line in news.take():
                    click.echo(line)
                if signals.reload.is_set():
                    signals.reload.clear()
                    stack.reload()
        finally:
            signals.starting = False
            stack.stop()
    except _Interrupted:
        pass
    click.echo("stopped")


def _serve_cloud(config: Path, state: Path) -> None:
    from rig.cloud.up import CloudStack, alone  # here: a local gateway starts without AWS's library

    signals = _Signals()
    try:
        with alone(state) as home:
            stack = CloudStack(config, home, say=click.echo)
            try:
                stack.start()
                signals.starting = False
                click.echo(cloud_announcement(stack))
                while not signals.stop.wait(CHECK_SECONDS):
                    stack.check()
            finally:
                signals.starting = False
                stack.stop()
    except _Interrupted:
        pass
    click.echo("stopped")


def cloud_announcement(stack: CloudStack) -> str:
    """What to connect with, and how to look into the account."""
    lines = []
    for name, target in stack.targets.items():
        door = strings.Door.at(stack.balancer.address, target.databases[0], name, stack.certificates.ca)
        lines += ["", f"{name} ({target.protocol})"]
        lines += [f"  {client:14} {text}" for client, text in strings.postgres(door).items()]
    shown = " ".join(f"{name}={shlex.quote(value)}" for name, value in stack.account.environment().items())
    place_of_state = shlex.quote(str(stack.state))
    return "\n".join(
        [
            *lines,
            "",
            "The user is TARGET, the password is a token:",
            f"  export PGPASSWORD=$(blastwall token --state {place_of_state} --agent my-agent --group agents)",
            f"  {NO_ENVIRONMENT}",
            "the account, as its root, for the AWS command line and `blastwall ... --aws`:",
            f"  export {shown}",
            f"log: {stack.state / 'tasks'}/*/gateway.log; what is real here: docs/rig.md",
            "",
            f"ready: postgres {stack.balancer.address}; Ctrl-C stops, and nothing is kept",
        ]
    )


def _known(address: str) -> str:
    """A listener as known_hosts names it (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""
    host, port = strings.parted(address)
    return f"[{host}]:{port}"


def announcement(running: Running, state: Path) -> str:
    """What to connect with, target by target."""
    lines = []
    for name, target in running.targets.items():
        address = running.listening.get(target["protocol"])
        if address is None:
            continue
        door = strings.Door.at(address, target["database"], name, Path(running.ca))
        lines += ["", f"{name} ({target['protocol']})"]
        clients = strings.ssh(door) if target["protocol"] == "ssh" else strings.postgres(door)
        lines += [f"  {client:14} {text}" for client, text in clients.items()]
    option = "" if str(state) == ".state" else f" --state {shlex.quote(str(state))}"
    if "ssh" in running.listening:
        authority = SshKeys(state / "ssh").public("host_ca")
        lines += ["", "known_hosts:", f"  @cert-authority {_known(running.listening['ssh'])} {authority}"]
        lines += ["stock ssh clients show a certificate instead of a token, and call this gateway `gateway`:"]
        lines += [f"  blastwall ssh login{option} && blastwall ssh config{option} >> ~/.ssh/config"]
    if "postgres" in running.listening:
        lines += ["", "The user is TARGET or DATABASE_USER@TARGET, the password is a token:"]
        lines += [f"  export PGPASSWORD=$(blastwall token{option} --agent my-agent --group agents)"]
        lines += [f"  {NO_ENVIRONMENT}"]
    lines += [
        "or let blastwall do all that:",
        f"  blastwall connect{option} {next(iter(running.targets), 'TARGET')}",
        f"approvals: {running.page} (sign in: blastwall approvals link{option})",
        f"recordings: blastwall recordings ls{option}",
        "  (policy decides what you read, as yourself in the group owners or by --token-file, and it is recorded)",
        f"log: {state / 'gateway.log'}",
        "",
        f"ready: {', '.join(f'{protocol} {address}' for protocol, address in running.listening.items())}; Ctrl-C stops",
    ]
    return "\n".join(lines)
