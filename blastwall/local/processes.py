"""Which process wrote something down, and whether that very process still runs.

A process id alone is used again; with its start time, boot and pid namespace it names one process for good (proc(5)).
Where there is no ``/proc`` the start time is left out, and a used-again id looks alive: rows then stay too long, never
go too early.
"""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")


def current() -> str:
    """This process's name, for :func:`alive` in another process later."""
    return _name(os.getpid())


def alive(name: str) -> bool:
    """False only if the process that :func:`current` named is certainly gone; a name of another make is nobody's."""
    space, _, rest = name.partition(" ")
    pid = rest.partition(" ")[0]
    if not (pid.isascii() and pid.isdecimal()):
        return True
    if space != _space():
        return not _other_boot(space)  # another container on the same file: not ours to judge
    return _name(int(pid)) == name if (_PROC / "self").exists() else _answers(int(pid))


def _name(pid: int) -> str:
    return f"{_space()} {pid} {_started(pid)}"


def _space() -> str:
    """The boot and the pid namespace in which process ids of this process mean something; empty without ``/proc``."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{(_PROC / 'self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _other_boot(space: str) -> bool:
    return bool(space) and bool(_space()) and space.partition("/")[0] != _space().partition("/")[0]


def _started(pid: int) -> str:
    """The start time in clock ticks since boot; empty when there is no such process or it has ended (a zombie)."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()  # the command before it may hold anything
    state, started = fields[0], fields[19]
    return "" if state in "ZX" else started


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
