"""Stock SSH clients through the gateway, and the host behind it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.stacks import Stack

SECONDS = 40.0


@dataclass
class Agent:
    """An agent with its certificate. ``name`` is what recordings and approvals call it."""

    stack: Stack
    name: str
    directory: Path

    @property
    def options(self) -> list[str]:
        files = {
            "IdentityFile": self.directory / "id_ed25519",
            "CertificateFile": self.directory / "id_ed25519-cert.pub",
            "UserKnownHostsFile": self.directory / "known_hosts",
            "GlobalKnownHostsFile": "/dev/null",
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
        }
        return ["-F", "none", *(word for name, value in files.items() for word in ("-o", f"{name}={value}"))]

    def ssh(self, *words: str, user: str = "web", stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a command on the host with OpenSSH's client."""
        return self.run(["ssh", *self.options, "-p", str(self.stack.port), "-l", user, "127.0.0.1", *words], stdin)

    def sftp(self, *lines: str) -> subprocess.CompletedProcess[bytes]:
        """Run a batch of sftp's own commands; it stops at the first that fails."""
        command = ["sftp", *self.options, "-b", "-", "-P", str(self.stack.port), "web@127.0.0.1"]
        return self.run(command, "".join(f"{line}\n" for line in lines).encode())

    def scp(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        return self.run(["scp", "-q", *self.options, "-P", str(self.stack.port), *words])

    def run(self, command: Sequence[str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(command, input=stdin, capture_output=True, timeout=SECONDS, check=False)

    def process(self, *words: str, options: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """The same client, left running."""
        command = ["ssh", *self.options, *options, "-p", str(self.stack.port), "-l", "web", "127.0.0.1", *words]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def arrive(stack: Stack, directory: Path, groups: tuple[str, ...] = ("agents",)) -> Agent:
    """A new agent that has traded its token for a certificate."""
    name = f"agent-{next(stack.agents)}"
    words = [word for group in groups for word in ("--group", group)]
    stack.blastwall("ssh", "login", "--agent", name, *words, "--directory", str(directory))
    return Agent(stack, name, directory)


def home(stack: Stack) -> Path:
    """The home directory on the host."""
    return stack.state / "targets" / "web" / "server" / "home"
