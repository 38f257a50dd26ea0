"""The rig's OpenSSH server: who gets in, and that nothing of it stays."""

from __future__ import annotations

import os
from pathlib import Path

import asyncssh
import pytest

from rig.openssh import USER, OpenSshServer
from rig.postgres import RigFault


async def test_a_certificate_of_the_trusted_authority_gets_in_and_no_other(rig_directory: Path) -> None:
    authority, host_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    server = OpenSshServer(
        rig_directory / "sshd",
        trusted_ca=authority.export_public_key("openssh").decode().strip(),
        host_key=host_key.export_private_key("openssh"),
    )
    server.start()
    try:
        pinned = " ".join(host_key.export_public_key("openssh").decode().split()[:2])
        known = asyncssh.import_known_hosts(f"* {pinned}\n")
        key = asyncssh.generate_private_key("ssh-ed25519")
        for signer, works in ((authority, True), (host_key, False)):
            certificate = signer.generate_user_certificate(key, "test", principals=[USER])
            opening = asyncssh.connect(
                server.host, server.port, username=USER, client_keys=[(key, certificate)], known_hosts=known,
                config=None, agent_path=None,
            )  # fmt: skip
            if works:
                async with opening as connection:
                    assert str((await connection.run("echo $HOME", check=True)).stdout).strip() == str(server.home)
            else:
                with pytest.raises(asyncssh.PermissionDenied):
                    await opening
    finally:
        server.stop()
    assert not server.running
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_a_server_that_cannot_start_says_why(rig_directory: Path) -> None:
    server = OpenSshServer(rig_directory / "broken", trusted_ca="nonsense", host_key=b"nonsense")
    with pytest.raises(RigFault, match="sshd did not start"):
        server.start()
    assert not server.running
