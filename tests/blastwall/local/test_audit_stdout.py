"""Events on a stream: whole lines or none."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

from blastwall.local.audit_stdout import StreamSink

EVENTS = [{"metadata": {"uid": f"r-{n}"}, "time": n, "message": "\x1b]0;owned\x07"} for n in range(3)]


def test_one_line_each_and_no_escape_in_them():
    out = io.StringIO()
    assert StreamSink(out).put(EVENTS) == set()
    assert [json.loads(text) for text in out.getvalue().splitlines()] == EVENTS
    assert "\x1b" not in out.getvalue()


def test_a_stream_that_fails_took_nothing():
    closed = io.StringIO()
    closed.close()
    assert StreamSink(closed).put(EVENTS) == {"r-0", "r-1", "r-2"}
    with contextlib.suppress(OSError), Path("/dev/full").open("w") as full:  # its close fails once more
        assert StreamSink(full).put(EVENTS) == {"r-0", "r-1", "r-2"}
