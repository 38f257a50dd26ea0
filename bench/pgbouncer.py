"""PgBouncer (ISC licence), the peer that the gateway's figures are held against. Only benchmarks use it.

Found in this order: ``$PGBOUNCER``, the PATH (Debian's package puts it into /usr/sbin), and else Debian's package
fetched with ``apt-get download`` into the cache directory with the libraries that the machine lacks; no rights needed.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from bench.pgbench import BenchFault
from rig import account, warden
from rig.certificates import Certificates

FETCH_SECONDS = 120.0
START_SECONDS = 10.0
STOP_SECONDS = warden.GRACE_SECONDS + warden.QUIT_SECONDS + 5.0
#: Libraries every Debian machine has, and which must be the ones its loader was made for.
OURS_ALREADY = frozenset({"libc6", "libgcc-s1"})

_CONFIG = """\
[databases]
{database} = host={host} port={server_port} dbname={database}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {place}/users.txt
pool_mode = session
default_pool_size = 100
max_client_conn = 500
ignore_startup_parameters = extra_float_digits
logfile = {place}/pgbouncer.log
pidfile =
server_tls_sslmode = disable
client_tls_sslmode = allow
client_tls_cert_file = {place}/server.pem
client_tls_key_file = {place}/server.key
"""


def find(cache: Path) -> Path:
    """The program, fetched when the machine has none. Raises BenchFault saying what to do."""
    named = os.environ.get("PGBOUNCER")
    if named is not None:
        if shutil.which(named) is None:
            raise BenchFault(f"$PGBOUNCER names {named}, which cannot be run")
        return Path(named)
    known = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
    if known is not None:
        return Path(known)
    unpacked = cache / "pgbouncer"
    program = unpacked / "usr" / "sbin" / "pgbouncer"
    if not program.exists():
        _fetch(unpacked)
    return program


def libraries(program: Path) -> str:
    """What LD_LIBRARY_PATH must hold for ``program``: the directories unpacked beside it, "" for an installed one."""
    root = program.parent.parent
    if root.name != "usr" or root == Path("/usr"):
        return ""
    return ":".join(sorted({str(file.parent) for file in root.rglob("*.so.*")}))


def wanted_libraries(depends: str) -> list[str]:
    """The library packages in a Debian ``Depends`` field: the first of alternatives, without versions."""
    names = [re.split(r"[ (|:]", item.strip(), maxsplit=1)[0] for item in depends.split(",")]
    return [name for name in names if name.startswith("lib") and name not in OURS_ALREADY]


def _fetch(unpacked: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise BenchFault("there is no PgBouncer here: install it, or name the program in $PGBOUNCER")
    partial = unpacked.with_name("pgbouncer.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _download("pgbouncer", partial)
    (archive,) = partial.glob("pgbouncer_*.deb")
    depends = _run(["dpkg-deb", "--field", archive.name, "Depends"], partial)
    for name in wanted_libraries(depends):
        state = subprocess.run(["dpkg", "-s", name], capture_output=True, check=False, timeout=FETCH_SECONDS)
        if state.returncode != 0:
            _download(name, partial)
    for package in sorted(partial.glob("*.deb")):
        _run(["dpkg", "-x", package.name, "."], partial)
    partial.rename(unpacked)


def _download(package: str, place: Path) -> None:
    try:
        _run(["apt-get", "-q", "download", package], place)
    except BenchFault as fault:
        raise BenchFault(f"{fault}\nInstall pgbouncer, or name the program in $PGBOUNCER.") from None


def _run(command: list[str], place: Path) -> str:
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
    if done.returncode != 0:
        raise BenchFault(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
    return done.stdout


class PgBouncer:
    """One process in session mode in front of one server; TLS for the clients that ask for it.

    Clients send their password as it is ("plain"), as they send their token to the gateway: what connecting costs is
    comparable then. As root it runs as the rig's unprivileged account, which must be able to read its files: they are
    put where it can, below ``directory``.
    """

    def __init__(self, program: Path, directory: Path, certificates: Certificates) -> None:
        self.port = 0
        self.pid = 0
        self._program = program
        self._directory = directory
        self._certificates = certificates
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, host: str, port: int, database: str, user: str, password: str) -> None:
        """In front of the server at ``host``:``port``. Raises BenchFault with what it said."""
        owner = account.unprivileged()
        self._directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._directory.chmod(0o711)
        self._place = account.reachable_directory(self._directory, owner)
        program, path = self._install()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        config = _CONFIG.format(place=self._place, port=self.port, host=host, server_port=port, database=database)
        certificates = self._certificates
        for name, content in (
            ("pgbouncer.ini", config.encode()),
            ("users.txt", f'"{user}" "{password}"\n'.encode()),
            ("server.pem", certificates.certificate.read_bytes()),
            ("server.key", certificates.key.read_bytes()),
            ("pgbouncer.log", b""),
        ):
            account.write_private(self._place / name, content, owner)
        uid, gid = (-1, -1) if owner is None else (owner.uid, owner.gid)
        command = [str(program), str(self._place / "pgbouncer.ini")]
        self._process = subprocess.Popen(
            warden.command(command, uid=uid, gid=gid, end_with=signal.SIGTERM),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"PATH": os.defpath, "LD_LIBRARY_PATH": path},
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.pid = int(self._process.stdout.readline() or 0)
        self._await_ready()

    def _install(self) -> tuple[Path, str]:
        """Where the program runs from and its library path: a copy when it was unpacked where the account cannot go."""
        path = libraries(self._program)
        if not path:
            return self._program, ""
        for source in [self._program, *(file for place in path.split(":") for file in Path(place).glob("*.so.*"))]:
            copy = self._place / source.name
            copy.unlink(missing_ok=True)
            shutil.copy(source, copy)
            copy.chmod(0o755)
        return self._place / self._program.name, str(self._place)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        said = (self._place / "pgbouncer.log").read_text(errors="replace")[-2000:]
        self.stop()
        raise BenchFault(f"PgBouncer did not start:\n{said}")

    def stop(self) -> None:
        """Ends it at once; does nothing when it does not run."""
        process, self._process = self._process, None
        if process is not None:
            warden.end(process, STOP_SECONDS)


def version(program: Path) -> str:
    """ "PgBouncer 1.18.0" """
    done = subprocess.run(
        [str(program), "--version"],
        env={"PATH": os.defpath, "LD_LIBRARY_PATH": libraries(program)},
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    return done.stdout.splitlines()[0] if done.stdout else "PgBouncer"
