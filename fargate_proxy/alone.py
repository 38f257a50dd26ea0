"""Keep other processes of the same user out of this one: they parse what agents send, and it holds keys.

Without this, whoever takes over a parser's worker reads ``/proc/PID/environ`` and ``mem`` of its parent: it is the same
user, and that is all that the kernel asks (proc(5); ptrace(2), "PTRACE_MODE_READ_FSCREDS").
"""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_DUMPABLE = 4  # prctl(2)


def keep_out() -> None:
    """From now on no process of this user can trace this one or read its memory; it leaves no core file either.

    What is started later begins anew. Linux only; elsewhere it does nothing. Raises OSError.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"this process cannot be closed to others: {os.strerror(number)}")
