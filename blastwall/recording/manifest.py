"""The last word of a recording: its totals, its length and the head of its chain, signed.

Canonical JSON, so that what was signed can be rebuilt from what was parsed. The signature covers every field but
itself.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from blastwall.recording.bodies import encode_json
from blastwall.recording.codec import VERSION, FormatFault

ALGORITHM = "Ed25519"


class Signer(Protocol):
    """Signs manifests; the key stays with it."""

    key_id: str

    def sign(self, message: bytes) -> bytes: ...


def key_id(public: bytes) -> str:
    """Name a public key (32 raw bytes) by the first 16 hex digits of its SHA-256."""
    return sha256(public).hexdigest()[:16]


def make_manifest(
    header: Mapping[str, Any],
    *,
    ended_at: float,
    duration_ns: int,
    reason: str,
    totals: Mapping[str, object],
    records: int,
    blocks: int,
    length: int,
    chain: bytes,
    signer: Signer | None,
) -> bytes:
    """Return the manifest of what stands before it: ``length`` bytes in ``blocks`` blocks, chain value ``chain``."""
    manifest: dict[str, Any] = {
        "format": VERSION,
        "recording": header["recording"],
        "connection": header["connection"],
        "session": header["session"],
        "agent": header["principal"]["agent"],
        "target": header["target"]["name"],
        "protocol": header["protocol"],
        "started_at": header["started_at"],
        "ended_at": ended_at,
        "duration_ns": duration_ns,
        "reason": reason,
        "totals": dict(totals),
        "records": records,
        "blocks": blocks,
        "length": length,
        "chain": chain.hex(),
    }
    if signer is not None:
        manifest["algorithm"] = ALGORITHM
        manifest["key"] = signer.key_id
        manifest["signature"] = base64.b64encode(signer.sign(encode_json(manifest))).decode()
    return encode_json(manifest)


def parse_manifest(data: bytes) -> dict[str, Any]:
    """Parse a manifest. Raises :class:`FormatFault` when it is not one."""
    try:
        manifest = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FormatFault("The manifest is not JSON.") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("chain"), str):
        raise FormatFault("The manifest is damaged.")
    return manifest


def check_signature(manifest: Mapping[str, Any], trusted: Mapping[str, bytes]) -> str | None:
    """Return None when a trusted key (id -> 32 raw bytes) signed the manifest, or else why that is not so."""
    public = trusted.get(str(manifest.get("key")))
    if public is None:
        return f"it is signed by the key {manifest.get('key')}, which is not trusted here"
    unsigned = {name: value for name, value in manifest.items() if name != "signature"}
    try:
        signature = base64.b64decode(str(manifest.get("signature")), validate=True)
        Ed25519PublicKey.from_public_bytes(public).verify(signature, encode_json(unsigned))
    except (InvalidSignature, ValueError):
        return "its signature does not fit what it says"
    return None
