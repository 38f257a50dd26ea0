"""The key that signs recordings on this machine: an Ed25519 key file that only its owner reads, made on first use."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from blastwall.errors import ConfigFault, Problem
from blastwall.recording.manifest import ED25519, key_id, public_bytes

PRIVATE = "recording.key"  # PKCS #8 PEM, 0600
PUBLIC = "recording.pub"  # SubjectPublicKeyInfo PEM: copy it off this machine to verify recordings elsewhere


class LocalSigner:
    """``recording.manifest.Signer`` over a private key in memory."""

    algorithm = ED25519

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key_id = key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


def load_signer(directory: Path) -> LocalSigner:
    """Return the signer of this directory (``STATE/keys``); make its key pair when there is none.

    Processes that start together get the same key. Raises ConfigFault when the file is not an Ed25519 private key, or
    when others may read it.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / PRIVATE
    if not path.exists():
        _make(directory, path)
    if path.stat().st_mode & 0o077:
        raise ConfigFault((Problem(str(path), 0, "Others may read this signing key: chmod 600 it, or replace it."),))
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise ConfigFault((Problem(str(path), 0, "This is not a private key in PEM form."),)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigFault((Problem(str(path), 0, "Recordings are signed with Ed25519; this is another kind of key."),))
    signer = LocalSigner(key)
    public = directory / PUBLIC
    if not public.exists():
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        _place(public, pem, replace=True)
    return signer


def trusted_keys(*files: Path) -> Mapping[str, bytes]:
    """Read public keys (PEM, Ed25519 or P-256) for verification: key id to raw bytes. Raises ConfigFault."""
    keys = {}
    for path in files:
        try:
            key = load_pem_public_key(path.read_bytes())
        except (ValueError, OSError) as error:
            raise ConfigFault((Problem(str(path), 0, "This is not a readable public key in PEM form."),)) from error
        try:
            raw = public_bytes(key)
        except ValueError as error:
            raise ConfigFault((Problem(str(path), 0, str(error)),)) from error
        keys[key_id(raw)] = raw
    return keys


def _make(directory: Path, path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    _place(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), replace=False)


def _place(path: Path, content: bytes, *, replace: bool) -> None:
    """Write a whole file or none. Without ``replace`` the first of several processes wins."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            draft.replace(path)
        else:
            try:
                path.hardlink_to(draft)
            except FileExistsError:
                pass  # another process made it first: its key is the key
    finally:
        draft.unlink(missing_ok=True)
