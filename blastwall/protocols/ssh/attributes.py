"""What a client wants set of a file (SSH_FXP_SETSTAT), as words of the statement's text, and what they come to. Pure.

An approver must see what is set, not only on what: a size of 0 empties the file, a mode makes it run as its owner.
draft-ietf-secsh-filexfer-02, 5 File Attributes and 6.9.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import asyncssh

from blastwall.model import SEVERITY, Effect

#: Rights of a file that a client makes: no program runs as its owner because of how it was uploaded.
PLAIN: Final = 0o777
_RIGHTS: Final = 0o7777  # the bits above say what kind of file it is, and are not set
_OTHERS_WRITE: Final = 0o002
_WORD: Final = re.compile(r"(size|owner|mode|times)=([0-9]+(?::[0-9]+)?)")


def words(attrs: asyncssh.SFTPAttrs) -> tuple[str, ...]:
    """Such as ``("size=0", "owner=0:0", "mode=0644", "times=1700000000:1700000000")``; nothing for what is not set."""
    found = []
    if attrs.size is not None:
        found.append(f"size={attrs.size}")
    if attrs.uid is not None or attrs.gid is not None:
        found.append(f"owner={attrs.uid or 0}:{attrs.gid or 0}")
    if attrs.permissions is not None:
        found.append(f"mode={attrs.permissions & _RIGHTS:04o}")
    if attrs.atime is not None or attrs.mtime is not None:
        found.append(f"times={attrs.atime or 0}:{attrs.mtime or 0}")
    return tuple(found)


def kept(attrs: asyncssh.SFTPAttrs) -> asyncssh.SFTPAttrs:
    """What :func:`words` tells, and nothing else: extensions of the client's do not go up."""
    made = asyncssh.SFTPAttrs()
    if attrs.size is not None:
        made.size = attrs.size
    if attrs.uid is not None or attrs.gid is not None:
        made.uid, made.gid = attrs.uid or 0, attrs.gid or 0
    if attrs.permissions is not None:
        made.permissions = attrs.permissions & _RIGHTS
    if attrs.atime is not None or attrs.mtime is not None:
        made.atime, made.mtime = attrs.atime or 0, attrs.mtime or 0
    return made


def created(attrs: asyncssh.SFTPAttrs) -> asyncssh.SFTPAttrs:
    """What counts of the attributes with which a file or directory is made: its plain rights."""
    made = asyncssh.SFTPAttrs()
    if attrs.permissions is not None:
        made.permissions = attrs.permissions & PLAIN
    return made


def judged(settings: Iterable[str]) -> tuple[Effect, str]:
    """The effect of setting these words, and why it is more than a write. UNKNOWN for a word that is none of them."""
    worst, why = Effect.WRITE, ""
    for word in settings:
        effect, reason = _judged(word)
        if SEVERITY[effect] > SEVERITY[worst]:
            worst, why = effect, reason
    return worst, why


def _judged(word: str) -> tuple[Effect, str]:
    found = _WORD.fullmatch(word)
    if found is None:
        return Effect.UNKNOWN, f"{word!r} is nothing that is set of a file here."
    name, value = found.groups()
    if name == "size":
        return Effect.DESTROY, "Sets a file's size, which cuts off what is beyond it."
    if name == "owner":
        return Effect.ADMINISTER, "Gives a file to another owner."
    if name == "mode" and (":" in value or int(value, 8) & ~PLAIN or int(value, 8) & _OTHERS_WRITE):
        return Effect.ADMINISTER, "Lets everybody write to a file, or makes it run with its owner's rights."
    return Effect.WRITE, ""
