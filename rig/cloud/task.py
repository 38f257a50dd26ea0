"""The gateway as ECS would start it: from the task definition that was deployed, as a process of this machine.

What the container would see is made as it says: its environment; its secrets, read with the execution role; keys of
the task role from the container's endpoint; volumes, as directories: a path of the environment that lies below a mount
point is the directory's here. Two things differ, for tasks share one address: the listeners' and the health port.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rig.child import Child
from rig.cloud.emulated import ROOT, EmulatedAccount
from rig.postgres import RigFault

READY_SECONDS = 60.0
LOOPBACK = "127.0.0.1"
#: Below what the system gives to outgoing connections, so that nobody takes a port between the choice and its use.
PORTS = range(15_000, 30_000)
TRIES = 5
CONTAINER = "proxy"
PASSED = ("PATH", "LANG", "TZ")


class Task:
    """One task of a task definition (its ARN), with its files below ``directory``; ``volumes`` by name (the spool) are
    shared with others, what is not named there is the task's own. ``changed`` variables replace the definition's.
    """

    def __init__(
        self,
        account: EmulatedAccount,
        definition: str,
        directory: Path,
        volumes: Mapping[str, Path],
        changed: Mapping[str, str] | None = None,
    ) -> None:
        self.id = uuid.uuid4().hex
        self.directory = directory / self.id
        self.health_port = 0
        self._account = account
        self._volumes = volumes
        self._changed = dict(changed or {})
        found = account.client("ecs").describe_task_definition(taskDefinition=definition)["taskDefinition"]
        self.role = found["taskRoleArn"]
        self._starter = found["executionRoleArn"]
        self.container: Mapping[str, Any] = next(
            one for one in found["containerDefinitions"] if one["name"] == CONTAINER
        )
        self.process: Child | None = None

    @property
    def listening(self) -> Mapping[str, str]:
        """Protocol -> host:port, where PROXY protocol is expected."""
        assert self.process is not None
        found: Mapping[str, str] = self.process.told["listening"]
        return found

    @property
    def spool(self) -> Path:
        return self._volumes["spool"]

    def start(self) -> None:
        """Returns when it accepts connections. Raises RigFault with what it said."""
        self.directory.mkdir(mode=0o700, parents=True)
        for attempt in range(1, TRIES + 1):
            self.health_port = _free_port()
            process = Child("a gateway task", *self._command(), self.directory / "gateway.log", ROOT)
            try:
                process.start(READY_SECONDS)
            except RigFault:
                if attempt == TRIES or "Address already in use" not in process.last_words():
                    raise
                continue
            self.process = process
            self._check()
            return

    def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL when it does not drain within the warden's ten seconds."""
        if self.process is not None:
            self.process.stop()

    def kill(self) -> None:
        """As when its machine is lost."""
        if self.process is not None:
            self.process.signal(signal.SIGKILL)

    def drain(self) -> None:
        """As when ECS stops it."""
        assert self.process is not None
        self.process.signal(signal.SIGTERM)

    def environment(self) -> dict[str, str]:
        """What the container would have, with paths as they are here."""
        given = {item["name"]: item["value"] for item in self.container["environment"]}
        mounts = {item["containerPath"]: self._place(item["sourceVolume"]) for item in self.container["mountPoints"]}
        for place in mounts.values():
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, value in given.items():
            for path, place in mounts.items():
                if value == path or value.startswith(f"{path}/"):
                    given[name] = str(place) + value[len(path) :]
        secrets = self._account.client("secretsmanager", self._account.task_keys(self._starter))
        for item in self.container["secrets"]:
            arn, member = _named(item["valueFrom"])
            text = secrets.get_secret_value(SecretId=arn)["SecretString"]
            given[item["name"]] = json.loads(text)[member] if member else text
        return given

    def _command(self) -> tuple[list[str], dict[str, str]]:
        environ = {name: os.environ[name] for name in PASSED if name in os.environ}
        environ |= self.environment()
        environ |= self._account.task_environment(self.role)
        overrides = self.directory / "overrides.json"
        protocols = [item["name"] for item in self.container["portMappings"] if item["name"] != "health"]
        overrides.write_text(json.dumps({"listen": dict.fromkeys(protocols, f"{LOOPBACK}:0")}))
        environ["BLASTWALL_HEALTH_PORT"] = str(self.health_port)
        environ["BLASTWALL_OVERRIDES"] = str(overrides)
        environ |= self._changed
        return [sys.executable, "-m", "fargate_proxy"], environ

    def _place(self, volume: str) -> Path:
        return self._volumes.get(volume, self.directory / volume)

    def _check(self) -> None:
        for protocol, address in self.listening.items():
            if not address.startswith(f"{LOOPBACK}:"):
                self.stop()
                raise RigFault(f"a gateway task listens for {protocol} at {address}, not on loopback only")


def _named(reference: str) -> tuple[str, str]:
    """The ARN of a secret, and which member of its JSON object is meant ("": all of it)."""
    parts = reference.split(":")
    return ":".join(parts[:7]), parts[7] if len(parts) > 7 else ""


def _free_port() -> int:
    for _ in range(1000):
        port = random.choice(PORTS)  # noqa: S311  not a secret
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise RigFault("no port is free")
