"""Runs one command for as long as its parent lives. Started by its path: ``python rig/warden.py UID GID COMMAND...``.

The parent holds the other end of standard input. When that closes (on purpose, or because the parent was killed in a
way no handler sees) the command gets SIGINT, and SIGQUIT ten seconds later: PostgreSQL's fast and immediate shutdown.
UID -1 keeps the present user. The first line of standard output is the command's pid; the exit status is the command's
(128 + signal when a signal ended it).
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

GRACE_SECONDS = 10.0


def run(arguments: list[str]) -> int:
    """Start the command, wait for whichever ends first, and leave nothing running."""
    uid, gid, command = int(arguments[0]), int(arguments[1]), arguments[2:]
    # A warden that dies of a signal would leave its command behind: only the pipe decides. (It would inherit SIG_IGN.)
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda *_: None)
    stay = uid < 0
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        user=None if stay else uid,
        group=None if stay else gid,
        extra_groups=None if stay else [],
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
            child.send_signal(signal.SIGINT)
            try:
                child.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGQUIT)
                child.wait()
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
