"""Running gateways for the tests: as ``blastwall up`` starts them, with the database behind them in reach."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import yaml

from blastwall.local.recordings import Entry, Shelf
from blastwall.recording.play import json_lines, records_to_the_end
from blastwall.recording.reader import Reader
from cli.recordings import decoder
from rig.issuer import LocalIssuer
from rig.up import LocalStack

ROOT = Path(__file__).parents[2]
COMMAND_SECONDS = 60.0
SETTLED_SECONDS = 3.0

Change = Callable[[dict[str, Any]], None]


@dataclass
class Stack:
    """One gateway and its local targets. ``target`` is the one that methods without a target mean."""

    target: str
    state: Path
    config: Path
    host: str
    port: int
    ca: str
    issuer: LocalIssuer
    local: LocalStack
    servers: Mapping[str, tuple[str, int]]
    databases: Mapping[str, str]
    protocol: str = "postgres"
    agents: Iterator[int] = field(default_factory=lambda: iter(range(1, 1_000_000)))

    # the agents' side

    def token(self, agent: str = "", groups: tuple[str, ...] = ("agents",), **more: Any) -> str:
        """A token of a new agent, so that no test meets another's session; name one to share it."""
        return self.issuer.mint(agent or f"agent-{next(self.agents)}", groups, **more)

    def uri(self, *, target: str = "", database: str = "", **more: object) -> str:
        """Where clients of libpq's kind connect, without the token."""
        target = target or self.target
        words = {"sslmode": "verify-full", "sslrootcert": self.ca} | more
        query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in words.items())
        return f"postgresql://{target}@{self.host}:{self.port}/{database or self.databases.get(target, target)}?{query}"

    def environ(self, token: str, *, target: str = "") -> dict[str, str]:
        """libpq's environment variables."""
        target = target or self.target
        return {
            "PGHOST": self.host, "PGPORT": str(self.port), "PGUSER": target, "PGDATABASE": self.databases[target],
            "PGPASSWORD": token, "PGSSLMODE": "verify-full", "PGSSLROOTCERT": self.ca, "PGCLIENTENCODING": "UTF8",
        }  # fmt: skip

    def connect(self, token: str = "", *, target: str = "", **more: Any) -> psycopg.Connection[Any]:
        """psycopg through the gateway, by default as a new agent."""
        return psycopg.connect(
            self.uri(target=target), password=token or self.token(), **{"connect_timeout": 10} | more
        )

    # the truth behind the gateway

    def superuser(self, *, target: str = "") -> str:
        """The URI of the database's own superuser, past the gateway."""
        target = target or self.target
        host, port = self.servers[target]
        word = (self.state / "targets" / target / "superuser.password").read_text()
        return f"postgresql://postgres:{quote(word, safe='')}@{host}:{port}/{target}"

    def own(self, *, target: str = "") -> dict[str, Any]:
        """How to log in past the gateway with a session's rights: host, port, dbname, user, password."""
        target = target or self.target
        host, port = self.servers[target]
        section = yaml.safe_load((self.config / "gateway.yaml").read_text())["targets"][target]
        (file,) = (self.state / "targets" / target).glob("role-*.password")
        if section["credential"]["kind"] == "role":
            return {"host": host, "port": port, "dbname": target} | self._beside(section["credential"]["profile"])
        user = section["credential"]["user"]
        return {"host": host, "port": port, "dbname": target, "user": user, "password": file.read_text()}

    def _beside(self, profile: str) -> dict[str, str]:
        """A login like a session's own, for as long as the database lives."""
        user = f"beside_{profile}"
        if not self.value("SELECT count(*) FROM pg_roles WHERE rolname = %s", user):
            self.direct(f"CREATE ROLE {user} LOGIN PASSWORD 'beside' IN ROLE {profile}")
            self.direct(f"ALTER ROLE {user} SET role = '{profile}'")
        return {"user": user, "password": "beside"}

    def direct(self, sql: str, *arguments: object, target: str = "") -> list[tuple[Any, ...]]:
        """Ask the database past the gateway."""
        with psycopg.connect(self.superuser(target=target), autocommit=True) as connection:
            cursor = connection.execute(sql.encode(), arguments or None)
            return cursor.fetchall() if cursor.description else []

    def value(self, sql: str, *arguments: object, target: str = "") -> Any:
        """The one value that the database answers past the gateway."""
        ((value,),) = self.direct(sql, *arguments, target=target)
        return value

    # the operator's side

    def blastwall(self, *words: str, code: int = 0) -> str:
        """Run the command line against this stack's state, in a process of its own."""
        command = [sys.executable, "-m", "cli", *words, "--state", str(self.state)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=COMMAND_SECONDS, check=False)
        assert done.returncode == code, f"{words} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def ask(self, *words: str) -> Any:
        """The same, for verbs that answer with one object."""
        (found,) = self.listed(*words)
        return found

    def listed(self, *words: str) -> list[Any]:
        """The same, for verbs that list."""
        return [json.loads(line) for line in self.blastwall(*words, "--format", "json").splitlines()]

    @property
    def gateway(self) -> int:
        """The gateway's process id."""
        return self.local.gateway.pid

    def session(self, agent: str) -> dict[str, Any]:
        """The agent's one live session, as ``blastwall sessions ls`` tells it."""
        (found,) = [row for row in self.listed("sessions", "ls") if row["principal"]["agent"] == agent]
        assert isinstance(found, dict)
        return found

    @property
    def log(self) -> str:
        """What the gateway has said so far."""
        return (self.state / "gateway.log").read_text(errors="replace")

    # the record

    def recordings(self, agent: str = "") -> list[Entry]:
        """Connections' recordings on disk, oldest first; of one agent if named."""
        found = [(entry.summary(), entry) for entry in Shelf(self.state).entries()]
        kept = [
            (float(summary["started_at"]), entry)
            for summary, entry in found
            if str(summary.get("connection")).startswith("c-") and (not agent or summary.get("agent") == agent)
        ]
        return [entry for _, entry in sorted(kept, key=lambda pair: pair[0])]

    def played(self, entry: Entry, rows: int = 1000) -> list[dict[str, Any]]:
        """What playback tells of a recording."""
        with entry.open() as file:
            decode = decoder(self.protocol)
            return [json.loads(line) for line in json_lines(decode(records_to_the_end(Reader(file)), rows=rows))]

    def settled(self, agent: str) -> list[Entry]:
        """As :meth:`recordings`, once none of them is being written any more, or after a while."""
        deadline = time.monotonic() + SETTLED_SECONDS
        while True:
            found = self.recordings(agent)
            if time.monotonic() > deadline or not any(entry.summary()["state"] == "live" for entry in found):
                return found
            time.sleep(0.02)  # another process writes them

    def recorded(self, agent: str) -> list[dict[str, Any]]:
        """What playback tells of all of an agent's recordings, oldest first."""
        return [value for entry in self.settled(agent) for value in self.played(entry)]

    def asked(self, agent: str) -> list[dict[str, Any]]:
        """The statements that an agent's recordings hold, with their verdicts."""
        return [value for value in self.recorded(agent) if value["type"] == "asked"]

    def stop(self) -> None:
        self.local.stop()


def on_the_database_of(shop: Stack, document: dict[str, Any]) -> dict[str, Any]:
    """The shop of a configuration that another stack runs: a target on the first one's database, over TLS."""
    (password,) = (shop.state / "targets" / "shop").glob("role-*.password")
    host, port = shop.servers["shop"]
    target = {name: value for name, value in document["targets"]["shop"].items() if name != "local"}
    return target | {
        "host": host,
        "port": port,
        "credential": {
            "kind": "role",
            "profile": "shop_agent",
            "admin": {"user": "blastwall_admin", "password_file": str(password)},
        },
        "tls": {"mode": "verify-full", "ca_file": shop.ca},
    }


def begin(
    home: Path,
    config: Path,
    target: str,
    change: Change | None = None,
    *,
    protocol: str = "postgres",
    masked: bool = True,
) -> Stack:
    """Copy a configuration folder below ``home``, change its gateway.yaml if wanted, and start everything in it.

    ``masked`` False leaves its masking.yaml out: for tests that hold what a client receives against the database.
    """
    home.mkdir(mode=0o711)
    shutil.copytree(config, home / "config")
    if not masked:
        (home / "config" / "masking.yaml").unlink(missing_ok=True)
    shutil.copytree(ROOT / "demo", home / "demo", ignore=shutil.ignore_patterns("__pycache__"))
    if change is not None:
        file = home / "config" / "gateway.yaml"
        document = yaml.safe_load(file.read_text())
        change(document)
        file.write_text(yaml.safe_dump(document))
    state = home / "state"
    local = LocalStack(home / "config", state, listen={protocol: "127.0.0.1:0"})
    found = local.start()
    host, _, port = found.listening[protocol].rpartition(":")
    sections = json.loads((state / "overrides.json").read_text())["targets"]
    servers = {name: (section["host"], section["port"]) for name, section in sections.items()}
    issuer = LocalIssuer.open(state)
    databases = {name: about["database"] for name, about in found.targets.items()}
    return Stack(target, state, home / "config", host, int(port), found.ca, issuer, local, servers, databases, protocol)
