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
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from blastwall.recording.bodies import encode_json
from blastwall.recording.codec import FormatFault

ED25519, P256 = "Ed25519", "ECDSA-P256-SHA256"
_SIZES = {32: ED25519, 65: P256}  # bytes of a public key: raw (RFC 8032), or an uncompressed point (SEC 1)


class Signer(Protocol):
    """Signs manifests and checkpoints; the key stays with it. ``algorithm`` is :data:`ED25519` or :data:`P256`.

    A P-256 signature is the DER of RFC 3279 over the message's SHA-256. ``sign`` raises RecordingFault when whoever
    keeps the key does not sign; it may take its time, so writers call it off the event loop.
    """

    key_id: str
    algorithm: str

    def sign(self, message: bytes) -> bytes: ...


def key_id(public: bytes) -> str:
    """Name a public key (32 or 65 bytes) by the first 16 hex digits of its SHA-256."""
    return sha256(public).hexdigest()[:16]


def public_bytes(key: object) -> bytes:
    """Return a public key as :func:`check_signature` takes it. Raises ValueError for a key of another kind."""
    if isinstance(key, Ed25519PublicKey):
        return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    raise ValueError("Recordings are signed with Ed25519 or ECDSA on P-256; this is another kind of key.")


def signed(statement: Mapping[str, Any], signer: Signer) -> bytes:
    """Return the statement as canonical JSON with its ``algorithm``, ``key`` and ``signature``."""
    whole = {**statement, "algorithm": signer.algorithm, "key": signer.key_id}
    whole["signature"] = base64.b64encode(signer.sign(encode_json(whole))).decode()
    return encode_json(whole)


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
    completed_by: str = "",
) -> bytes:
    """Return the manifest of what stands before it: ``length`` bytes in ``blocks`` blocks, chain value ``chain``.

    ``completed_by`` names who ended the recording in place of a writer that was stopped.
    """
    manifest: dict[str, Any] = {
        "format": header["format"],
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
    if completed_by:
        manifest["completed_by"] = completed_by
    return encode_json(manifest) if signer is None else signed(manifest, signer)


def parse_manifest(data: bytes) -> dict[str, Any]:
    """Parse a manifest. Raises :class:`FormatFault` when it is not one, or not written the canonical way.

    Two spellings of one manifest would carry the same signature; of two equal names another reader might see the other.
    """
    try:
        manifest = json.loads(data.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise FormatFault("The manifest is not JSON.") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("chain"), str):
        raise FormatFault("The manifest is damaged.")
    if encode_json(manifest) != data:
        raise FormatFault("The manifest is not written the canonical way.")
    return manifest


def check_signature(manifest: Mapping[str, Any], trusted: Mapping[str, bytes]) -> str | None:
    """Return None when a trusted key signed the manifest or checkpoint, or else why that is not so.

    ``trusted`` maps key ids to public keys: 32 raw bytes (Ed25519) or 65 (an uncompressed point of P-256). What the
    key is decides how it is used, never what the signed text says of itself.
    """
    public = trusted.get(str(manifest.get("key")))
    if public is None:
        return f"it is signed by the key {manifest.get('key')}, which is not trusted here"
    if manifest.get("algorithm") != _SIZES.get(len(public)):
        return "it names another algorithm than its key is for"
    unsigned = {name: value for name, value in manifest.items() if name != "signature"}
    try:
        signature = base64.b64decode(str(manifest.get("signature")), validate=True)
        if len(public) == 32:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, encode_json(unsigned))
        else:
            point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), public)
            point.verify(signature, encode_json(unsigned), ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return "its signature does not fit what it says"
    return None
