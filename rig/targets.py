"""Targets that ``blastwall up`` starts itself: an embedded server, its roles, its seed."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from pathlib import Path

from blastwall.config.credentials import AnyCredential, RoleCredential
from blastwall.config.model import TargetSection
from rig import account
from rig.certificates import Certificates
from rig.postgres import EmbeddedPostgres, RigFault, quoted

MAJOR = 17  # the one that speaks TLS: the gateway reaches its local targets as it reaches the others


class LocalTarget:
    """A target with a ``local:`` section, its files under ``directory``; data is kept from one start to the next.

    The databases of its ``options.databases`` are created (one named like the target if there are none), and a role for
    each of its credentials, without any right: the seed, which runs as superuser in the first database, grants them.
    A credential of kind role gets its profile, which cannot log in, and the admin that makes logins with it. ``port`` 0
    takes a free one.
    """

    def __init__(
        self,
        name: str,
        section: TargetSection,
        *,
        config: Path,
        directory: Path,
        certificates: Certificates,
        port: int = 0,
    ) -> None:
        if section.local is None or section.local.engine != "postgres":
            raise RigFault(f"target {name}: only local targets with engine postgres can be started")
        self.name = name
        self.protocol = section.protocol
        named = section.options.get("databases") or [name]
        self.databases: tuple[str, ...] = tuple(str(database) for database in named)
        if "postgres" in self.databases:
            raise RigFault(
                f'target {name}: choose a database of its own: "postgres" is what the server is managed from'
            )
        self.users: tuple[str, ...] = tuple(_login(credential) for credential in section.credential)
        self.server = EmbeddedPostgres(directory, major=MAJOR, port=port, certificates=certificates, durable=True)
        self._credentials = section.credential
        self._directory = directory
        self._certificates = certificates
        self._seed = None if section.local.seed is None else config / section.local.seed

    def start(self) -> str:
        """Start the server, make what is missing. Returns what the operator should know. Raises RigFault."""
        self.server.start()
        try:
            for user in dict.fromkeys(self.users):
                self._make_role(user)
            for credential in self._credentials:
                if isinstance(credential, RoleCredential):
                    self._make_profile(credential.profile, credential.admin.user)
            return self._fill() or f"target {self.name}: PostgreSQL {self.server.major} on port {self.server.port}"
        except BaseException:
            self.server.stop()
            raise

    def running(self) -> bool:
        """Whether its server lives."""
        return self.server.running

    def overrides(self) -> Mapping[str, object]:
        """The target's section as it is here, to be merged over the one in gateway.yaml."""
        credentials = [self._override(credential) for credential in self._credentials]
        tls = {"mode": "verify-full", "ca_file": str(self._certificates.ca.resolve())}
        return {"host": self.server.host, "port": self.server.port, "credential": credentials, "tls": tls}

    def password_file(self, user: str) -> Path:
        """The generated password of one of the credentials' users, 0600."""
        return self._directory / f"role-{hashlib.sha256(user.encode()).hexdigest()[:16]}.password"

    def _make_role(self, user: str) -> None:
        file = self.password_file(user)
        if not file.exists():
            account.write_private(file, secrets.token_urlsafe(24).encode())
        literal = user.replace("'", "''")
        exists = self.server.psql(f"SELECT count(*) FROM pg_roles WHERE rolname = '{literal}'") == "1"  # noqa: S608  # quoted
        verb = "ALTER" if exists else "CREATE"
        self.server.psql(f"{verb} ROLE {quoted(user)} LOGIN PASSWORD '{file.read_text()}'")

    def _override(self, credential: AnyCredential) -> dict[str, object]:
        kept = {"password_file": str(self.password_file(_login(credential)).resolve())}
        if not isinstance(credential, RoleCredential):
            return {"kind": "static", "user": credential.user, **kept}
        given = credential.model_dump(mode="json", exclude={"admin", "rds", "login"})
        return {**given, "admin": {"user": credential.admin.user, **kept}}

    def _make_profile(self, profile: str, admin: str) -> None:
        """What docs/credentials.md has an operator do: the least that the admin needs."""
        literal = profile.replace("'", "''")
        if self.server.psql(f"SELECT count(*) FROM pg_roles WHERE rolname = '{literal}'") == "0":  # noqa: S608  # quoted
            self.server.psql(f"CREATE ROLE {quoted(profile)} NOLOGIN")
        self.server.psql(
            f"ALTER ROLE {quoted(admin)} CREATEROLE; "
            f"GRANT {quoted(profile)} TO {quoted(admin)} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
        )

    def _fill(self) -> str:
        """Fill the databases once. The mark is written last: an interrupted seed is begun again from nothing."""
        mark = self.server.workplace / "seeded"  # beside the data: they go together
        seed = b"" if self._seed is None else _content(self._seed, self.name)
        digest = hashlib.sha256(seed).hexdigest()
        if mark.exists():
            if mark.read_text() == digest:
                return ""
            return f"target {self.name}: the seed has changed; to load it again, remove {self._directory}"
        for database in self.databases:
            self.server.drop_database(database)
            self.server.create_database(database)
        if self._seed is not None:
            self.server.load(self._seed, database=self.databases[0])
        mark.write_text(digest)
        return ""


def _login(credential: AnyCredential) -> str:
    """The user that the gateway logs in as by itself."""
    return credential.admin.user if isinstance(credential, RoleCredential) else credential.user


def _content(seed: Path, name: str) -> bytes:
    try:
        return seed.read_bytes()
    except OSError as missing:
        raise RigFault(f"target {name}: cannot read its seed {seed}: {missing.strerror}") from missing
