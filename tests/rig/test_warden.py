"""The warden ends its command when its parent goes, and passes on how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from rig import warden


def start(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        warden.command(list(command)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_exit_status_is_the_commands() -> None:
    process = start("sh", "-c", "exit 7")
    assert process.wait(10) == 7
    process.communicate()


def test_a_signal_shows_in_the_exit_status() -> None:
    process = start("sh", "-c", "kill -KILL $$")
    assert process.wait(10) == 128 + 9
    process.communicate()


def test_closing_the_pipe_interrupts_the_command() -> None:
    process = start("sleep", "60")
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.communicate(timeout=10)
    assert process.returncode == 128 + 2
    assert not Path(f"/proc/{pid}").exists()


def test_a_command_deaf_to_interrupts_is_quit(tmp_path: Path) -> None:
    source = Path(warden.__file__).read_text().replace("GRACE_SECONDS = 10.0", "GRACE_SECONDS = 0.2")
    source = source.replace(
        "QUIT_SECONDS = 2.0", "QUIT_SECONDS = 60.0"
    )  # dying by SIGQUIT may take a busy machine long
    hasty = tmp_path / "warden.py"
    hasty.write_text(source)
    deaf = "import signal,time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(hasty), "-1", "-1", "2", "-1", sys.executable, "-c", deaf],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stderr.readline()  # the command's own output: it now ignores interrupts
    process.communicate(timeout=60)
    assert process.returncode == 128 + 3


def test_signals_to_the_warden_do_not_reach_past_the_pipe() -> None:
    process = start("sleep", "60")
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    process.send_signal(2)
    assert process.poll() is None
    process.communicate(timeout=10)
    assert process.returncode == 128 + 2


def test_the_ending_signal_and_an_inherited_descriptor_are_the_parents_choice() -> None:
    read, write = os.pipe()
    code = f"import os, signal; os.write({write}, b'here'); signal.pause()"
    process = subprocess.Popen(
        warden.command([sys.executable, "-c", code], end_with=signal.SIGTERM, keep=write),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[write],
    )
    os.close(write)
    assert os.read(read, 10) == b"here"
    process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM
    assert os.read(read, 10) == b""
    os.close(read)
