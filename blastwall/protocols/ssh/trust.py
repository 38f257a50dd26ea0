"""What clients and hosts are told so that they trust this listener: lines made of public halves, which it reads.

sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"; sshd_config(5), TrustedUserCAKeys.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.hazmat.primitives.serialization.ssh import SSHCertificate, load_ssh_public_identity

from blastwall.errors import ConfigFault, Problem
from blastwall.protocols.ssh.options import Gateway

PORT = 22  # a known_hosts line names any other in brackets
LARGEST = 16 * 1024


def trust(options: Gateway, address: str, port: int) -> Mapping[str, str]:
    """``known_hosts`` for clients that reach the gateway at ``address``; ``trusted_user_ca_keys`` for its hosts.

    The public half of each key lies beside it with the suffix ``.pub``. A gateway whose host key is signed is known by
    its authority and the names in its certificate. Raises ConfigFault naming a file that is missing or no public key.
    """
    lines = {"known_hosts": f"{_named(address, port)} {_public(options.host_key)}"}
    if options.host_certificate is not None:
        certificate = _read(options.host_certificate)
        if not isinstance(certificate, SSHCertificate):
            message = "this is no certificate; sign the host key: ssh-keygen -s AUTHORITY -h -n NAMES -I gateway"
            raise ConfigFault((Problem(str(options.host_certificate), 0, message),))
        names = [name.decode("utf-8", "replace") for name in certificate.valid_principals] or [address]
        authority = certificate.signature_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")
        lines["known_hosts"] = f"@cert-authority {','.join(_named(name, port) for name in names)} {authority}"
    if options.upstream_ca is not None:
        lines["trusted_user_ca_keys"] = _public(options.upstream_ca)
    return lines


def public_half(key: Path) -> Path:
    """Where the public half of a private key file lies, as ssh-keygen puts it."""
    return key.with_name(f"{key.name}.pub")


def _named(address: str, port: int) -> str:
    return address if port == PORT else f"[{address}]:{port}"


def _public(key: Path) -> str:
    """Type and key, without the comment."""
    file = public_half(key)
    _read(file)
    return " ".join(file.read_text("ascii").split()[:2])


def _read(file: Path) -> object:
    try:
        with file.open("rb") as stream:
            return load_ssh_public_identity(stream.read(LARGEST).strip())
    except OSError:
        message = f"there is no such file; make it: ssh-keygen -y -f {file.stem} > {file.name}"
        raise ConfigFault((Problem(str(file), 0, message),)) from None
    except ValueError as fault:
        raise ConfigFault((Problem(str(file), 0, f"no public key of OpenSSH's: {fault}"),)) from None
