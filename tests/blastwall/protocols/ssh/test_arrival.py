from __future__ import annotations

import asyncio
import os
from pathlib import Path

import asyncssh
import pytest

from blastwall.protocols.ssh.arrival import algorithms
from tests.blastwall.protocols.ssh.gate import client, gate, pair


@pytest.mark.parametrize("password", ["", "another.token", "x" * 9000])
async def test_a_bad_token_is_a_login_that_failed(tmp_path: Path, password: str) -> None:
    async with gate(tmp_path) as through:
        with pytest.raises((asyncssh.PermissionDenied, asyncssh.ConnectionLost)):
            async with client(through, password=password):
                pass
        assert through.notes == []


async def test_a_token_is_traded_for_a_certificate_that_opens_the_target(tmp_path: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    public = key.export_public_key("openssh").decode().strip()
    async with gate(tmp_path) as through:
        async with client(through, "login") as agent:
            line = str((await agent.run(f"certificate {public}", check=True)).stdout)
            assert (await agent.run("uptime")).exit_status == 64
            assert (await agent.run("certificate nonsense")).exit_status == 64
        certificate = asyncssh.import_certificate(line)
        async with client(through, "deploy@web", "", client_keys=[(key, certificate)]) as agent:
            assert (await agent.run("uptime")).exit_status == 3


@pytest.mark.parametrize("size", [0, 1, 20, 500])
async def test_noise_in_the_place_of_a_client(tmp_path: Path, size: int) -> None:
    async with gate(tmp_path) as through:
        ours, theirs = pair()
        serving = asyncio.create_task(through.serve(theirs))
        ours.send(b"SSH-2.0-x\r\n" + os.urandom(size) if size else b"")
        ours.close()
        await asyncio.wait_for(serving, 10)


@pytest.mark.parametrize("payload", [b"", b"\x14", b"\x14" + bytes(16) + b"\xff" * 9, b"\x05\0\0\0\x01\xff"])
async def test_packets_that_end_too_early_are_the_clients_fault(tmp_path: Path, payload: bytes) -> None:
    async with gate(tmp_path) as through:
        ours, theirs = pair()
        serving = asyncio.create_task(through.serve(theirs))
        padding = 16 - (len(payload) + 5) % 8
        head = (len(payload) + padding + 1).to_bytes(4, "big") + bytes((padding,))
        ours.send(b"SSH-2.0-x\r\n" + head + payload + bytes(padding))
        await asyncio.wait_for(serving, 10)  # any other fault would be raised here
        ours.close()


def test_neither_leg_offers_what_prefix_truncation_needs() -> None:
    """CVE-2023-48795 needs ChaCha20-Poly1305, or CBC or CTR with encrypt-then-MAC."""
    offered = algorithms()
    assert all("-gcm@" in name for name in offered["encryption_algs"])
    assert all("etm" not in name and "md5" not in name and "sha1" not in name for name in offered["mac_algs"])
    assert all("sha1" not in name for name in offered["kex_algs"])
    assert "ssh-rsa" not in offered["signature_algs"] and "ssh-dss" not in offered["signature_algs"]
    assert "curve25519-sha256" in offered["kex_algs"]


async def test_a_client_that_insists_on_it_is_not_served(tmp_path: Path) -> None:
    async with gate(tmp_path) as through:
        with pytest.raises((asyncssh.KeyExchangeFailed, asyncssh.ConnectionLost)):
            async with client(through, encryption_algs=["chacha20-poly1305@openssh.com"]):
                pass


async def test_many_half_open_connections_do_not_keep_a_good_one_waiting(tmp_path: Path) -> None:
    async with gate(tmp_path) as through:
        pairs = [pair() for _ in range(200)]
        serving = [asyncio.create_task(through.serve(theirs)) for _, theirs in pairs]
        async with client(through) as agent:
            assert (await agent.run("uptime")).exit_status == 3
        for ours, _ in pairs:
            ours.close()
        await asyncio.wait_for(asyncio.gather(*serving, return_exceptions=True), 20)
