"""How an assembly is deployed: in order, its assets as the CDK packs them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from rig.cloud.deployment import _ordered, _placed, _zipped


def stack(*dependencies: str) -> dict[str, object]:
    return {"type": "aws:cloudformation:stack", "dependencies": [*dependencies, "S.assets"]}


def test_stacks_come_after_those_they_depend_on() -> None:
    artifacts = {
        "A-Gateway": stack("A-Network", "A-Data"),
        "A-Data": stack("A-Network"),
        "A-Network": stack(),
        "S.assets": {"type": "cdk:asset-manifest"},
    }
    assert _ordered(artifacts) == ["A-Network", "A-Data", "A-Gateway"]


def test_placeholders_mean_the_emulated_account() -> None:
    assert _placed("assets-${AWS::AccountId}-${AWS::Region}") == "assets-123456789012-us-east-1"


def test_a_folder_is_packed_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "gateway.yaml").write_text("version: 1\n")
    (tmp_path / "b.py").write_text("pass\n")
    packed = _zipped(tmp_path)
    assert packed == _zipped(tmp_path)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.namelist() == ["b.py", "config/gateway.yaml"]
        assert archive.read("config/gateway.yaml") == b"version: 1\n"
