"""SSH on one machine: the gateway's own keys, and hosts that ``blastwall up`` starts itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from blastwall.config.model import TargetSection
from rig import account
from rig.openssh import USER, OpenSshServer
from rig.postgres import RigFault

MOST_SEED_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SshKeys:
    """Files below a state directory, made on first use and kept: who trusts them goes on doing so."""

    directory: Path

    @classmethod
    def ensure(cls, directory: Path) -> SshKeys:
        """Make what is missing: the gateway's host key with a certificate of its host authority, and the authorities
        that sign for agents and for hosts."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys = cls(directory)
        for name in ("host_ca", "host_key", "user_ca", "upstream_ca"):
            if not (directory / name).exists():
                key = asyncssh.generate_private_key("ssh-ed25519", comment=f"blastwall local {name}")
                account.write_private(directory / name, key.export_private_key("openssh"))
        if not keys.certificate.exists():
            authority = asyncssh.read_private_key(str(directory / "host_ca"))
            signed = authority.generate_host_certificate(
                asyncssh.read_private_key(str(directory / "host_key")).convert_to_public(),
                "blastwall local gateway",
                principals=["localhost", "127.0.0.1", "gateway"],
            )
            keys.certificate.write_bytes(signed.export_certificate("openssh"))
        return keys

    @property
    def certificate(self) -> Path:
        return self.directory / "host_key-cert.pub"

    def public(self, name: str) -> str:
        """One line: the public half of ``host_ca``, ``user_ca`` or ``upstream_ca``."""
        key = asyncssh.read_private_key(str(self.directory / name))
        return key.export_public_key("openssh").decode().strip()

    def overrides(self) -> Mapping[str, str]:
        """``protocols.ssh`` of gateway.yaml."""
        return {
            "host_key": str((self.directory / "host_key").resolve()),
            "host_certificate": str(self.certificate.resolve()),
            "user_ca": str((self.directory / "user_ca").resolve()),
            "upstream_ca": str((self.directory / "upstream_ca").resolve()),
        }


class LocalHost:
    """A target with ``local: {engine: openssh}``: a real OpenSSH server that trusts the gateway's upstream authority.

    ``seed`` is a directory whose files are copied into the home directory when it is still empty.
    """

    def __init__(self, name: str, section: TargetSection, *, config: Path, directory: Path, keys: SshKeys) -> None:
        if section.local is None or section.local.engine != "openssh":
            raise RigFault(f"target {name}: not a local OpenSSH host")
        if any(credential.user != USER for credential in section.credential):
            raise RigFault(f"target {name}: a local host has the one user {USER}; name that in its credential")
        self.name = name
        self.protocol = section.protocol
        self._seed = None if section.local.seed is None else config / section.local.seed
        self._directory = directory
        directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        key_file = directory / "host_key"
        if not key_file.exists():
            account.write_private(key_file, asyncssh.generate_private_key("ssh-ed25519").export_private_key("openssh"))
        self._host_key = asyncssh.read_private_key(str(key_file))
        self.server = OpenSshServer(directory, trusted_ca=keys.public("upstream_ca"), host_key=key_file.read_bytes())

    def start(self) -> str:
        """Start the server and fill its home directory. Returns a remark for the operator, or ""."""
        self.server.start()
        try:
            self._fill()
        except BaseException:
            self.server.stop()
            raise
        return f"target {self.name}: OpenSSH on port {self.server.port}, user {USER}"

    def running(self) -> bool:
        """Whether its server lives."""
        return self.server.running

    @property
    def host_key(self) -> str:
        """The host's public key, without a comment."""
        return " ".join(self._host_key.export_public_key("openssh").decode().split()[:2])

    def overrides(self) -> Mapping[str, object]:
        """The target's section as it is here, to be merged over the one in gateway.yaml."""
        return {
            "host": self.server.host,
            "port": self.server.port,
            "credential": [{"kind": "certificate", "user": USER}],
            "options": {"host_keys": [self.host_key]},
        }

    def _fill(self) -> None:
        if self._seed is None or any(self.server.home.iterdir()):
            return
        owner = account.unprivileged()
        total = 0
        for source in sorted(self._seed.rglob("*")):
            copy = self.server.home / source.relative_to(self._seed)
            if source.is_dir():
                copy.mkdir(exist_ok=True)
            elif source.is_file():
                total += source.stat().st_size
                if total > MOST_SEED_BYTES:
                    raise RigFault(f"target {self.name}: its seed is larger than {MOST_SEED_BYTES} bytes")
                shutil.copyfile(source, copy)
            if owner is not None:
                os.chown(copy, owner.uid, owner.gid)
