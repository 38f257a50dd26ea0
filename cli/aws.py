"""``blastwall aws``: AWS credentials of one session, for programs that know how to ask for them.

Who asks needs a token and no AWS credentials: the gateway's own function, or ``blastwall up``, assumes the role.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from blastwall.credentials.desk import raised
from blastwall.credentials.door import PATH
from blastwall.errors import ClientFault, OurFault, UpstreamFault
from blastwall.identity.jwt import token_id
from blastwall.local.post import exchange
from blastwall.model import Secret
from cli import place
from cli.door import TOKEN_VARIABLE
from rig import running

URL_VARIABLE = "BLASTWALL_CREDENTIALS_URL"
#: SDKs ask again when credentials expire within 15 minutes, at every call: what is handed out lasts longer than this.
LEAST_AHEAD = 960.0
ASK_SECONDS = 30.0  # for each step: the function may have to start, and STS to answer
LARGEST_ANSWER = 64 * 1024
REGION = re.compile(r"[a-z0-9-]{1,32}")
MAX_TOKEN_FILE = 64 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class Way:
    """Where to ask and with whose token. ``url`` None: the ``blastwall up`` of a state directory."""

    url: str | None
    state: Path
    token_file: Path | None
    keep: bool = False

    def address(self) -> str:
        """Raises ClientFault when nothing runs there."""
        if self.url is not None:
            return self.url.rstrip("/").removesuffix(PATH) + PATH
        found = running.read(self.state)
        if found is None or not found.page:
            raise ClientFault(
                f"no gateway runs with the state directory {self.state}: start `blastwall up`, or give --url (the "
                f"output CredentialsUrl of the deployed stacks) or ${URL_VARIABLE}"
            )
        return found.page + PATH

    def token(self) -> Secret:
        """The agent's token, read anew each time: whoever keeps the file renews it. Raises ClientFault."""
        if self.token_file is not None:
            try:
                with self.token_file.open("rb") as file:
                    text = file.read(MAX_TOKEN_FILE).decode("utf-8", "replace").strip()
            except OSError as fault:
                raise ClientFault(f"the token file does not read: {fault}") from None
        else:
            text = os.environ.get(TOKEN_VARIABLE, "").strip()
        if not text:
            raise ClientFault(f"set {TOKEN_VARIABLE} to the agent's token, or give --token-file")
        return Secret(text)


_options = place.gathered(
    "way",
    lambda given: Way(given.pop("url"), given.pop("state"), given.pop("token_file"), given.pop("keep", False)),
    click.option(
        "--token-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help=f"The agent's token, read each time.  [default: ${TOKEN_VARIABLE}]",
    ),
    click.option(
        "--url", envvar=URL_VARIABLE, metavar="URL", help="Where to ask.  [default: the local `blastwall up`]"
    ),
    place.state_option,
)


@click.group(short_help="AWS credentials that end with a session.")
def command() -> None:
    """AWS credentials that end with a session: roles of gateway.yaml (aws_roles), for an agent's token.

    No AWS credentials are needed to ask.
    """


@command.command("creds")
@click.argument("role", required=False)
@click.option("--from", "source", type=click.Path(path_type=Path), hidden=True, help="Ask a running `aws run`.")
@click.option("--keep", is_flag=True, help="Keep them in a file of yours alone, and print them again while they last.")
@_options
def creds(role: str | None, source: Path | None, way: Way) -> None:
    """Print credentials of ROLE as a credential_process prints them.

    \b
    [profile agent]
    credential_process = blastwall aws creds ROLE
    """
    if source is not None:
        click.echo(_ask(source))
        return
    if role is None:
        raise click.UsageError("name the role")
    click.echo(json.dumps((kept if way.keep else obtain)(role, way)["keys"]))


@command.command("run", context_settings={"ignore_unknown_options": True})
@click.argument("role")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED)
@_options
def run(role: str, words: tuple[str, ...], way: Way) -> int:
    """Run a command with ROLE's credentials, and no others: blastwall aws run ROLE -- aws s3 ls."""
    pocket = Pocket(lambda: obtain(role, way))
    region = str(pocket.get().get("region", ""))  # asked before anything runs: a refusal is told here
    if not REGION.fullmatch(region):  # it stands in a file that could name commands, too
        raise UpstreamFault("whoever gave the credentials names no region: check --url")
    with tempfile.TemporaryDirectory(prefix="blastwall-aws-") as name:
        directory = Path(name)  # 0700: nobody else reaches the socket
        with Desk(directory / "desk", lambda: json.dumps(pocket.get()["keys"])):
            try:
                return subprocess.run(words, env=environment(os.environ, directory, region), check=False).returncode
            except OSError as fault:
                raise ClientFault(f"cannot run {words[0]}: {fault.strerror}") from None


def obtain(role: str, way: Way) -> Mapping[str, Any]:
    """``{keys, region}`` of a role: keys as a credential_process prints them.

    Raises TokenFault, ClientFault when policy says no, UpstreamFault, OurFault.
    """
    address, token = way.address(), way.token()
    headers = {"Authorization": f"Bearer {token.reveal()}", "Content-Type": "application/json"}
    status, body = exchange(address, headers, json.dumps({"role": role}).encode(), timeout=ASK_SECONDS)
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or not ("fault" in answer or isinstance(answer.get("keys"), dict)):
        raise UpstreamFault(f"{address} answered {status}, and nothing that was asked for: check --url")
    fault = answer.get("fault")
    if isinstance(fault, dict) and fault.get("kind") == "policy":
        raise ClientFault(f"{fault.get('message')} {fault.get('hint') or ''}".strip())
    found = raised(answer)
    if left(found) < LEAST_AHEAD:
        raise OurFault("the credentials are about to expire already: check this machine's clock")
    return found


def left(answer: Mapping[str, Any]) -> float:
    """How long the keys of an answer last (seconds); below 0 for what holds none."""
    try:
        text = str(answer["keys"]["Expiration"])
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp() - time.time()
    except (KeyError, TypeError, ValueError):
        return -1.0


class Pocket:
    """Keys in memory, asked for anew before they are too old for an SDK."""

    def __init__(self, obtain: Callable[[], Mapping[str, Any]]) -> None:
        self._obtain = obtain
        self._lock = threading.Lock()
        self._answer: Mapping[str, Any] = {}

    def get(self) -> Mapping[str, Any]:
        with self._lock:
            if left(self._answer) < LEAST_AHEAD:
                self._answer = self._obtain()
            return self._answer


def kept(role: str, way: Way) -> Mapping[str, Any]:
    """As :func:`obtain`, out of a file while it lasts: ``aws`` is a new process each time, and asks each time."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "blastwall" / "aws"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise ClientFault(f"{folder} belongs to somebody else: leave --keep out")
    folder.chmod(0o700)
    about = f"{way.address()}\0{role}\0{token_id(way.token())}"
    file = folder / f"{hashlib.sha256(about.encode()).hexdigest()}.json"
    for old in folder.glob("*.json"):
        if left(_read(old)) <= 0:
            old.unlink(missing_ok=True)
    before = _read(file)
    if left(before) >= LEAST_AHEAD:
        return before
    found = obtain(role, way)
    handle, name = tempfile.mkstemp(dir=folder)  # 0600
    with os.fdopen(handle, "w") as draft:
        draft.write(json.dumps(found))
    Path(name).replace(file)
    return found


def _read(file: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


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
