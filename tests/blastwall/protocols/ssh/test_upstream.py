from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from blastwall.errors import Unreachable, UpstreamFault
from blastwall.model import Credential, Secret
from blastwall.protocols.ssh import keys
from blastwall.protocols.ssh.upstream import known_hosts, reach
from tests.blastwall.protocols.ssh.gate import Gate, gate

CERTIFIED = Credential("deploy", None, "certificate")


def own(through: Gate) -> keys.Keys:
    return keys.load(through.host.options)


async def test_a_certificate_of_ours_opens_the_host(tmp_path: Path) -> None:
    async with gate(tmp_path) as through, await reach(through.target, CERTIFIED, own(through)) as connection:
        assert (await connection.run("uptime")).exit_status == 3


async def test_another_host_key_is_refused(tmp_path: Path) -> None:
    async with gate(tmp_path) as through:
        other = asyncssh.generate_private_key("ssh-ed25519").export_public_key("openssh").decode().split()
        options = through.target.options.model_copy(update={"host_keys": (" ".join(other[:2]),)})
        with pytest.raises(UpstreamFault, match="another host key"):
            await reach(replace(through.target, options=options), CERTIFIED, own(through))


async def test_an_authority_of_host_keys_may_be_pinned(tmp_path: Path) -> None:
    async with gate(tmp_path) as through:
        authority = asyncssh.generate_private_key("ssh-ed25519")
        line = "@cert-authority " + " ".join(authority.export_public_key("openssh").decode().split()[:2])
        options = through.target.options.model_copy(update={"host_keys": (line,)})
        with pytest.raises(UpstreamFault, match="compatible server host key"):  # a bare key, which nobody signed
            await reach(replace(through.target, options=options), CERTIFIED, own(through))


async def test_nothing_is_trusted_on_first_use(tmp_path: Path) -> None:
    async with gate(tmp_path) as through:
        options = through.target.options.model_copy(update={"host_keys": ()})
        with pytest.raises(UpstreamFault, match="no host key is pinned"):
            known_hosts(options, through.target)


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        (Secret("a password"), "does not let deploy in"),
        (Secret("-----BEGIN OPENSSH PRIVATE KEY-----\nnonsense"), "not a private key"),
        (None, "no credential"),
    ],
)
async def test_credentials_that_do_not_open(tmp_path: Path, secret: Secret | None, says: str) -> None:
    async with gate(tmp_path) as through:
        with pytest.raises(UpstreamFault, match=says):
            await reach(through.target, Credential("deploy", secret, "static"), own(through))


async def test_a_key_that_the_host_does_not_know(tmp_path: Path) -> None:
    async with gate(tmp_path) as through:
        stranger = asyncssh.generate_private_key("ssh-ed25519").export_private_key("openssh").decode()
        with pytest.raises(UpstreamFault, match="does not let deploy in"):
            await reach(through.target, Credential("deploy", Secret(stranger), "static"), own(through))


async def test_nobody_there(tmp_path: Path) -> None:
    async with gate(tmp_path) as through:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with pytest.raises(Unreachable, match="cannot be reached"):
            await reach(replace(through.target, port=port), CERTIFIED, own(through))
