from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from blastwall.errors import ConfigFault
from blastwall.local.token_key import FILE, load_token_key


async def test_the_key_stays_the_same_and_signs_in_the_tokens_form(tmp_path: Path) -> None:
    key, again = load_token_key(tmp_path / "keys"), load_token_key(tmp_path / "keys")
    assert key.public == again.public
    assert (tmp_path / "keys" / FILE).stat().st_mode & 0o777 == 0o600
    signature = await key.sign(b"message")
    assert len(signature) == 64
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    again.public.verify(encode_dss_signature(r, s), b"message", ec.ECDSA(hashes.SHA256()))


def test_processes_that_start_together_get_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: load_token_key(tmp_path / "keys").public.public_numbers(), range(8)))
    assert len(set(keys)) == 1
    assert [path.name for path in (tmp_path / "keys").iterdir()] == [FILE]


def test_a_key_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    load_token_key(tmp_path)
    (tmp_path / FILE).chmod(0o640)
    with pytest.raises(ConfigFault, match="chmod 600"):
        load_token_key(tmp_path)


def test_another_kind_of_key_is_not_used(tmp_path: Path) -> None:
    load_token_key(tmp_path)
    other = ec.generate_private_key(ec.SECP384R1())
    (tmp_path / FILE).write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ConfigFault, match="P-256"):
        load_token_key(tmp_path)
    (tmp_path / FILE).write_bytes(b"nonsense")
    with pytest.raises(ConfigFault, match="PEM"):
        load_token_key(tmp_path)
