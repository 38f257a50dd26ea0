"""Signed messages with a time window: what webhooks carry, and what Slack's callbacks must carry. Pure."""

from __future__ import annotations

import hashlib
import re
from hmac import compare_digest
from hmac import new as keyed

WINDOW = 300.0  # seconds that a signed message is good for, either way
TIMESTAMP_HEADER, SIGNATURE_HEADER = "X-Blastwall-Timestamp", "X-Blastwall-Signature"

_SECONDS = re.compile(r"[0-9]{1,12}")


def sign(secret: bytes, timestamp: int, body: bytes, *, version: str = "v1") -> str:
    """``v1=`` and 64 hex digits: HMAC-SHA-256 over ``v1:<timestamp>:<body>``. Slack's own is the same with ``v0``."""
    base = f"{version}:{timestamp}:".encode("ascii") + body
    return f"{version}={keyed(secret, base, hashlib.sha256).hexdigest()}"


def verify(secret: bytes, timestamp: str, body: bytes, signature: str, now: float, *, version: str = "v1") -> bool:
    """Whether the signature is of this body, made within five minutes of ``now``. False for anything malformed."""
    if not secret or not _SECONDS.fullmatch(timestamp) or abs(now - int(timestamp)) > WINDOW:
        return False
    return compare_digest(sign(secret, int(timestamp), body, version=version).encode(), signature.encode())
