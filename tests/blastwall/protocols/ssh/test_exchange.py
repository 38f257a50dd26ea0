from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

from blastwall.masking.rules import Rules
from blastwall.protocols.ssh.frames import Piece
from tests.blastwall.protocols.ssh.gate import client, gate


async def test_a_command_with_its_streams_and_its_status(tmp_path: Path) -> None:
    async with gate(tmp_path) as through, client(through) as agent:
        done = await agent.run("uptime", encoding=None)
        assert (done.stdout, done.stderr, done.exit_status) == (b"up", b"really", 3)
        assert through.seen[-1].tag == "exit 3"


async def test_a_signal_is_told(tmp_path: Path) -> None:
    async with gate(tmp_path) as through, client(through) as agent:
        done = await agent.run("pwd")
        assert done.exit_signal is not None and done.exit_signal[0] == "KILL"


async def test_what_goes_in_comes_back_and_is_seen(tmp_path: Path) -> None:
    payload = os.urandom(400_000)
    async with gate(tmp_path) as through, client(through) as agent:
        done = await agent.run("cat", input=payload, encoding=None)
        assert done.stdout == payload
        by_piece = {piece: b"".join(m.data[1:] for m in through.seen if m.data[0] == piece) for piece in Piece}
        assert by_piece[Piece.INPUT] == by_piece[Piece.OUTPUT] == payload


async def test_a_refusal_reaches_standard_error_and_the_host_hears_nothing(tmp_path: Path) -> None:
    async with gate(tmp_path) as through, client(through) as agent:
        done = await agent.run("rm -rf x")
        assert done.exit_status == 126
        assert str(done.stderr).startswith("blastwall: refused")
        assert through.seen == []


async def test_slow_readers_do_not_fill_the_gateway(tmp_path: Path) -> None:
    """64 MiB for a client that reads nothing: only what windows and buffers hold may have been taken from the host."""
    async with gate(tmp_path) as through, client(through) as agent:
        process = await agent.create_process("seq 1000", encoding=None)
        held = 0
        for _ in range(40):
            await asyncio.sleep(0.02)
            now = sum(len(masked.data) for masked in through.seen)
            if now and now == held:
                break
            held = now
        assert 0 < held < 12_000_000
        process.close()


async def test_what_detectors_find_in_the_output_is_masked(tmp_path: Path) -> None:
    async with gate(tmp_path) as through:
        through.target = replace(through.target, masking=Rules())
        async with client(through) as agent:
            process = await agent.create_process("cat", encoding=None)
            for part in (b"id AKIAIOSF", b"ODNN7EXAMPLE", b" end\n"):
                process.stdin.write(part)
            process.stdin.write_eof()
            assert await process.stdout.read() == b"id ******************** end\n"
        assert "detected" in through.notes


async def test_a_question_is_not_held_back_while_it_waits_for_its_answer(tmp_path: Path) -> None:
    async with gate(tmp_path) as through:
        through.target = replace(through.target, masking=Rules())
        async with client(through) as agent:
            process = await agent.create_process("cat", encoding=None)
            for word in (b"0032want 4a1d", b"0000done"):
                process.stdin.write(word)
                assert await asyncio.wait_for(process.stdout.readexactly(len(word)), 5) == word
            process.stdin.write_eof()
