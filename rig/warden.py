"""Runs one command for as long as its parent lives: ``python rig/warden.py UID GID SIGNAL DESCRIPTOR COMMAND...``.

The parent holds the other end of standard input. When that closes (on purpose, or because the parent was killed in a
way no handler sees) the command gets SIGNAL, and ten seconds later SIGQUIT (PostgreSQL's immediate shutdown), and two
seconds later SIGKILL. UID -1 keeps the present user; DESCRIPTOR, unless it is -1, stays open in the command.

The first line of standard output is the command's pid; the exit status is the command's (128 + signal when a signal
ended it).
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

GRACE_SECONDS = 10.0
QUIT_SECONDS = 2.0


def end(process: subprocess.Popen[bytes], seconds: float) -> int:
    """Let go of a warden, which ends its command; the exit status. Raises TimeoutExpired when that takes longer."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    try:
        return process.wait(seconds)
    finally:
        process.stdout.close()


def run(arguments: list[str]) -> int:
    """Start the command, wait for whichever ends first, and leave nothing running."""
    uid, gid, number, descriptor = (int(text) for text in arguments[:4])
    # A warden that dies of a signal would leave its command behind: only the pipe decides. (It would inherit SIG_IGN.)
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(name, lambda *_: None)
    stay = uid < 0
    child = subprocess.Popen(
        arguments[4:],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        user=None if stay else uid,
        group=None if stay else gid,
        extra_groups=None if stay else [],
        pass_fds=() if descriptor < 0 else (descriptor,),
    )
    sys.stdout.write(f"{child.pid}\n")
    sys.stdout.flush()
    watched: list[int] = [0]
    interval: float | None = 0.2
    if hasattr(os, "pidfd_open"):  # Linux tells when the child ends; elsewhere we look five times a second
        watched, interval = [0, os.pidfd_open(child.pid)], None
    while child.poll() is None:
        readable, _, _ = select.select(watched, [], [], interval)
        if 0 in readable and not os.read(0, 1024):
            _end(child, number)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _end(child: subprocess.Popen[bytes], number: int) -> None:
    for signal_number, seconds in ((number, GRACE_SECONDS), (signal.SIGQUIT, QUIT_SECONDS), (signal.SIGKILL, None)):
        child.send_signal(signal_number)
        try:
            child.wait(seconds)
            return
        except subprocess.TimeoutExpired:
            continue


def command(
    arguments: list[str], *, uid: int = -1, gid: int = -1, end_with: int = signal.SIGINT, keep: int = -1
) -> list[str]:
    """The command line that runs ``arguments`` under a warden."""
    return [sys.executable, "-I", "-S", __file__, str(uid), str(gid), str(int(end_with)), str(keep), *arguments]


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
