"""The AWS system on one machine: our stacks, deployed into an emulated account, with gateway tasks in front of it.

What is real here and what is emulated is told in docs/rig.md.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from blastwall.config.bundle import Bundle, load_bundle
from blastwall.config.model import TargetSection
from rig import account
from rig.certificates import ensure_certificates
from rig.cloud.assembly import ROOT, synthesize
from rig.cloud.balancer import Balancer, Place
from rig.cloud.deployment import Deployment
from rig.cloud.emulated import ACCOUNT, REGION, EmulatedAccount
from rig.cloud.environment import ensure_environment
from rig.cloud.task import Task
from rig.issuer import LocalIssuer
from rig.postgres import RigFault
from rig.targets import LocalTarget

CACHE = ROOT / ".cache"
CA_FILE = "rig-ca.pem"
SERVER_SECRET = "blastwall/server"  # noqa: S105  its name
CONTEXT = {"proxy_image": "local/blastwall:1", "topology": "isolated"}
MOUNT = "/mnt/spool"
#: Where the issuer and the targets are if nobody else is there: then what was synthesized before fits again.
ISSUER_PORT, TARGET_PORTS = 14_080, tuple(range(14_081, 14_100))

#: Functions that agents and people wait for.
WARMED = tuple(
    f"blastwall-{name}" for name in ("token-verifier", "credential-vendor", "approval-request", "approval-decide")
)

Say = Callable[[str], None]


class CloudStack:
    """Everything, below ``state`` (a directory of its own, removed by :meth:`stop`). Use as a context manager.

    ``config`` is a configuration directory whose targets have ``local:`` sections; ``overrides`` are merged over its
    gateway.yaml. ``tasks`` gateways are started. ``say`` gets a line of progress at a time.
    """

    def __init__(
        self,
        config: Path,
        state: Path,
        *,
        overrides: Mapping[str, Any] | None = None,
        tasks: int = 2,
        say: Say = lambda line: None,
    ) -> None:
        self.state = state
        self.config = state / "config"
        self._source = config
        self._asked = dict(overrides or {})
        self._count = tasks
        self._say = say
        self._stack = ExitStack()
        self.tasks: list[Task] = []
        self.targets: dict[str, LocalTarget] = {}
        self.balancer = Balancer()
        self.spool = state / "spool"

    def __enter__(self) -> CloudStack:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop everything, in reverse order."""
        self._stack.close()

    def start(self) -> None:
        """Start everything. Raises ConfigFault or RigFault."""
        began = time.monotonic()
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.certificates = ensure_certificates(CACHE / "cloud" / "tls", time.time())
        self._configure()
        with ThreadPoolExecutor() as pool:
            emulator = pool.submit(self._emulate)
            self._identify()
            bundle = load_bundle(self._source)
            for name, section in bundle.config.targets.items():
                if section.local is not None:
                    self._target(name, section)
            self.overrides = self._merged(bundle)
            self._say(f"targets and issuer: {time.monotonic() - began:.1f} s")
            synthesized = pool.submit(synthesize, CACHE / "cloud" / "assemblies", self.config, self.overrides, CONTEXT)
            self.account: EmulatedAccount = emulator.result()
            self.deployment = Deployment(self.account)
            self.deployment.bootstrap()
            self._keep_secrets()
            assembly = synthesized.result()
        self._say(f"synthesized: {time.monotonic() - began:.1f} s")
        self.deploy(assembly)
        self._say(f"deployed: {time.monotonic() - began:.1f} s")
        self.balancer.start()
        self._stack.callback(self.balancer.stop)
        self._stack.callback(self._stop_tasks)
        with ThreadPoolExecutor() as pool:
            warmed = pool.map(self._warm, WARMED)
            list(pool.map(lambda _: self.start_task(), range(self._count)))
            list(warmed)
        self._say(f"{self._count} tasks ready: {time.monotonic() - began:.1f} s")

    def check(self) -> None:
        """Raises RigFault naming the part that stopped by itself, with its last words."""
        for target in self.targets.values():
            if not target.running():
                raise RigFault(f"target {target.name} stopped by itself:\n{target.server.last_words()}")
        for process in [self.account.process, *(task.process for task in self.tasks)]:
            if process is not None and not process.running:
                raise RigFault(f"{process.name} stopped by itself:\n{process.last_words()}")

    def deploy(self, assembly: Path) -> None:
        """Deploy an assembly, the first or a changed one."""
        self.deployment.deploy(assembly, {"ServerCertificateArn": self._server_secret})

    def start_task(self, changed: Mapping[str, str] | None = None) -> Task:
        """Start one more task of the deployed definition, and send connections to it, too.

        ``changed`` variables replace those of the definition.
        """
        definition = self.deployment.of_type("Gateway", "AWS::ECS::TaskDefinition")[0]
        task = Task(self.account, definition, self.state / "tasks", {"spool": self.spool}, changed)
        self.tasks.append(task)
        task.start()
        self.balancer.places = (*self.balancer.places, place_of(task))
        return task

    def _warm(self, function: str) -> None:
        """Have a function start before an agent waits for it; it answers that nothing was asked."""
        self.account.client("lambda").invoke(FunctionName=function, Payload="{}")

    def _stop_tasks(self) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(Task.stop, self.tasks))

    def _emulate(self) -> EmulatedAccount:
        python = ensure_environment(CACHE / "emulator")
        self.spool.mkdir(mode=0o700)
        emulated = EmulatedAccount(python, self.state, {MOUNT: self.spool}, self.certificates)
        emulated.start()
        self._stack.callback(emulated.stop)
        return emulated

    def _configure(self) -> None:
        """The operator's configuration and, beside it, the authority that the targets' certificates are of."""
        shutil.copytree(self._source, self.config)
        shutil.copyfile(self.certificates.ca, self.config / CA_FILE)

    def _identify(self) -> None:
        self.issuer = LocalIssuer.open(self.state, port=ISSUER_PORT)
        self.issuer.serve()
        self._stack.callback(self.issuer.stop)

    def _target(self, name: str, section: TargetSection) -> None:
        """At its usual port; at any other one when somebody is there."""
        directory = self.state / "targets" / name
        for port in (TARGET_PORTS[len(self.targets) % len(TARGET_PORTS)], 0):
            target = LocalTarget(
                name, section, config=self._source, directory=directory, certificates=self.certificates, port=port
            )
            try:
                target.start()
            except RigFault as fault:
                if not port or "already in use" not in str(fault):
                    raise
                continue
            self._stack.callback(target.server.stop)
            self.targets[name] = target
            return

    def _merged(self, bundle: Bundle) -> dict[str, Any]:
        """What differs from the operator's gateway.yaml: where targets and the issuer are, and where passwords are."""
        first = bundle.config.identity.issuers[0].model_dump(mode="json")
        local = {"issuer": self.issuer.issuer, "jwks_url": f"{self.issuer.issuer}/jwks.json", "algorithms": ["ES256"]}
        targets = {}
        for name, target in self.targets.items():
            section: dict[str, Any] = dict(target.overrides())
            section["tls"] = {"mode": "verify-full", "ca_file": CA_FILE}
            section["networks"] = ["127.0.0.1/32"]
            section["credential"] = [_secret(name, one) for one in section["credential"]]
            targets[name] = section
        return {"identity": {"issuers": [first | local]}, "targets": targets, **self._asked}

    def _keep_secrets(self) -> None:
        """The passwords of targets, and the gateway's certificate, in Secrets Manager."""
        secrets_manager = self.account.client("secretsmanager")
        for name, target in self.targets.items():
            for user in target.users:
                text = json.dumps({"username": user, "password": target.password_file(user).read_text()})
                secrets_manager.create_secret(Name=secret_name(name, user), SecretString=text)
        pair = {
            "certificate": self.certificates.certificate.read_text(),
            "key": self.certificates.key.read_text(),
        }
        made = secrets_manager.create_secret(Name=SERVER_SECRET, SecretString=json.dumps(pair))
        self._server_secret = made["ARN"]


@contextmanager
def alone(state: Path) -> Iterator[Path]:
    """A new directory below ``state`` for one stack, removed afterwards. Raises RigFault when another one uses it."""
    home = state / "cloud"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(state / "cloud.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RigFault(f"another `blastwall up --cloud` uses {state}: stop it, or choose another --state") from None
        if home.exists():
            account.remove_tree(home)
        yield home
        account.remove_tree(home)
    finally:
        os.close(handle)


def place_of(task: Task) -> Place:
    """Where the load balancer reaches a task."""
    host, _, port = task.listening["postgres"].rpartition(":")
    return Place(host, int(port), task.health_port)


def secret_name(target: str, user: str) -> str:
    """What the secret with a target user's password is called."""
    return f"blastwall/{target}/{user}"


def _secret(target: str, credential: Mapping[str, Any]) -> dict[str, Any]:
    """A credential section whose password is in Secrets Manager instead of a file."""
    made = dict(credential)
    kept = dict(made.get("admin", made))
    kept.pop("password_file")
    name = secret_name(target, kept["user"])
    kept["secret_arn"] = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-{name_suffix(name)}"
    return {**made, "admin": kept} if "admin" in made else kept


def name_suffix(name: str) -> str:
    """The six characters that the emulator's Secrets Manager adds (rig/cloud/emulator/gaps.py)."""
    return hashlib.sha256(name.encode()).hexdigest()[:6]
