from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_kms as kms
from aws_cdk.assertions import Template

from stacks.parts.bucket import BucketProps, LockedBucket, log_bucket
from stacks.synthesis import committed

ROOT = Path(__file__).parents[3]


def bucket(tmp_path: Path, days: int) -> dict[str, Any]:
    stack = Stack(App(outdir=str(tmp_path), context=dict(committed(ROOT))), "S")
    LockedBucket(
        stack,
        "Made",
        BucketProps(kms.Key(stack, "Key"), "compliance", days, log_bucket(stack, "Log", "athena/"), "made/"),
    )
    found = Template.from_stack(stack).find_resources("AWS::S3::Bucket")
    (made,) = [item["Properties"] for item in found.values() if "ObjectLockConfiguration" in item["Properties"]]
    return made


def test_a_long_lock_moves_to_colder_storage_and_a_short_one_does_not(tmp_path: Path) -> None:
    (long,) = bucket(tmp_path / "long", 365)["LifecycleConfiguration"]["Rules"]
    (short,) = bucket(tmp_path / "short", 30)["LifecycleConfiguration"]["Rules"]
    assert [move["TransitionInDays"] for move in long["Transitions"]] == [90]
    assert "Transitions" not in short


@pytest.mark.parametrize("days", [1, 90, 365])
def test_objects_expire_after_their_lock(tmp_path: Path, days: int) -> None:
    made = bucket(tmp_path, days)
    assert made["ObjectLockConfiguration"]["Rule"]["DefaultRetention"] == {"Mode": "COMPLIANCE", "Days": days}
    assert made["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"] == days + 30
    assert made["LoggingConfiguration"]["LogFilePrefix"] == "made/"
