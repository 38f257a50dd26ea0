"""What an assembly is named by: everything that it is made from, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rig.cloud import assembly

ROOT = Path(__file__).parents[3]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "config", tmp_path / "config"))


def test_the_name_is_of_the_content_wherever_it_lies(config: Path, tmp_path: Path) -> None:
    name = assembly._digest(config, "{}", {"topology": "dev"})
    elsewhere = Path(shutil.copytree(config, tmp_path / "other" / "config"))
    assert assembly._digest(elsewhere, "{}", {"topology": "dev"}) == name
    assert assembly._digest(config, '{"version": 1}', {"topology": "dev"}) != name
    assert assembly._digest(config, "{}", {"topology": "nat"}) != name
    (config / "policies" / "10-connect.cedar").write_text("// nobody\n")
    assert assembly._digest(config, "{}", {"topology": "dev"}) != name


def test_one_that_is_there_is_used_as_it_is(config: Path, tmp_path: Path) -> None:
    made = tmp_path / "cache" / assembly._digest(config, "{}", {}) / "assembly"
    made.mkdir(parents=True)
    assert assembly.synthesize(tmp_path / "cache", config, {}, {}) == made
