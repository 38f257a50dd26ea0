"""The configuration as it was deployed: one archive in S3, unpacked where the gateway reads it."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from blastwall.errors import ConfigFault, Problem

FOLDER = "config"  # its name in the archive
LARGEST = 64 * 1024 * 1024  # bytes, unpacked
MOST_FILES = 10_000


def fetch(s3: Any, url: str, directory: Path) -> None:  # noqa: ANN401  boto3 has no types
    """Fetch ``s3://bucket/key`` and write its files below ``directory``, which must not exist or be empty.

    Raises ConfigFault for an address, an object or an archive that is not as it should be.
    """
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or not parts.path.strip("/"):
        raise _wrong(url, "write s3://bucket/key")
    try:
        answer = s3.get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))
        content = answer["Body"].read(LARGEST + 1)
    except (ClientError, BotoCoreError) as fault:
        raise _wrong(url, f"cannot be fetched: {fault}") from None
    if len(content) > LARGEST:
        raise _wrong(url, f"larger than {LARGEST} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _unpack(archive, directory, url)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, IndexError, EOFError):  # damaged, or encrypted
        raise _wrong(url, "no ZIP archive that reads") from None


def _unpack(archive: zipfile.ZipFile, directory: Path, url: str) -> None:
    files = [item for item in archive.infolist() if not item.is_dir()]
    if len(files) > MOST_FILES or sum(item.file_size for item in files) > LARGEST:
        raise _wrong(url, f"more than {MOST_FILES} files, or more than {LARGEST} bytes unpacked")
    for item in files:
        path = Path(item.filename)
        if path.is_absolute() or ".." in path.parts or len(path.parts) < 2 or path.parts[0] != FOLDER:
            raise _wrong(url, f"{item.filename!r} does not belong into a configuration")
        place = directory.joinpath(*path.parts[1:])
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(archive.read(item))


def _wrong(url: str, message: str) -> ConfigFault:
    return ConfigFault((Problem(url, 0, message),))
