from pathlib import Path

import pytest

from blastwall.config.bundle import load_bundle
from blastwall.config.deployed import load_deployed
from blastwall.errors import ConfigFault
from tests.blastwall.config.configuration import write


def test_the_deployed_version_is_loaded_and_any_without_one(tmp_path: Path) -> None:
    known = load_bundle(write(tmp_path)).version
    assert load_deployed(tmp_path, known).version == known
    assert load_deployed(tmp_path, "").version == known


def test_another_version_is_not_run_on(tmp_path: Path) -> None:
    known = load_bundle(write(tmp_path)).version
    file = tmp_path / "gateway.yaml"
    file.write_text(file.read_text().replace("rows: 10", "rows: 11"))
    with pytest.raises(ConfigFault, match=rf"bucket/key.*not {known[:12]}, which was deployed"):
        load_deployed(tmp_path, known, "s3://bucket/key")
