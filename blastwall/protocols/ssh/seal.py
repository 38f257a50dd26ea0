"""An agent's token, sealed inside the certificate that stock ssh clients show in its place.

OpenSSH cannot send a token as a password (from 1,023 bytes on it sends an empty one), so the agent trades it for a user
certificate. The certificate's key id carries the token itself, encrypted by the gateway for the gateway: at each
connection the token is taken out and verified as any other, so that its expiry, a lock and a kill mean the same on
every road, nothing is kept between tasks, and a certificate that is shown to another host tells it nothing.

AES-256-GCM (NIST SP 800-38D) under a key derived from the user CA's private key by HKDF-SHA256 (RFC 5869). Pure.
"""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from blastwall.errors import TokenFault
from blastwall.model import Secret

NONCE_BYTES = 12
LONGEST = 16 * 1024  # characters of a sealed token: twice what a verifier takes of a token
_PREFIX = "blastwall1."


def sealing_key(private: bytes) -> bytes:
    """32 bytes from the user CA's private key, whatever its form."""
    return HKDF(SHA256(), 32, salt=None, info=b"blastwall sealed token 1").derive(private)


def seal(token: Secret, key: bytes, nonce: bytes) -> str:
    """ASCII text that only the holder of ``key`` can open. ``nonce``: 12 random bytes, never used twice."""
    hidden = AESGCM(key).encrypt(nonce, token.reveal().encode(), _PREFIX.encode())
    return _PREFIX + base64.urlsafe_b64encode(nonce + hidden).decode().rstrip("=")


def unseal(text: str, key: bytes) -> Secret:
    """The token. Raises TokenFault for anything that was not sealed with this key."""
    fault = TokenFault("this certificate was not made by this gateway: get another with `blastwall ssh login`")
    if not text.startswith(_PREFIX) or len(text) > LONGEST:
        raise fault
    packed = text.removeprefix(_PREFIX)
    try:
        data = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
        return Secret(AESGCM(key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], _PREFIX.encode()).decode())
    except (binascii.Error, ValueError, InvalidTag):
        raise fault from None
