"""Another process of the same user cannot read what this one was started with."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = textwrap.dedent(
    """
    import ctypes, os, sys

    sys.path.insert(0, ROOT)
    from fargate_proxy.alone import keep_out

    if os.geteuid() == 0:  # root may read everything: be somebody who may not
        os.setgroups([])
        os.setgid(10001)
        os.setuid(10001)
        ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # changing the user closed the process: open it again

    def seen_by_a_child():
        inside, outside = os.pipe()
        if os.fork() == 0:
            try:
                found = open(f"/proc/{os.getppid()}/environ", "rb").read()
            except PermissionError:
                found = b"refused"
            os.write(outside, b"seen" if b"the-key" in found else found[:7])
            os._exit(0)
        os.wait()
        return os.read(inside, 16).decode()

    print(seen_by_a_child())
    keep_out()
    print(seen_by_a_child())
    kept = os.memfd_create("key")
    os.write(kept, b"own")
    print(open(f"/proc/self/fd/{kept}").read())
    """
)


def test_the_environment_is_closed_to_others_and_our_own_files_are_not() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("ROOT", repr(str(ROOT)), 1)],
        env={"BLASTWALL_MASKING_KEY": "the-key", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["seen", "refused", "own"], done.stderr
