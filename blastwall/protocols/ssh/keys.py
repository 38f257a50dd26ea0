"""The gateway's own SSH keys and what it signs with them: user certificates for agents, short ones for hosts.

Certificates are OpenSSH's (PROTOCOL.certkeys); asyncssh reads and writes them.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import asyncssh

from blastwall.errors import ClientFault, ConfigFault, Problem
from blastwall.model import Principal, Secret
from blastwall.protocols.ssh.options import Gateway
from blastwall.protocols.ssh.seal import NONCE_BYTES, seal, sealing_key, unseal

LONGEST_PUBLIC_KEY = 4096  # characters of the line that a client sends to be signed
CERTIFICATE_SECONDS = 12 * 3600.0  # a certificate lives no longer than this, nor than the token in it
HOST_SECONDS = 300.0  # what the gateway shows to a host opens connections for five minutes


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys of one gateway process; its repr shows none of them."""

    host: Any  # asyncssh.SSHKey, or (key, certificate)
    user_ca: asyncssh.SSHKey
    upstream_ca: asyncssh.SSHKey | None
    sealing: bytes

    def __repr__(self) -> str:
        return "Keys(***)"


def load(options: Gateway) -> Keys:
    """Read the key files. Raises ConfigFault naming each that cannot be read."""
    problems: list[Problem] = []

    def read(path: Any) -> Any:  # noqa: ANN401  the library's own key types
        try:
            return asyncssh.read_private_key(str(path))
        except (OSError, asyncssh.KeyImportError) as fault:
            problems.append(
                Problem(str(path), 0, f"not a private key that can be read ({fault}); make one: ssh-keygen")
            )
            return None

    host, user_ca = read(options.host_key), read(options.user_ca)
    upstream = read(options.upstream_ca) if options.upstream_ca is not None else None
    if options.host_certificate is not None:
        try:
            host = (host, asyncssh.read_certificate(str(options.host_certificate)))
        except (OSError, asyncssh.KeyImportError) as fault:
            problems.append(Problem(str(options.host_certificate), 0, f"not a certificate: {fault}"))
    if problems:
        raise ConfigFault(tuple(problems))
    return Keys(host, user_ca, upstream, sealing_key(user_ca.export_private_key("pkcs8-der")))


def issue(keys: Keys, public_key: str, token: Secret, principal: Principal, now: float) -> str:
    """A user certificate (one line) for an agent's public key, with its token sealed inside.

    It is good until the token expires, twelve hours at most. Raises ClientFault for what is not a public key.
    """
    if len(public_key) > LONGEST_PUBLIC_KEY:
        raise ClientFault("that is too long for a public key")
    try:
        key = asyncssh.import_public_key(public_key)
    except (asyncssh.KeyImportError, ValueError, UnicodeError):
        raise ClientFault("send an OpenSSH public key: the line of a .pub file") from None
    certificate = keys.user_ca.generate_user_certificate(
        key,
        seal(token, keys.sealing, secrets.token_bytes(NONCE_BYTES)),
        serial=secrets.randbits(63),
        valid_after=int(now) - 60,
        valid_before=int(min(principal.expires_at, now + CERTIFICATE_SECONDS)),
        permit_x11_forwarding=False,
        permit_agent_forwarding=False,
        permit_user_rc=False,
    )
    return str(certificate.export_certificate("openssh").decode()).strip()


def opened(keys: Keys, key_id: str) -> Secret:
    """The token out of a certificate's key id. Raises TokenFault."""
    return unseal(key_id, keys.sealing)


def host_credential(keys: Keys, user: str, session: str, now: float) -> tuple[asyncssh.SSHKey, Any]:
    """A fresh key and a certificate of it that opens ``user`` on hosts trusting the upstream authority.

    Good for five minutes, so long as it takes to log in; the key id names the session in the host's own log. Raises
    LookupError without an upstream authority.
    """
    if keys.upstream_ca is None:
        raise LookupError("protocols.ssh.upstream_ca is not set, so no certificate can be made for hosts")
    key = asyncssh.generate_private_key("ssh-ed25519")
    certificate = keys.upstream_ca.generate_user_certificate(
        key,
        f"blastwall {session}",
        serial=secrets.randbits(63),
        principals=[user],
        valid_after=int(now) - 60,
        valid_before=int(now + HOST_SECONDS),
        permit_x11_forwarding=False,
        permit_agent_forwarding=False,
        permit_user_rc=False,
    )
    return key, certificate
