from __future__ import annotations

import asyncssh
from hypothesis import given
from hypothesis import strategies as st

from blastwall.model import Effect
from blastwall.protocols.ssh.attributes import created, judged, kept, words

NUMBERS = st.one_of(st.none(), st.integers(0, 2**32 - 1))


@given(st.tuples(NUMBERS, NUMBERS, NUMBERS))
def test_what_goes_up_is_what_is_told(numbers: tuple[int | None, int | None, int | None]) -> None:
    size, permissions, mtime = numbers
    attrs = asyncssh.SFTPAttrs(size=size, permissions=permissions, mtime=mtime, extended=[(b"a", b"b")])
    assert words(kept(attrs)) == words(attrs)
    assert not kept(attrs).extended
    assert len(words(attrs)) == sum(each is not None for each in numbers)
    assert judged(words(attrs))[0] is not Effect.UNKNOWN


def test_words_say_everything_that_is_set() -> None:
    attrs = asyncssh.SFTPAttrs(size=0, uid=0, gid=5, permissions=0o104755, atime=1, mtime=2)
    assert words(attrs) == ("size=0", "owner=0:5", "mode=4755", "times=1:2")
    assert words(asyncssh.SFTPAttrs()) == ()


def test_nothing_is_made_that_runs_as_its_owner() -> None:
    assert created(asyncssh.SFTPAttrs(permissions=0o104755, size=3)).permissions == 0o755
    assert created(asyncssh.SFTPAttrs(size=3)).size is None
