"""Requests on an SSH connection, as texts, to facts. Pure.

A request has one text, which approvers see and which says what kind it is::

    exec: tail -n 5 /var/log/app.log      a command line
    shell                                 an interactive shell, judged as a whole
    sftp: read ~/a.txt                    one operation on files; two paths are separated by " -> "
    sftp: setstat ~/a.txt mode=0644       what is set stands behind the path
    channel: direct-tcpip 10.0.0.5:5432   a connection forwarded by the host
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from blastwall.errors import ClientFault
from blastwall.model import SEVERITY, Effect, Facts, ObjectRef
from blastwall.protocols.ssh import attributes
from blastwall.protocols.ssh.options import Options
from blastwall.shell.facts import Bounds, asked, judge, judge_paths
from blastwall.shell.paths import directory

EXEC: Final = "exec: "
SHELL: Final = "shell"
SFTP: Final = "sftp: "
TWO_PATHS: Final = 2
SETSTAT: Final = "setstat"
FORWARD: Final = "channel: direct-tcpip "
ARROW: Final = " -> "
LONGEST_PATH: Final = 4096  # bytes, as on Linux; what is longer ends OpenSSH's server, and so does a zero byte
_LOOKS_REPLACED: Final = re.compile(r"\\x[89a-f][0-9a-f]")

#: What each operation does: its effect, how it touches its paths, and whether what is in the file comes out.
OPERATIONS: Final[Mapping[str, tuple[Effect, tuple[str, ...], bool]]] = {
    "stat": (Effect.READ, ("read",), False),
    "list": (Effect.READ, ("read",), False),
    "readlink": (Effect.READ, ("read",), False),
    "statvfs": (Effect.READ, ("read",), False),
    "read": (Effect.READ, ("read",), True),
    "write": (Effect.WRITE, ("write",), False),
    "update": (Effect.WRITE, ("both",), True),  # a file opened for reading and writing
    SETSTAT: (Effect.WRITE, ("write",), False),
    "mkdir": (Effect.WRITE, ("write",), False),
    "rename": (Effect.WRITE, ("write", "write"), False),
    "symlink": (Effect.WRITE, ("read", "write"), True),
    "link": (Effect.WRITE, ("read", "write"), True),
    "rmdir": (Effect.DESTROY, ("write",), False),
    "remove": (Effect.DESTROY, ("write",), False),
}


@dataclass(frozen=True, slots=True)
class Request:
    """A judged request: its facts, its text as it goes to the target, and the paths it names, as they were written.
    ``wanted`` are directories whose names must be told before it can be judged."""

    facts: Facts
    text: str
    named: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()


def classify(
    text: str,
    options: Options,
    resolved: Mapping[str, str] | None = None,
    names: Mapping[str, tuple[str, ...]] | None = None,
) -> Request:
    """Judge one request. ``resolved`` maps paths as written to what the target says they are, ``names`` directories to
    the names in them. Never raises."""
    bounds = Bounds(options.readable, options.writable)
    if text.startswith(EXEC):
        line = judge(text.removeprefix(EXEC), bounds, resolved, names)
        return Request(line.facts, EXEC + line.text, line.named, line.wanted)
    if text == SHELL:
        reason = "Opens an interactive shell: what is typed there is recorded, and cannot be judged."
        return Request(Facts(Effect.UNKNOWN, "shell", flags=frozenset({"interactive_shell"}), reason=reason), text)
    if text.startswith(SFTP):
        return _sftp(text, bounds, resolved)
    if text.startswith(FORWARD):
        place = text.removeprefix(FORWARD)
        listed = place in options.destinations
        effect = Effect.ADMINISTER if listed else Effect.UNKNOWN
        reason = f"Opens a connection to {place} through the host" + ("." if listed else ", which is not listed.")
        refs = (ObjectRef("destination", place, "call"),)
        return Request(Facts(effect, "forward", refs, frozenset({"forwarding"}), reason=reason), text)
    facts = Facts(
        Effect.UNKNOWN, "unknown", flags=frozenset({"unlisted"}), reason="This kind of request is not served."
    )
    return Request(facts, text)


def unplaced(request: Request, reason: str) -> Request:
    """The request when the host did not say where its paths lead: by their spelling nobody can judge them."""
    facts = replace(
        request.facts,
        effect=Effect.UNKNOWN,
        flags=request.facts.flags | {"unplaced_paths"},
        reason=f"Not judged: {reason}.",
    )
    return Request(facts, request.text, request.named)


def sftp_text(operation: str, *paths: bytes, settings: tuple[str, ...] = ()) -> str:
    """The text of an operation on files; names that are not plain are quoted, and bytes beyond UTF-8 made visible.

    Raises ClientFault for a name that would have the text of another, or that no host can have.
    """
    written = ARROW.join(shlex.quote(_shown(path)) for path in paths)
    return " ".join((f"{SFTP}{operation} {written}", *settings))


def named_bytes(*paths: bytes) -> Mapping[str, bytes]:
    """The bytes of the names in such a text, and of their directories."""
    found: dict[str, bytes] = {}
    for path in paths:
        found[_shown(path)] = path
        found[directory(_shown(path))] = posixpath.dirname(path.rstrip(b"/")) or (b"/" if path[:1] == b"/" else b".")
    return found


def _shown(path: bytes) -> str:
    if len(path) > LONGEST_PATH or b"\0" in path:
        raise ClientFault(f"a path has at most {LONGEST_PATH} bytes, and none of them is 0")
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        return path.decode("utf-8", "backslashreplace")
    if _LOOKS_REPLACED.search(text):
        raise ClientFault("a path with a backslash in it reads like another one: rename the file on the host")
    return text


def _sftp(text: str, bounds: Bounds, resolved: Mapping[str, str] | None) -> Request:
    operation, _, rest = text.removeprefix(SFTP).partition(" ")
    known = OPERATIONS.get(operation)
    try:
        words = shlex.split(rest)
    except ValueError:
        words = []
    words, settings = (words[:1], words[1:]) if operation == SETSTAT else (words, [])
    paths = tuple(word for number, word in enumerate(words) if number % 2 == 0)
    arrows = words[1::2]
    if known is None or len(paths) != len(known[1]) or any(arrow != ARROW.strip() for arrow in arrows):
        reason = "This operation on files is not served."
        facts = Facts(Effect.UNKNOWN, "sftp", flags=frozenset({"file_transfer", "unlisted"}), reason=reason)
        return Request(facts, text)
    effect, accesses, contents = known
    touched = tuple(
        (path, each)
        for path, access in zip(paths, accesses, strict=True)
        for each in (("read", "write") if access == "both" else (access,))
    )
    verb, moves = f"sftp {operation}", len(accesses) == TWO_PATHS
    facts = judge_paths(verb, effect, touched, bounds, resolved, contents=contents, flag="file_transfer", moves=moves)
    if operation == SETSTAT:
        effect, reason = attributes.judged(settings)
        if SEVERITY[effect] > SEVERITY[facts.effect]:
            facts = replace(facts, effect=effect, reason=reason)
    return Request(facts, text, asked(touched))
