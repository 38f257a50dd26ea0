"""The hash chain that ties a recording's blocks to each other, to their session and to their file.

``value = SHA-256(previous value || session || block head without its value || stored payload)``

where ``session`` is the session id in UTF-8 behind its length (u16), and the value before the first block is the
SHA-256 of a fixed label, the preamble and the recording's id. So a block cannot be changed, dropped, repeated,
reordered, or moved to another file (not even one of the same session) without every later value being wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from blastwall.recording.codec import VERSION, preamble

SMALL: Final = 4096  # bytes that are joined rather than hashed one by one
_new: Final = sha256().copy  # making one from its name looks the algorithm up
_update: Final = type(sha256()).update  # and so are its methods
_digest: Final = type(sha256()).digest
_LABEL: Final = b"blastwall recording chain 1\0"


def origin(recording: str, version: int = VERSION) -> bytes:
    """Return the value before the first block of the recording with this id and format version."""
    return sha256(_LABEL + preamble(version) + recording.encode()).digest()


def session_key(session: str) -> bytes:
    """Return the session id as the chain hashes it. Raises ValueError for an id longer than 65,535 bytes."""
    text = session.encode()
    if len(text) > 0xFFFF:
        raise ValueError("A session id has at most 65,535 bytes.")
    return len(text).to_bytes(2, "big") + text


def link(previous: bytes, session: bytes, sealed: bytes, parts: Sequence[bytes]) -> bytes:
    """Return a block's chain value. ``session`` is from :func:`session_key`, ``sealed`` the head without its value."""
    if len(parts) == 1 and len(parts[0]) < SMALL:
        return linked(previous + session + sealed + parts[0])
    digest = _new()
    digest.update(previous + session + sealed)
    for part in parts:
        digest.update(part)
    return digest.digest()


def linked(joined: bytes) -> bytes:
    """As :func:`link`, of all that it hashes in one piece."""
    digest = _new()
    _update(digest, joined)
    return _digest(digest)
