"""What was recorded cannot be taken away, and what was audited can be asked."""

from __future__ import annotations

import time
import uuid

import pytest
from botocore.exceptions import ClientError

from tests_aws.deployed import Deployed

BUCKET = "AWS::S3::Bucket"
QUERY_SECONDS = 120.0


def test_a_locked_version_stays(changing: Deployed) -> None:
    """An object of a few bytes remains until its lock ends."""
    s3, bucket = changing.client("s3"), changing.one("Data", BUCKET, "Recordings")
    key = f"probe/{uuid.uuid4().hex}"
    put = s3.put_object(Bucket=bucket, Key=key, Body=b"probe")
    with pytest.raises(ClientError) as refused:
        s3.delete_object(Bucket=bucket, Key=key, VersionId=put["VersionId"])
    assert refused.value.response["Error"]["Code"] == "AccessDenied"


def test_buckets_are_locked_versioned_encrypted_and_closed(deployed: Deployed) -> None:
    s3 = deployed.client("s3")
    for part, begins in (("Data", "Recordings"), ("Audit", "Events")):
        bucket = deployed.one(part, BUCKET, begins)
        lock = s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
        assert lock["Rule"]["DefaultRetention"]["Mode"] in ("GOVERNANCE", "COMPLIANCE")
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is False
        (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"


def test_athena_finds_the_days_events_without_a_crawler(deployed: Deployed) -> None:
    athena = deployed.client("athena")
    day = time.strftime("%Y-%m-%d", time.gmtime())
    started = athena.start_query_execution(
        QueryString=f"SELECT count(*) FROM blastwall.audit_events WHERE dt = '{day}'",  # noqa: S608  our own text
        WorkGroup=deployed.one("Audit", "AWS::Athena::WorkGroup"),
    )["QueryExecutionId"]
    deadline = time.monotonic() + QUERY_SECONDS
    while (state := athena.get_query_execution(QueryExecutionId=started)["QueryExecution"]["Status"])["State"] in (
        "QUEUED",
        "RUNNING",
    ):
        assert time.monotonic() < deadline, "Athena does not come to an end"
        time.sleep(1)
    assert state["State"] == "SUCCEEDED", state
    rows = athena.get_query_results(QueryExecutionId=started)["ResultSet"]["Rows"]
    assert int(rows[1]["Data"][0]["VarCharValue"]) >= 0
