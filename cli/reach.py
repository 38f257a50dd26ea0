"""The part of ``blastwall doctor`` that knocks at targets: is each there, is it who it says, are its secrets here?"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from blastwall.config.bundle import Bundle
from blastwall.config.credentials import AdminCredential, RoleCredential, StaticCredential
from blastwall.config.model import TargetSection
from blastwall.findings import Finding, Verdict
from blastwall.model import Target

SECONDS = 5.0  # for each target
AT_ONCE = 16
SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")


def greet(host: str, port: int, context: ssl.SSLContext, *, postgres: bool) -> None:
    """Begin TLS there, and leave. Raises OSError, or ValueError where there is none."""
    with socket.create_connection((host, port), SECONDS) as plain:
        if postgres:
            plain.sendall(SSL_REQUEST)
            if plain.recv(1) != b"S":
                raise ValueError("it offers no TLS")
        with context.wrap_socket(plain, server_hostname=host):
            pass


def greet_ssh(host: str, port: int) -> None:
    """Wait for the first word of an SSH server (RFC 4253, 4.2). Raises OSError, or ValueError for another's."""
    with socket.create_connection((host, port), SECONDS) as plain:
        if plain.recv(4) != b"SSH-":
            raise ValueError("no SSH server answers there")


def targets(bundle: Bundle, *, running: bool) -> Iterator[Finding]:
    """One finding a target, and one for each secret that is missing.

    ``running``: a gateway runs with this configuration, so the local targets are up. Nobody logs in anywhere.
    """
    looked = [name for name, section in bundle.config.targets.items() if running or section.local is None]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda name: _reached(bundle.targets[name]), looked)
        for name, finding in zip(looked, found, strict=True):
            yield finding
            yield from _secrets(name, bundle.config.targets[name])


def _reached(target: Target) -> Finding:
    check, where = f"target {target.name}", f"{target.host}:{target.port}"
    tls = getattr(target.options, "tls", None)
    try:
        if tls is not None and tls.mode == "verify-full":
            greet(target.host, target.port, ssl.create_default_context(cafile=tls.ca_file), postgres=True)
            return Finding(check, Verdict.OK, f"{where} answers with a certificate that is trusted")
        if target.protocol == "ssh":
            greet_ssh(target.host, target.port)
            return Finding(check, Verdict.OK, f"{where} answers")
        with socket.create_connection((target.host, target.port), SECONDS):
            return Finding(check, Verdict.OK, f"{where} answers")
    except ssl.SSLCertVerificationError as fault:
        advice = f"Name its authority in targets.{target.name}.tls.ca_file, and as host what its certificate says."
        return Finding(check, Verdict.FAIL, f"{where}: {fault.verify_message}", advice)
    except ValueError as fault:
        advice = f"Look at what answers there, and at targets.{target.name} in gateway.yaml (port, tls)."
        return Finding(check, Verdict.FAIL, f"{where}: {fault}", advice)
    except OSError as fault:
        advice = f"Start it, open the way to it, or mend targets.{target.name}.host and port in gateway.yaml."
        return Finding(check, Verdict.FAIL, f"{where}: {fault.strerror or fault}", advice)


def _secrets(name: str, section: TargetSection) -> Iterator[Finding]:
    """Of what the gateway reads on this machine; its environment may have what this one has not."""
    check = f"target {name}"
    for credential in section.credential:
        kept = credential.admin if isinstance(credential, RoleCredential) else credential
        if not isinstance(kept, (StaticCredential, AdminCredential)):
            continue
        variable, file = kept.password_env, kept.password_file
        if variable is not None and variable not in os.environ:
            advice = f"Set {variable} in the environment that the gateway is started with."
            yield Finding(check, Verdict.WARN, f"{variable} is not in this environment", advice)
        if file is not None and (problem := _unreadable(file)):
            advice = f"Put the password of {kept.user} there, for the gateway's user alone."
            yield Finding(check, Verdict.FAIL, f"{file}: {problem}", advice)


def _unreadable(file: Path) -> str:
    try:
        return "" if file.read_bytes().strip() else "it is empty"
    except OSError as fault:
        return str(fault.strerror)
