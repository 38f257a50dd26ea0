"""The machine's own masking key; what every kind of it promises is in tests/contracts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from blastwall.errors import ConfigFault
from blastwall.local.masking_key import FILE, LocalMaskingKey


def test_made_once_and_private(tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(lambda _: LocalMaskingKey(directory).read().reveal(), range(8)))
    assert len(found) == 1 and len(found.pop()) == 64
    assert (directory / FILE).stat().st_mode & 0o777 == 0o600
    assert [each.name for each in directory.iterdir()] == [FILE]


def test_a_key_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    key = LocalMaskingKey(tmp_path)
    key.read()
    (tmp_path / FILE).chmod(0o644)
    with pytest.raises(ConfigFault, match="chmod 600"):
        key.read()
