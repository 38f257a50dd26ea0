"""The gateway's own connection to a host: pinned host keys, a key that lives for minutes, nothing forwarded."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import asyncssh

from blastwall.errors import Unreachable, UpstreamFault
from blastwall.model import Credential, Target
from blastwall.protocols.ssh import keys
from blastwall.protocols.ssh.arrival import KEEPALIVE_SECONDS, REKEY_BYTES, algorithms
from blastwall.protocols.ssh.options import Options

CONNECT_SECONDS: Final = 20.0
_PRIVATE: Final = "-----BEGIN"


async def reach(target: Target, credential: Credential, own: keys.Keys) -> asyncssh.SSHClientConnection:
    """Log in to the host. Raises UpstreamFault: Unreachable, another host key than the pinned ones, login refused."""
    options: Options = target.options
    trusted = known_hosts(options, target)
    how = _credentials(credential, own)
    try:
        return await asyncio.wait_for(
            asyncssh.connect(
                target.host,
                target.port,
                config=None,
                username=credential.user,
                known_hosts=trusted,
                agent_path=None,
                agent_forwarding=False,
                x509_trusted_certs=None,
                gss_host=None,
                kbdint_auth=False,
                host_based_auth=False,
                compression_algs=None,
                connect_timeout=CONNECT_SECONDS,
                keepalive_interval=KEEPALIVE_SECONDS,
                rekey_bytes=REKEY_BYTES,
                client_version="Blastwall",
                **how,
                **algorithms(),
            ),
            CONNECT_SECONDS + 5,
        )
    except asyncssh.HostKeyNotVerifiable:
        raise UpstreamFault(
            f"{target.name} shows another host key than the pinned ones: it was rebuilt, or somebody sits in between"
        ) from None
    except asyncssh.PermissionDenied:
        raise UpstreamFault(
            f"{target.name} does not let {credential.user} in with the credential of this session"
        ) from None
    except (asyncssh.Error, OSError, TimeoutError) as fault:
        raise Unreachable(f"{target.name} cannot be reached over SSH: {fault}") from None


def known_hosts(options: Options, target: Target) -> Any:  # noqa: ANN401  the library's own type
    """The pinned keys and authorities. Raises UpstreamFault without any: nothing is trusted on first use."""
    lines = list(options.host_keys)
    if options.host_keys_file is not None:
        text = options.host_keys_file.read_text("utf-8")
        lines += [line.strip() for line in text.split("\n") if line.strip() and not line.startswith("#")]
    if not lines:
        raise UpstreamFault(f"no host key is pinned for {target.name}: add options.host_keys (ssh-keyscan shows them)")
    written = []
    for line in lines:
        mark, key = ("@cert-authority ", line.removeprefix("@cert-authority ")) if line.startswith("@") else ("", line)
        written.append(f"{mark}* {key}")
    return asyncssh.import_known_hosts("\n".join(written) + "\n")


def _credentials(credential: Credential, own: keys.Keys) -> dict[str, Any]:
    if credential.kind == "certificate":
        session = credential.bearer.session if credential.bearer is not None else "unnamed"
        try:
            return {"client_keys": [keys.host_credential(own, credential.user, session, time.time())], "password": None}
        except LookupError as fault:
            raise UpstreamFault(str(fault)) from None
    if credential.secret is None:
        raise UpstreamFault("the session has no credential for this host")
    text = credential.secret.reveal()
    if not text.startswith(_PRIVATE):
        return {"client_keys": None, "password": text}
    try:
        return {"client_keys": [asyncssh.import_private_key(text)], "password": None}
    except (asyncssh.KeyImportError, ValueError):
        raise UpstreamFault("the kept credential for this host is not a private key that can be read") from None
