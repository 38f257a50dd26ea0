import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from blastwall.aws import configuration
from blastwall.aws.configuration import fetch
from blastwall.config.bundle import load_bundle
from blastwall.errors import ConfigFault

CONFIG = Path(__file__).parents[3] / "config"
URL = "s3://assets/abc.zip"


class Bucket:
    """S3 as far as one object goes."""

    def __init__(self, content: bytes) -> None:
        self.content, self.asked = content, []

    def get_object(self, **request: str) -> dict[str, Any]:
        self.asked.append(request)
        return {"Body": io.BytesIO(self.content)}


def archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return out.getvalue()


def test_a_deployed_configuration_loads_as_the_version_it_was(tmp_path: Path) -> None:
    files = {f"config/{path.relative_to(CONFIG)}": path.read_bytes() for path in CONFIG.rglob("*") if path.is_file()}
    bucket = Bucket(archive(files))
    fetch(bucket, URL, tmp_path / "config")
    assert bucket.asked == [{"Bucket": "assets", "Key": "abc.zip"}]
    assert load_bundle(tmp_path / "config").version == load_bundle(CONFIG).version


@pytest.mark.parametrize("name", ["config/../../evil", "/etc/evil", "elsewhere/gateway.yaml", "config", "gateway.yaml"])
def test_nothing_is_written_outside_the_configuration(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigFault, match="does not belong"):
        fetch(Bucket(archive({name: b"x"})), URL, tmp_path / "inner" / "config")
    assert not list(tmp_path.rglob("evil"))


def test_archives_that_unpack_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "LARGEST", 10_000)
    with pytest.raises(ConfigFault, match="more than"):
        fetch(Bucket(archive({"config/big": b"\0" * 10_001})), URL, tmp_path)
    with pytest.raises(ConfigFault, match="larger than"):
        fetch(Bucket(b"x" * 10_001), URL, tmp_path)


@pytest.mark.parametrize("url", ["https://assets/abc.zip", "s3://assets", "s3:///abc.zip", ""])
def test_an_address_must_be_an_objects(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigFault, match="s3://bucket/key"):
        fetch(Bucket(b""), url, tmp_path)


def test_what_is_no_archive_or_cannot_be_had_is_told(tmp_path: Path) -> None:
    class Away:
        def get_object(self, **_: str) -> dict[str, Any]:
            raise EndpointConnectionError(endpoint_url="https://s3")

    with pytest.raises(ConfigFault, match="no ZIP archive"):
        fetch(Bucket(b"<html>"), URL, tmp_path)
    with pytest.raises(ConfigFault, match="cannot be fetched"):
        fetch(Away(), URL, tmp_path)


def test_an_archive_that_is_damaged_is_told_as_such(tmp_path: Path) -> None:
    whole = archive({"config/gateway.yaml": b"version: 1\n" * 1000})
    for number, place in enumerate((45, 60, len(whole) // 2)):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        with pytest.raises(ConfigFault):
            fetch(Bucket(bytes(damaged)), URL, tmp_path / str(number))
