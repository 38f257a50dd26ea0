"""What the recorder's tests share: moto's server on loopback, and an empty bucket in it for each test."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from blastwall.aws.objects import Bucket
from blastwall.aws.signer import KmsSigner
from tests.blastwall.aws.cloud import NAME, REGION, Faulty, patient


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)


@pytest.fixture
def s3(endpoint: str, credentials: None) -> Faulty:
    """An S3 client with one empty bucket behind it, as the stacks make it: nothing in it can be replaced."""
    real: Any = patient("s3", endpoint)
    for bucket in real.list_buckets()["Buckets"]:
        for item in real.list_objects_v2(Bucket=bucket["Name"]).get("Contents", ()):
            real.delete_object(Bucket=bucket["Name"], Key=item["Key"])
        for old in real.list_object_versions(Bucket=bucket["Name"]).get("Versions", ()):
            real.delete_object(Bucket=bucket["Name"], Key=old["Key"], VersionId=old["VersionId"])
        for gone in real.list_object_versions(Bucket=bucket["Name"]).get("DeleteMarkers", ()):
            real.delete_object(Bucket=bucket["Name"], Key=gone["Key"], VersionId=gone["VersionId"])
        real.delete_bucket(Bucket=bucket["Name"])
    real.create_bucket(
        Bucket=NAME, CreateBucketConfiguration={"LocationConstraint": REGION}, ObjectLockEnabledForBucket=True
    )
    return Faulty(real)


@pytest.fixture
def bucket(s3: Faulty) -> Bucket:
    return Bucket(s3, NAME)


@pytest.fixture
def kms(endpoint: str, credentials: None) -> Any:
    return patient("kms", endpoint)


@pytest.fixture
def key(kms: Any) -> str:
    return str(kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"])


@pytest.fixture
def signer(kms: Any, key: str) -> KmsSigner:
    return KmsSigner(kms, key)


@pytest.fixture
def trusted(signer: KmsSigner) -> dict[str, bytes]:
    return {signer.key_id: signer.public}
