"""What git(1) reads: a few of its subcommands, from the table ``programs.toml``. Pure.

git runs what its configuration names: a monitor of files, a pager, a differ, a hook, a helper that fetches. What can be
switched off by options is; what cannot (filters) stands in files that nobody but the host's owner writes
(``startup`` of ``paths.toml``). Of files the contents are shown without those that hold secrets by their names, and
operands that name objects are bound to commits, so that no file is read by its object's name.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from blastwall.shell import paths
from blastwall.shell.grammar import HOME

_NAME: Final = r"(?:@|[A-Za-z0-9][A-Za-z0-9_/-]*(?:\.[A-Za-z0-9_/-]+)*)(?:@\{[0-9]{1,4}\})?(?:[~^][0-9]{0,5})*"
_REVISION: Final = re.compile(rf"({_NAME})?(?:(\.\.\.?)({_NAME})?)?")
_FILE: Final = re.compile(r"[./~].*|.*/|.*[A-Za-z0-9_-]\.[A-Za-z][A-Za-z0-9]{0,7}")  # ./x, src/, main.py
_SPEC: Final = re.compile(r"[^:].*")  # what begins with a colon is more than a path
_SWITCHED_OFF: Final = (
    "--no-pager", "--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null",
    "-c", "safe.bareRepository=explicit", "-c", "log.showSignature=false", "-c", "protocol.allow=never",
    "-c", "protocol.ext.allow=never", "-c", "protocol.ssh.allow=never", "-c", "protocol.file.allow=never",
)  # fmt: skip


class Unlisted(Exception):
    """Arguments that are not on the list; ``str()`` says which."""


@dataclass(slots=True)
class Asked:
    """``directory`` is where it looks; ``command`` names the subcommand, ``rest`` are that one's arguments."""

    directory: str = ""
    command: str = ""
    rest: tuple[str, ...] = ()
    words: list[str] = field(default_factory=list)


def opened(arguments: tuple[str, ...]) -> Asked:
    """The subcommand, behind the options of git's own that are listed. Raises Unlisted."""
    asked = Asked()
    waiting = list(arguments)
    while waiting and waiting[0].startswith("-"):
        word = waiting.pop(0)
        if word == "-C" and waiting and waiting[0]:
            directory = waiting.pop(0)
            asked.directory = (
                posixpath.join(asked.directory, directory) if not directory.startswith(HOME) else directory
            )
            asked.words += [word, directory]
        elif word not in ("--no-pager", "-P", "--no-optional-locks"):
            raise Unlisted(f"the option {word} is not on the list")
    if not waiting:
        raise Unlisted("no subcommand is named")
    asked.command, asked.rest = waiting[0], tuple(waiting[1:])
    return asked


def bound(schema: Mapping[str, Any], operands: list[str], behind: list[str]) -> tuple[list[str], list[str]]:
    """Operands as revisions that can be no file, and as paths; ``behind`` are those behind ``--``. Raises Unlisted."""
    kind = schema.get("operands", "none")
    revisions: list[str] = []
    files = list(behind)
    for operand in operands:
        if kind in ("revisions", "names") and _FILE.fullmatch(operand) is None:
            found = _REVISION.fullmatch(operand)
            if found is None:
                raise Unlisted(f"{operand!r} is no plain revision")
            revisions.append(operand if kind == "names" else "".join(_committed(found)))
        elif kind in ("revisions", "files"):
            files.append(operand)
        else:
            raise Unlisted(f"{operand!r} is an operand, and none is listed")
    if files and kind not in ("revisions", "files"):
        raise Unlisted(f"{files[0]!r} is an operand, and none is listed")
    if any(_SPEC.fullmatch(file) is None for file in files):
        raise Unlisted("a path that begins with a colon is not read")
    return revisions, files


def _committed(found: re.Match[str]) -> Iterator[str]:
    for piece in found.groups():
        if piece:
            yield piece if piece.startswith("..") else f"{piece}^{{commit}}"


def sent(asked: Asked, words: list[str], revisions: list[str], files: list[str], *, shows: bool) -> tuple[str, ...]:
    """The arguments as they go; ``shows``: contents come out, so files are left out that hold secrets by their name."""
    excluded: list[str] = []
    if shows:
        excluded = [f":(top,exclude,glob,icase)**/{name}" for name in paths.names("secret")]
        excluded += [f":(top,exclude,glob,icase)**/{name}/**" for name in paths.names("trees")]
    last = ["--", *files, *excluded] if files or excluded else []
    return (*_SWITCHED_OFF, *asked.words, asked.command, *words, *revisions, *last)
