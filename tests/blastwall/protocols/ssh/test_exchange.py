from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest

from blastwall.masking.rules import Rules
from blastwall.model import Effect
from blastwall.protocols.ssh import arrival, exchange, upstream
from blastwall.protocols.ssh.exchange import ENVIRONMENT
from blastwall.protocols.ssh.frames import Piece, pack
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


async def test_signals_and_sizes_reach_a_shell_in_their_order(tmp_path: Path) -> None:
    async with gate(tmp_path) as through:
        through.permits = frozenset({Effect.UNKNOWN})
        async with client(through) as agent:
            shell = await agent.create_process(term_type="xterm", term_size=(80, 24), encoding=None)
            assert await shell.stdout.readexactly(2) == b"$ "
            shell.stdin.write(b"one")
            assert await shell.stdout.readline() == b"typed one\n"
            shell.change_terminal_size(132, 50)
            shell.send_signal("USR1")
            shell.send_signal("WINCH")
            lines = [await shell.stdout.readline() for _ in range(3)]
            assert lines == [b"size 132x50\n", b"signal USR1\n", b"signal WINCH\n"]
            shell.send_signal("TERM")
            await asyncio.wait_for(shell.wait(), 10)
            assert shell.exit_signal is not None and shell.exit_signal[0] == "TERM"
    kept = [masked.data for masked in through.seen if masked.data[0] in (Piece.RESIZE, Piece.SIGNAL)]
    signals = (pack(Piece.SIGNAL, name) for name in (b"USR1", b"WINCH", b"TERM"))
    assert kept == [pack(Piece.RESIZE, b"132x50"), *signals]


async def test_signals_of_no_known_name_do_not_pass(tmp_path: Path) -> None:
    async with gate(tmp_path) as through, client(through) as agent:
        process = await agent.create_process("tail", encoding=None)
        process.send_signal("EVIL@example.org")
        process.send_signal("USR2")
        assert await process.stdout.readline() == b"signal USR2\n"
        process.stdin.write_eof()
        assert (await asyncio.wait_for(process.wait(), 10)).exit_status == 0


async def test_a_command_that_closes_its_outputs_still_reads(tmp_path: Path) -> None:
    async with gate(tmp_path) as through, client(through) as agent:
        process = await agent.create_process("wc -c", encoding=None)
        for _ in range(10):
            process.stdin.write(b"x" * 50_000)
            await process.stdin.drain()
        process.stdin.write_eof()
        assert (await asyncio.wait_for(process.wait(), 10)).exit_status == 500_000 % 251


async def test_a_client_that_closes_its_input_still_hears(tmp_path: Path) -> None:
    async with gate(tmp_path) as through, client(through) as agent:
        process = await agent.create_process("seq 100", encoding=None)
        process.stdin.write_eof()
        assert len(await process.stdout.read()) == 6_553_600
        assert (await process.wait()).exit_status == 0


async def test_a_shell_ends_with_its_time(tmp_path: Path) -> None:
    async with gate(tmp_path, shell_minutes=0.004) as through:
        through.permits = frozenset({Effect.UNKNOWN})
        async with client(through) as agent:
            shell = await agent.create_process(term_type="xterm", encoding=None)
            assert await shell.stdout.readexactly(2) == b"$ "
            assert b"that is its limit" in await asyncio.wait_for(shell.stderr.read(), 10)
            assert (await shell.wait()).exit_status == 124
            waiting = await agent.create_process(
                "cat", encoding=None
            )  # commands have no such limit, unknown ones neither
            assert (await waiting.wait()).exit_status == 126


async def test_a_terminal_is_masked_too_where_a_value_comes_at_once(tmp_path: Path) -> None:
    async with gate(tmp_path) as through:
        through.target = replace(through.target, masking=Rules())
        async with client(through) as agent:
            process = await agent.create_process("cat", term_type="xterm", encoding=None)
            process.stdin.write(b"id AKIAIOSFODNN7EXAMPLE end\r\n")
            assert await process.stdout.readline() == b"id ******************** end\r\n"
            process.stdin.write_eof()
            await process.wait()
    relayed = [masked.data for masked in through.seen if masked.data[0] == Piece.OUTPUT]
    assert all(b"AKIAIOSFODNN7EXAMPLE" not in data for data in relayed)


async def test_a_keys_echo_is_not_held_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is what follows it joined to it: values that are typed are not the detectors' business, printed ones are."""
    monkeypatch.setattr(exchange, "QUIET_TERMINAL_SECONDS", 30.0)
    async with gate(tmp_path) as through:
        through.target = replace(through.target, masking=Rules())
        async with client(through) as agent:
            process = await agent.create_process("cat", term_type="xterm", encoding=None)
            for key in (b"A", b"K", b"\xc3\xa9", b"4"):
                process.stdin.write(key)
                assert await asyncio.wait_for(process.stdout.readexactly(len(key)), 10) == key
            process.stdin.write(b" AKIAIOSFODNN7EXAMPLE.\n")
            process.stdin.write_eof()
            assert await asyncio.wait_for(process.stdout.read(), 10) == b" ********************.\r\n"


async def test_a_key_change_amid_a_transfer_both_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every leg changes its keys some ten times while 12 MB go up and come back."""
    for module in (arrival, upstream):
        monkeypatch.setattr(module, "REKEY_BYTES", "1M")
    changed = []
    began = asyncssh.connection.SSHConnection._send_kexinit

    def counting(connection: asyncssh.connection.SSHConnection) -> None:
        changed.append(connection)
        began(connection)

    monkeypatch.setattr(asyncssh.connection.SSHConnection, "_send_kexinit", counting)
    payload = os.urandom(1_000_000) * 12
    async with gate(tmp_path) as through, client(through) as agent:
        done = await agent.run("cat", input=payload, encoding=None)
        assert done.stdout == payload
    assert len({id(each) for each in changed}) == 4, "both ends of both legs"
    assert len(changed) > 4 * 8


async def test_a_client_that_does_not_answer_any_more_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrival, "KEEPALIVE_SECONDS", 0.05)
    async with gate(tmp_path) as through, client(through) as agent:
        process = await agent.create_process("cat", encoding=None)
        await asyncio.sleep(0.4)
        assert not process.is_closing(), "whoever answers stays"
        assert agent._transport is not None
        agent._transport.pause_reading()  # type: ignore[attr-defined]  # the library's, a socket's
        door = through.conversations[0]._door
        assert door is not None
        await asyncio.wait_for(door.gone.wait(), 10)


class Empty(str):
    """A command of no characters, that the library's client sends as one all the same."""

    def __bool__(self) -> bool:
        return True


async def test_an_empty_command_is_no_shell(tmp_path: Path) -> None:
    async with gate(tmp_path) as through, client(through) as agent:
        through.permits = frozenset({Effect.READ, Effect.UNKNOWN})
        done = await agent.run(Empty(), input="ls\n")
        assert done.exit_status == 1, "the host was asked to run a command"
        assert "$" not in str(done.stdout)


@pytest.mark.parametrize(
    ("name", "value", "passes"),
    [
        ("LANG", "de_DE.UTF-8@euro", True),
        ("LANGUAGE", "de:en", True),
        ("LC_ALL", "C", True),
        ("LANGUAGE", "../../../tmp/evil", False),
        ("LC_X/Y", "C", False),
        ("LC_ALL", "C\nLD_PRELOAD=x", False),
        ("PATH", "x", False),
    ],
)
def test_environment_names_a_language_and_no_file(name: str, value: str, passes: bool) -> None:
    assert (ENVIRONMENT.fullmatch(f"{name}={value}") is not None) == passes
