"""The key that signs the gateway's own tokens on this machine: a P-256 key file that only its owner reads, made on
first use, in ``STATE/keys``."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from blastwall.errors import ConfigFault, Problem

FILE: Final = "tokens.key"  # PKCS #8 PEM, 0600


class LocalTokenKey:
    """Implements :class:`blastwall.identity.saml_token.TokenSigner` over a private key in memory."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self.public = key.public_key()

    async def sign(self, message: bytes) -> bytes:
        r, s = decode_dss_signature(self._key.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def load_token_key(directory: Path) -> LocalTokenKey:
    """The key of this directory, made when there is none; processes that start together get the same.

    Raises ConfigFault when the file is not a private key on P-256, or others may read it.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / FILE
    if not path.exists():
        _make(path)
    if path.stat().st_mode & 0o077:
        raise ConfigFault((Problem(str(path), 0, "Others may read this signing key: chmod 600 it, or remove it."),))
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise ConfigFault((Problem(str(path), 0, "This is not a private key in PEM form; remove it."),)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigFault((Problem(str(path), 0, "Tokens are signed with a key on P-256; remove this one."),))
    return LocalTokenKey(key)


def _make(path: Path) -> None:
    """Whole or not at all; the first of several processes wins."""
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)
    except FileExistsError:
        pass  # another process made it first: its key is the key
    finally:
        draft.unlink(missing_ok=True)
