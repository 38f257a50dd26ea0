"""Sealing a capsule: AES-256-GCM, bound to its name, so that none can be passed off as another."""

from __future__ import annotations

import re
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from blastwall.errors import OurFault

#: What capsules are called: nothing that means something to a file system or in an object's key.
NAMED: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_PURPOSE: Final = b"blastwall undo capsule 1 "


def checked(name: str) -> str:
    """The name. Raises OurFault for what no capsule is called."""
    if NAMED.fullmatch(name) is None:
        raise OurFault(f"{name!r} is no name of an undo capsule")
    return name


def seal(key: bytes, nonce: bytes, name: str, content: bytes) -> bytes:
    """``nonce`` (12 bytes, never twice under a key) and the sealed content."""
    return nonce + AESGCM(key).encrypt(nonce, content, _PURPOSE + name.encode())


def unseal(key: bytes, name: str, sealed: bytes) -> bytes:
    """The content. Raises OurFault when it was sealed under another key or name, or has been changed."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _PURPOSE + name.encode())
    except (InvalidTag, ValueError) as fault:
        raise OurFault(f"the undo capsule {name} does not open: another key, another name, or changed since") from fault
