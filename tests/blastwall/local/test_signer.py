"""The signing key: made once, for its owner alone, and nothing else is taken for one."""

from __future__ import annotations

import stat
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from blastwall.errors import ConfigFault
from blastwall.local.signer import load_signer, trusted_keys


def test_the_key_is_made_once_and_private(tmp_path):
    keys = tmp_path / "state" / "keys"
    first = load_signer(keys)
    again = load_signer(keys)
    assert first.key_id == again.key_id
    assert stat.S_IMODE((keys / "recording.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    assert trusted_keys(keys / "recording.pub") == {first.key_id: first.public}
    assert sorted(path.name for path in keys.iterdir()) == ["recording.key", "recording.pub"]


def test_many_processes_starting_together_get_one_key(tmp_path):
    ids = []
    barrier = threading.Barrier(6)

    def start():
        barrier.wait()
        ids.append(load_signer(tmp_path / "keys").key_id)

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 6
    assert len(set(ids)) == 1


def test_a_key_that_others_may_read_is_refused(tmp_path):
    load_signer(tmp_path)
    (tmp_path / "recording.key").chmod(0o640)
    with pytest.raises(ConfigFault, match="chmod 600"):
        load_signer(tmp_path)


def test_other_kinds_of_keys_are_refused(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "recording.key"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    with pytest.raises(ConfigFault, match="Ed25519"):
        load_signer(tmp_path)
    path.write_bytes(b"nonsense")
    with pytest.raises(ConfigFault, match="PEM"):
        load_signer(tmp_path)
    public = tmp_path / "other.pub"
    weak = ec.generate_private_key(ec.SECP384R1()).public_key()
    public.write_bytes(weak.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(ConfigFault, match="Ed25519 or ECDSA on P-256"):
        trusted_keys(public)
    with pytest.raises(ConfigFault, match="public key"):
        trusted_keys(tmp_path / "missing.pub")


def test_public_keys_of_both_kinds_are_trusted(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    public = tmp_path / "kms.pub"
    public.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    own = load_signer(tmp_path / "keys")
    trusted = trusted_keys(public, tmp_path / "keys" / "recording.pub")
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert set(trusted.values()) == {point, own.public}
    assert {len(raw) for raw in trusted.values()} == {32, 65}
