"""A real OpenSSH server on loopback, as an unprivileged user whose home directory is the rig's own.

sshd lets a process that is not root log in only the user it runs as. nss_wrapper (BSD licence, preloaded into sshd
alone) gives that user a name, a home below ``directory`` and ``/bin/sh``, so that root and ordinary users get the same
host, and nobody's own home is touched.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from rig import account, warden
from rig.debian import unpacked
from rig.postgres import RigFault

USER = "deploy"
START_SECONDS = 10.0
STOP_SECONDS = warden.GRACE_SECONDS + warden.QUIT_SECONDS + 5.0
PACKAGES = ("openssh-server", "openssh-sftp-server", "libwrap0", "libnss-wrapper")
#: Below the repository, like everything that is fetched once.
CACHE = Path(__file__).parents[1] / ".cache" / "debian"

_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {place}/host_key
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile {place}/authorized_keys
TrustedUserCAKeys {place}/user_ca.pub
Subsystem sftp {sftp}
LogLevel VERBOSE
MaxStartups 100
MaxSessions 100
"""


class OpenSshServer:
    """``start`` returns when it accepts connections; it ends with :meth:`stop`, or when this process is gone."""

    def __init__(self, directory: Path, *, trusted_ca: str, host_key: bytes) -> None:
        """``trusted_ca`` is the public key (one line) whose certificates open :data:`USER`; ``host_key`` a private key
        in OpenSSH's form."""
        self.host = "127.0.0.1"
        self.port = 0
        self.pid = 0
        self.home = Path()
        self._directory = directory
        self._trusted = trusted_ca
        self._host_key = host_key
        self._process: subprocess.Popen[bytes] | None = None
        self._place = Path()

    def start(self) -> OpenSshServer:
        """Raises RigFault with what sshd said."""
        owner = account.unprivileged()
        self._directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._directory.chmod(0o711)
        self._place = place = account.reachable_directory(self._directory, owner)
        self.home = place / "home"
        self.home.mkdir(mode=0o700, exist_ok=True)
        if owner is not None:
            os.chown(self.home, owner.uid, owner.gid)
        programs = _programs(place)
        if self.port == 0:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = int(probe.getsockname()[1])
        uid, gid = (os.geteuid(), os.getegid()) if owner is None else (owner.uid, owner.gid)
        users = f"{USER}:x:{uid}:{gid}:{USER}:{self.home}:/bin/sh\nsshd:x:65533:65533::/nonexistent:/bin/false\n"
        config = _CONFIG.format(port=self.port, place=place, sftp=programs / "sftp-server")
        for name, content in (
            ("sshd_config", config.encode()),
            ("host_key", self._host_key),
            ("authorized_keys", b""),
            ("user_ca.pub", self._trusted.encode() + b"\n"),
            ("passwd", users.encode()),
            ("group", f"{USER}:x:{gid}:\n".encode()),
        ):
            account.write_private(place / name, content, owner)
        environment = {
            "PATH": os.defpath,
            "LD_LIBRARY_PATH": str(programs),
            "LD_PRELOAD": str(programs / "libnss_wrapper.so"),
            "NSS_WRAPPER_PASSWD": str(place / "passwd"),
            "NSS_WRAPPER_GROUP": str(place / "group"),
        }
        command = ["env", *(f"{name}={value}" for name, value in environment.items())]
        command += [str(programs / "sshd"), "-D", "-e", "-f", str(place / "sshd_config")]
        with (self._directory / "sshd.log").open("ab") as log:
            self._began = log.tell()
            self._process = subprocess.Popen(
                warden.command(
                    command,
                    uid=-1 if owner is None else uid,
                    gid=-1 if owner is None else gid,
                    end_with=signal.SIGTERM,
                ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                env={"PATH": os.defpath},
                start_new_session=True,
            )
        assert self._process.stdout is not None
        self.pid = int(self._process.stdout.readline() or 0)
        try:
            self._await_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End it and every session of it. Raises RigFault when it does not end."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            warden.end(process, STOP_SECONDS)
        except subprocess.TimeoutExpired as late:
            raise RigFault(f"sshd did not stop within {STOP_SECONDS:.0f} s (pid {self.pid})") from late

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def last_words(self, lines: int = 20) -> str:
        """The end of what this run wrote to its log."""
        try:
            with (self._directory / "sshd.log").open("rb") as log:
                log.seek(self._began)
                return "\n".join(log.read().decode(errors="replace").split("\n")[-lines:])
        except OSError:
            return ""

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if not self.running:
                raise RigFault(f"sshd did not start:\n{self.last_words()}")
            try:
                with socket.create_connection((self.host, self.port), timeout=1) as probe:
                    probe.settimeout(5)
                    if probe.recv(4).startswith(b"SSH"):
                        return
            except OSError:
                time.sleep(0.02)
        raise RigFault(f"sshd was not ready within {START_SECONDS:.0f} s:\n{self.last_words()}")


def _programs(place: Path) -> Path:
    """Where sshd, its sftp-server and libraries are: copies that the account can run."""
    found = unpacked(PACKAGES, CACHE)
    programs = place / "programs"
    programs.mkdir(mode=0o755, exist_ok=True)
    wanted = [found / "usr/sbin/sshd", found / "usr/lib/openssh/sftp-server"]
    wanted += [
        *found.glob("usr/lib/*/libnss_wrapper.so"),
        *found.glob("*/*/libwrap.so.0"),
        *found.glob("usr/lib/*/libwrap.so.0"),
    ]
    for source in wanted:
        copy = programs / source.name
        if not copy.exists():
            shutil.copy(source.resolve(), copy)
            copy.chmod(0o755)
    return programs
