"""The command's frame: lazy verbs, and an exit code and a message for every way to fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path

import click
import pytest

from blastwall.errors import (
    ClientFault,
    ConfigFault,
    Fault,
    OurFault,
    Problem,
    ProtocolViolation,
    RecordingFault,
    TokenFault,
    UpstreamFault,
)
from cli import __main__ as cli

ROOT = Path(__file__).parents[2]


def python(code: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30, **options)


def stand_in(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    @click.command()
    def command() -> None:
        raise error

    monkeypatch.setitem(sys.modules, "cli.doctor", types.SimpleNamespace(command=command))


def test_help_lists_every_verb_and_imports_none() -> None:
    code = (
        "import sys; from cli.__main__ import run, VERBS; assert run(['--help']) == 0; "
        "loaded = [v for v in VERBS if f'cli.{v}' in sys.modules]; assert not loaded, loaded"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    for verb, description in cli.VERBS.items():
        assert verb in done.stdout
        assert description.split()[0] in done.stdout


@pytest.mark.parametrize("verb", list(cli.VERBS))
def test_every_verb_loads_and_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([verb, "--help"]) == 0
    assert f"Usage: blastwall {verb}" in capsys.readouterr().out


@pytest.mark.parametrize("threads", [0, 3])
def test_an_interrupt_while_a_verb_is_loaded_is_not_lost(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    """Libraries call back from where an exception is printed and forgotten: pydantic did, and `up` went on. Any thread
    of the process may be the one that the signal comes to.
    """
    ran: list[str] = []
    over = threading.Event()
    for _ in range(threads):
        threading.Thread(target=over.wait, daemon=True).start()
    handler = signal.getsignal(signal.SIGINT)

    @click.command()
    def command() -> None:
        ran.append("the verb")

    def load(name: str) -> types.SimpleNamespace:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(100):  # where the interpreter would notice it
                pass
        except KeyboardInterrupt:
            ran.append("forgotten")
        return types.SimpleNamespace(command=command)

    monkeypatch.setattr(cli.importlib, "import_module", load)
    try:
        assert cli.run(["doctor"]) == cli.INTERRUPTED
    finally:
        over.set()
    assert not ran
    assert signal.getsignal(signal.SIGINT) is handler


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"blastwall, version {cli.version()}"


@pytest.mark.parametrize("arguments", [["no-such-verb"], ["doctor", "--no-such-option"]])
def test_a_wrong_command_line_is_2_and_says_what_is_wrong(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == 2
    assert arguments[-1] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (ConfigFault((Problem("gateway.yaml", 3, "no such target"),)), 2),
        (OurFault("broken"), 3),
        (RecordingFault("disk full"), 3),
        (Fault("something"), 3),
        (ClientFault("odd"), 4),
        (TokenFault("expired"), 4),
        (ProtocolViolation("bad", code="08P01"), 4),
        (UpstreamFault("gone"), 5),
    ],
)
def test_a_fault_is_a_message_and_a_code_by_whose_it_is(
    fault: Fault, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(monkeypatch, fault)
    assert cli.run(["doctor"]) == code
    assert capsys.readouterr().err == f"blastwall: {fault}\n"


def test_what_a_server_said_cannot_rearrange_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(monkeypatch, UpstreamFault("refused: \x1b]0;mine\x07\u202edesrever\nsecond line, as wide as é"))
    assert cli.run(["doctor"]) == 5
    told = capsys.readouterr().err
    assert told == "blastwall: refused: \\x1b]0;mine\\x07\\x202edesrever\nsecond line, as wide as é\n"


def test_an_interrupt_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stand_in(monkeypatch, KeyboardInterrupt())
    assert cli.run(["doctor"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_an_internal_error_shows_its_stack_only_when_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(monkeypatch, ZeroDivisionError("oops"))
    monkeypatch.delenv("BLASTWALL_TRACEBACK", raising=False)
    assert cli.run(["doctor"]) == 3
    message = capsys.readouterr().err
    assert "internal error: ZeroDivisionError: oops" in message
    assert "Traceback" not in message
    monkeypatch.setenv("BLASTWALL_TRACEBACK", "1")
    cli.run(["doctor"])
    assert "Traceback" in capsys.readouterr().err


def test_a_file_that_cannot_be_used_is_named_and_no_defect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(monkeypatch, IsADirectoryError(21, "Is a directory", "state/tls/ca.key"))
    monkeypatch.delenv("BLASTWALL_TRACEBACK", raising=False)
    assert cli.run(["doctor"]) == 3
    assert capsys.readouterr().err == "blastwall: state/tls/ca.key cannot be used: Is a directory\n"
    stand_in(monkeypatch, OSError("of no file"))
    assert cli.run(["doctor"]) == 3
    assert "internal error" in capsys.readouterr().err


def test_a_command_may_return_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def command() -> int:
        return 1

    monkeypatch.setitem(sys.modules, "cli.doctor", types.SimpleNamespace(command=command))
    assert cli.run(["doctor"]) == 1


def test_a_reader_that_goes_away_is_no_error_message() -> None:
    read, write = os.pipe()
    os.close(read)
    code = (
        "import sys, types, click\n"
        "from cli.__main__ import run\n"
        "@click.command()\n"
        "def command():\n"
        "    for _ in range(10000): click.echo('x' * 100)\n"
        "sys.modules['cli.doctor'] = types.SimpleNamespace(command=command)\n"
        "sys.exit(run(['doctor']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True, timeout=30
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
