"""``blastwall aws``: AWS credentials of one session, for programs that know how to ask for them."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from blastwall.config.bundle import load_bundle
from blastwall.credentials.assuming import RoleDesk, target_of
from blastwall.credentials.desk import Refused
from blastwall.errors import ClientFault, OurFault
from blastwall.identity.jwks import FetchedKeys
from blastwall.local.clock import SystemClock
from blastwall.local.fetch import fetch
from blastwall.local.leases import LocalLeases
from blastwall.local.sessions import LocalSessions
from blastwall.local.verifier import TokenVerifier
from blastwall.model import Secret
from cli import place
from cli.door import TOKEN_VARIABLE

#: SDKs ask again when credentials expire within 15 minutes, at every call: what is handed out lasts longer than this.
LEAST_AHEAD = 960.0
LARGEST_ANSWER = 64 * 1024

config_option = click.option(
    "--config",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("config"),
    show_default=True,
    envvar="BLASTWALL_CONFIG",
    help="The configuration directory.",
)


@click.group(short_help="AWS credentials that end with a session.")
def command() -> None:
    """AWS credentials that end with a session: roles of gateway.yaml (aws_roles), for an agent's token."""


@command.command("creds")
@click.argument("role", required=False)
@click.option("--from", "source", type=click.Path(path_type=Path), hidden=True, help="Ask a running `aws run`.")
@place.state_option
@config_option
def creds(role: str | None, source: Path | None, state: Path, config: Path) -> None:
    """Print credentials of ROLE as a credential_process prints them. The token is $BLASTWALL_TOKEN.

    \b
    [profile agent]
    credential_process = blastwall aws creds ROLE
    """
    if source is not None:
        click.echo(_ask(source))
        return
    if role is None:
        raise click.UsageError("name the role")
    click.echo(obtain(role, _token(), state, config))


@command.command("run", context_settings={"ignore_unknown_options": True})
@click.argument("role")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED)
@place.state_option
@config_option
def run(role: str, words: tuple[str, ...], state: Path, config: Path) -> int:
    """Run a command with ROLE's credentials, and no others: blastwall aws run ROLE -- aws s3 ls."""
    token = _token()
    region = load_bundle(config).config.aws_roles[role].region if role in _roles(config) else ""
    with tempfile.TemporaryDirectory(prefix="blastwall-aws-") as name:
        directory = Path(name)  # 0700: nobody else reaches the socket
        with Desk(directory / "desk", lambda: obtain(role, token, state, config)):
            return subprocess.run(words, env=environment(os.environ, directory, region), check=False).returncode


def obtain(role: str, token: Secret, state: Path, config: Path, client: Any = None) -> str:  # noqa: ANN401  boto3's
    """The credential_process document of a role, from STS by whatever credentials this process has itself.

    Raises the desk's faults, ClientFault when policy says no.
    """
    return asyncio.run(_obtain(role, token, state, config, client))


async def _obtain(role: str, token: Secret, state: Path, config: Path, client: Any) -> str:  # noqa: ANN401  boto3's
    from blastwall.aws.clients import client as made
    from blastwall.aws.roles import assume

    overrides = state / "overrides.json"
    merged = json.loads(overrides.read_text()) if overrides.exists() else {}
    bundle = load_bundle(config, {"identity": merged["identity"]} if "identity" in merged else {}, str(overrides))
    clock = SystemClock()
    issuers = [
        (rules, FetchedKeys(rules, fetch, clock.monotonic, jwks_uri=issuer.jwks_url))
        for issuer in bundle.config.identity.issuers
        for rules in (issuer.rules(),)
    ]
    profiles = {name: section.profile(name) for name, section in bundle.config.aws_roles.items()}
    targets = {name: target_of(profile, bundle.config.aws_roles[name].labels) for name, profile in profiles.items()}
    store = place.open_store(state)
    try:
        desk = RoleDesk(
            TokenVerifier(issuers, clock),
            LocalSessions(store, clock),
            LocalLeases(store),
            lambda: bundle.policies,
            profiles,
            targets,
            clock,
        )
        sts = client or made("sts")
        keys = await desk.assume(token, role, lambda *order: assume(sts, *order))
    except Refused as refused:
        raise ClientFault(f"{refused} {refused.hint}".strip()) from None
    finally:
        store.close()
    if keys.expires_at - clock.now() < LEAST_AHEAD:
        raise OurFault("STS gave credentials that are about to expire: check this machine's clock")
    return json.dumps(keys.document())


def environment(outside: Mapping[str, str], directory: Path, region: str) -> dict[str, str]:
    """What the command gets: nothing of AWS's that was there before, no token, and a configuration of its own.

    Variables beat profiles in every SDK, so one that stayed would be used instead of the session's credentials.
    """
    config = directory / "config"
    asking = [sys.executable, "-m", "cli", "aws", "creds", "--from", str(directory / "desk")]
    lines = ["[default]", f"credential_process = {shlex.join(asking)}", *([f"region = {region}"] if region else [])]
    config.touch(mode=0o600)
    config.write_text("\n".join(lines) + "\n")
    kept = {name: value for name, value in outside.items() if not name.startswith("AWS_") and name != TOKEN_VARIABLE}
    return {
        **kept,
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": str(directory / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), kept.get("PYTHONPATH", "")))),
    }


class Desk:
    """Answers whoever connects to a socket with fresh credentials, while inside. Faults are answered as faults."""

    def __init__(self, path: Path, obtain: Callable[[], str]) -> None:
        self._path = path
        self._obtain = obtain
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def __enter__(self) -> Desk:
        self._socket.bind(str(self._path))
        self._path.chmod(0o600)
        self._socket.listen(8)
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                try:
                    answer = {"ok": self._obtain()}
                except Exception as fault:  # noqa: BLE001  told to the one who asked
                    answer = {"fault": str(fault)}
                try:
                    connection.sendall(json.dumps(answer).encode())
                except OSError:
                    continue


def _ask(path: Path) -> str:
    deadline = time.monotonic() + 30
    answer = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(30)
        try:
            asking.connect(str(path))
            while (piece := asking.recv(4096)) and time.monotonic() < deadline and len(answer) < LARGEST_ANSWER:
                answer += piece
            found = json.loads(answer)
        except (OSError, ValueError) as fault:
            raise OurFault(f"`blastwall aws run` does not answer any more: {fault}") from None
    if "fault" in found:
        raise ClientFault(found["fault"])
    return str(found["ok"])


def _roles(config: Path) -> set[str]:
    return set(load_bundle(config).config.aws_roles)


def _token() -> Secret:
    text = os.environ.get(TOKEN_VARIABLE, "")
    if not text:
        raise ClientFault(f"set {TOKEN_VARIABLE} to the agent's token")
    return Secret(text)
