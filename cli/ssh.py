"""``blastwall ssh``: a certificate for stock ssh clients, and the lines of their configuration that use it."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import click

from blastwall.errors import ClientFault
from blastwall.model import Secret
from cli import door
from cli.strings import parted
from rig import running
from rig.hosts import SshKeys

LOGIN = "login"
KEY, CERTIFICATE, KNOWN = "id_ed25519", "id_ed25519-cert.pub", "known_hosts"
SECONDS = 20.0
DIRECTORY = Path.home() / ".blastwall" / "ssh"


@dataclass(frozen=True, slots=True)
class Files:
    """Where an agent's key, its certificate and the gateway's host authority are kept."""

    directory: Path

    @property
    def options(self) -> list[str]:
        """The options of ssh, scp and sftp that use them and nothing else."""
        settings = {
            "IdentityFile": self.directory / KEY,
            "CertificateFile": self.directory / CERTIFICATE,
            "UserKnownHostsFile": self.directory / KNOWN,
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "yes",
        }
        return [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]


_directory = click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=DIRECTORY,
    show_default=True,
    envvar="BLASTWALL_SSH_DIRECTORY",
    help="Where the key and the certificate are kept.",
)
_known = click.option(
    "--host-ca",
    metavar="KEY",
    help="The gateway's host authority (its public key), for --gateway; a local gateway's is known.",
)


@click.group(short_help="Certificates for stock ssh clients.")
def command() -> None:
    """Use stock ssh, scp, sftp and Ansible through the gateway."""


@command.command(short_help="Trade a token for a certificate.")
@door.way_options
@door.agent_options
@_directory
@_known
def login(
    way: door.Way,
    agent: door.Agent,
    directory: Path,
    host_ca: str | None,
) -> None:
    """Trade a token for a certificate that stock ssh clients show.

    The token is $BLASTWALL_TOKEN or, with a local gateway, one made for --agent. The certificate ends with the token.
    """
    address(way)  # a wrong --state is told before keys are made in it
    token = door.Tokens(way, agent).get()
    files = obtain(way, token, directory, host_ca)
    certificate = asyncssh.read_certificate(str(files.directory / CERTIFICATE))
    left = getattr(certificate, "_valid_before", 0) - time.time()
    click.echo(f"{files.directory / CERTIFICATE}: good for {left / 60:.0f} minutes")
    click.echo("blastwall ssh config prints what ~/.ssh/config needs to use it")


@command.command(short_help="The stanza for ~/.ssh/config.")
@door.way_options
@_directory
def config(way: door.Way, directory: Path) -> None:
    """Print the stanza of ~/.ssh/config that reaches every SSH target through the gateway.

    Then: ssh deploy@web@gateway, scp, sftp, rsync-free tools and Ansible alike.
    """
    host, port = address(way)
    files = Files(directory.absolute())
    lines = ["Host gateway", f"  HostName {host}", f"  Port {port}"]
    settings = files.options[1::2]
    lines += [f"  {setting.replace('=', ' ', 1)}" for setting in settings]
    lines += ["  ForwardAgent no", "  ForwardX11 no"]
    click.echo("\n".join(lines))


def address(way: door.Way) -> tuple[str, int]:
    """Host and port of the gateway's SSH listener. Raises ClientFault when there is none."""
    if way.gateway is not None:
        try:
            return parted(way.gateway)
        except ValueError as fault:
            raise click.UsageError(f"--gateway: {fault}") from None
    found = running.read(way.state)
    if found is None:
        raise ClientFault(f"no gateway runs with the state directory {way.state}: start one with `blastwall up`")
    if "ssh" not in found.listening:
        raise ClientFault("this gateway does not listen for SSH: add listen.ssh to gateway.yaml")
    return parted(found.listening["ssh"])


def obtain(way: door.Way, token: Secret, directory: Path, host_ca: str | None = None) -> Files:
    """Make a key, have the gateway sign it, and keep both with the gateway's host authority. Raises ClientFault."""
    host, port = address(way)
    authority = host_ca or (SshKeys.ensure(way.state / "ssh").public("host_ca") if way.gateway is None else None)
    if authority is None:
        raise click.UsageError("--gateway also needs --host-ca: the line that the stack's output or `up` prints")
    known = f"@cert-authority * {' '.join(authority.split()[:2])}\n"
    key = asyncssh.generate_private_key("ssh-ed25519", comment="blastwall")
    public = key.export_public_key("openssh").decode().strip()
    certificate = asyncio.run(_signed(host, port, known, token, public))
    directory = directory.absolute()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in (
        (KEY, key.export_private_key("openssh")),
        (CERTIFICATE, certificate.encode()),
        (KNOWN, known.encode()),
    ):
        _write(directory / name, content)
    return Files(directory)


def _write(path: Path, content: bytes) -> None:
    """A 0600 file that appears whole."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    partial.replace(path)


async def _signed(host: str, port: int, known: str, token: Secret, public: str) -> str:
    try:
        async with asyncio.timeout(SECONDS):
            connection = await asyncssh.connect(
                host,
                port,
                config=None,
                username=LOGIN,
                password=token.reveal(),
                known_hosts=asyncssh.import_known_hosts(known),
                client_keys=None,
                agent_path=None,
                client_factory=_Listening,
            )
            async with connection:
                done = await connection.run(f"certificate {public}", check=False)
    except asyncssh.PermissionDenied:
        raise ClientFault(f"the gateway does not take this token: {_Listening.heard or 'it gave no reason'}") from None
    except (asyncssh.Error, OSError, TimeoutError) as fault:
        raise ClientFault(f"the gateway at {host}:{port} gave no certificate: {fault}") from None
    if done.exit_status != 0 or not isinstance(done.stdout, str):
        raise ClientFault(f"the gateway gave no certificate: {done.stderr!s:.500}")
    return done.stdout


class _Listening(asyncssh.SSHClient):
    """Keeps what the gateway says before it refuses."""

    heard = ""

    def auth_banner_received(self, msg: str, lang: str) -> None:
        type(self).heard = msg.strip()
