"""The local stack: certificates, issuer, targets and the gateway, started in this order and stopped in reverse."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from blastwall import registry
from blastwall.config.bundle import Bundle, load_bundle
from blastwall.config.model import Config, TargetSection
from blastwall.errors import ConfigFault, Problem
from rig import account, running
from rig.certificates import Certificates, ensure_certificates
from rig.desk import LocalDesk
from rig.gateway import GatewayProcess, compiled_environment
from rig.hosts import LocalHost, SshKeys
from rig.issuer import LocalIssuer
from rig.ports import why_not
from rig.postgres import RigFault
from rig.running import Running
from rig.targets import LocalTarget

Say = Callable[[str], None]
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that must go on running; ``last_words`` is asked for when it does not."""

    name: str
    runs: Callable[[], bool]
    last_words: Callable[[], str]


class LocalStack:
    """Everything that ``blastwall up`` runs. Use as a context manager, or call :meth:`stop`.

    ``listen`` overrides addresses of gateway.yaml: protocol -> host:port, port 0 for a free one. ``say`` gets a line of
    progress at a time.
    """

    def __init__(
        self, config: Path, state: Path, *, listen: Mapping[str, str] | None = None, say: Say = lambda line: None
    ) -> None:
        self.config = config
        self.state = state
        self._listen = dict(listen or {})
        self._say = say
        self._parts: list[Part] = []
        self.targets: list[LocalTarget | LocalHost] = []  # those it started itself
        self._stack = ExitStack()
        self.running: Running | None = None

    def start(self) -> Running:
        """Start everything. Raises ConfigFault, or RigFault naming the part that did not start; then nothing runs."""
        try:
            self.running = self._start()
        except BaseException:
            self.stop()
            raise
        return self.running

    def stop(self) -> None:
        """Stop everything in reverse order, and all of it even when a part fails to. Raises the last failure."""
        self._parts.clear()
        self._stack.close()

    def __enter__(self) -> LocalStack:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def check(self) -> None:
        """Raises RigFault naming the part that stopped by itself, with its last words."""
        for part in self._parts:
            if not part.runs():
                raise RigFault(f"{part.name} stopped by itself:\n{part.last_words()}")

    def reload(self) -> None:
        """Have the gateway read its configuration again."""
        self.gateway.reload()

    def _start(self) -> Running:
        bundle = load_bundle(self.config, {"listen": self._listen} if self._listen else None, origin="--listen")
        self._lock()
        for protocol, place in bundle.config.listen.items():
            _refuse_taken(protocol, place.host, place.port)
        certificates = ensure_certificates(self.state / "tls", time.time())
        issuer = self._begin("issuer", lambda: LocalIssuer.open(self.state))
        self._begin("issuer", issuer.serve)
        self._stack.callback(issuer.stop)
        targets = self.targets
        ssh = SshKeys.ensure(self.state / "ssh") if "ssh" in bundle.config.listen else None
        for name, section in bundle.config.targets.items():
            if section.local is not None:
                target = self._target(name, section, certificates, ssh)
                remark = self._begin(f"target {name}", target.start)
                self._stack.callback(target.server.stop)
                self._watch(f"target {name}", target.running, target.server.last_words)
                self._say(remark)
                targets.append(target)
        overrides: dict[str, object] = {
            "listen": self._listen,
            "tls": {"certificate": str(certificates.certificate.resolve()), "key": str(certificates.key.resolve())},
            "insecure_local": False,
            "identity": {"issuers": [_issuer(bundle.config, issuer)]},
            "targets": {target.name: target.overrides() for target in targets},
        }
        if ssh is not None:
            overrides["protocols"] = {"ssh": ssh.overrides()}
        file = self.state / "overrides.json"
        account.write_private(file, json.dumps(overrides, indent=2).encode())
        # Problems are told here, not in the gateway's log.
        _check_masking(load_bundle(self.config, overrides, origin=str(file)), targets)
        # The build that ships is compiled; BLASTWALL_COMPILED=1 runs it, for tests and for who wants the speed here.
        compiled = os.environ.get("BLASTWALL_COMPILED") == "1"
        environ = compiled_environment(Path(__file__).parents[1], os.environ) if compiled else None
        self.gateway = GatewayProcess(self.config, self.state, file, self.state / "gateway.log", environ)
        self._stack.callback(self._stop_gateway)
        self._begin("the gateway", self.gateway.start)
        self._watch("the gateway", lambda: self.gateway.running, self.gateway.last_words)
        desk = self._begin(
            "the approval page",
            lambda: LocalDesk(self.config, self.state, file, issuer, bundle.config.approvals, self._say),
        )
        self._begin("the approval page", desk.start)
        self._stack.callback(desk.stop)
        found = Running(
            pid=os.getpid(),
            config=str(self.config.resolve()),
            listening=self.gateway.listening,
            ca=str(certificates.ca.resolve()),
            targets={
                name: {"protocol": section.protocol, "database": _database(name, section.options)}
                for name, section in bundle.config.targets.items()
            },
            page=desk.origin,
        )
        running.write(self.state, found)
        self._stack.callback(running.remove, self.state)
        return found

    def _target(
        self, name: str, section: TargetSection, certificates: Certificates, ssh: SshKeys | None
    ) -> LocalTarget | LocalHost:
        directory = self.state / "targets" / name
        if section.protocol == "ssh" and ssh is not None:
            return LocalHost(name, section, config=self.config, directory=directory, keys=ssh)
        return LocalTarget(name, section, config=self.config, directory=directory, certificates=certificates)

    def _begin(self, part: str, start: Callable[[], Made]) -> Made:
        try:
            return start()
        except OSError as fault:
            raise RigFault(f"{part} did not start: {fault}") from fault

    def _watch(self, name: str, runs: Callable[[], bool], last_words: Callable[[], str]) -> None:
        self._parts.append(Part(name, runs, last_words))

    def _stop_gateway(self) -> None:
        ran = self.gateway.running  # if not, that is what we are stopping for, and it was told
        status = self.gateway.stop()
        if ran and status:
            raise RigFault(f"the gateway ended with status {status}:\n{self.gateway.last_words()}")

    def _lock(self) -> None:
        """One stack at a time uses a state directory; the lock ends with this process, however that ends."""
        try:
            self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.state / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as fault:
            raise RigFault(
                f"the state directory {self.state} cannot be used: {fault.strerror}; choose another --state"
            ) from fault
        self._stack.callback(os.close, handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RigFault(f"another `blastwall up` uses {self.state}: stop it, or choose another --state") from None


def _refuse_taken(protocol: str, host: str, port: int) -> None:
    """Told before anything is started. Who takes the port later on is told of by the gateway itself."""
    problem = why_not(host, port)
    if problem is not None:
        other = "--port 0 takes any free one" if protocol == "postgres" else f"give listen.{protocol} another address"
        raise RigFault(f"cannot listen on {host}:{port}: {problem}; stop what does, or {other}")


def _check_masking(bundle: Bundle, targets: Sequence[LocalTarget | LocalHost]) -> None:
    """Masking rules must fit the databases that were just started: names that exist, strategies that fit the types.

    Raises ConfigFault with every problem. A rule for one database of several says so (``database``).
    """
    problems: list[Problem] = []
    for target in targets:
        rules = bundle.targets[target.name].masking
        if rules is None or not isinstance(target, LocalTarget):
            continue
        read = registry.read_catalogue(target.protocol)
        for database in target.databases:
            problems += rules.problems(read(f"{target.server.dsn(database)}?sslmode=require", None))
    if problems:
        raise ConfigFault(tuple(dict.fromkeys(problems)))


def _issuer(config: Config, issuer: LocalIssuer) -> dict[str, object]:
    """The configuration's first issuer with its rules for claims and times, but the local one's name and keys."""
    first = config.identity.issuers[0].model_dump(mode="json")
    return first | {"issuer": issuer.issuer, "audience": issuer.audience, "jwks_url": None, "algorithms": ["ES256"]}


def _database(name: str, options: Mapping[str, object]) -> str:
    """The database that clients of the target open unless they say otherwise."""
    databases = options.get("databases")
    return str(databases[0]) if isinstance(databases, (list, tuple)) and databases else name
