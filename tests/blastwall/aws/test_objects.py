"""Objects are put once and never replaced, and every failure says whether it may pass."""

from __future__ import annotations

import base64
from hashlib import sha256
from types import SimpleNamespace

import pytest

from blastwall.aws.objects import Bucket, Busy, Stands
from blastwall.errors import RecordingFault
from tests.blastwall.aws.cloud import DENIED, NAME, NO_ANSWER, SLOW_DOWN, fail, refused


def test_what_is_put_stands_and_is_never_replaced(bucket):
    bucket.put_new("recordings/a", b"first")
    with pytest.raises(Stands):
        bucket.put_new("recordings/a", b"second")
    assert bucket.get("recordings/a") == b"first"
    assert bucket.holds("recordings/a", b"first")
    assert not bucket.holds("recordings/a", b"other")
    assert [(item.key, item.size) for item in bucket.list("recordings/")] == [("recordings/a", 5)]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (SLOW_DOWN, Busy),
        (refused("InternalError", 500), Busy),
        (refused("ConditionalRequestConflict", 409), Busy),
        (NO_ANSWER, Busy),
        (DENIED, RecordingFault),
        (refused("NoSuchBucket", 404), RecordingFault),
        (refused("KMS.DisabledException", 400), RecordingFault),
        (refused("InvalidAccessKeyId", 403), RecordingFault),
    ],
)
def test_a_failure_says_whether_it_may_pass(bucket, s3, error, kind):
    s3.before = fail(error)
    with pytest.raises(RecordingFault) as caught:
        bucket.put_new("recordings/a", b"x")
    assert type(caught.value) is kind
    assert NAME in str(caught.value)


def test_a_put_carries_its_checksum_and_condition():
    sent = {}
    Bucket(SimpleNamespace(put_object=sent.update), "b").put_new("k", b"body")
    assert sent["IfNoneMatch"] == "*"
    assert sent["ChecksumSHA256"] == base64.b64encode(sha256(b"body").digest()).decode()
    assert not {"ServerSideEncryption", "ObjectLockMode", "ACL"} & set(sent), "the bucket's defaults are the stack's"


def test_the_checksum_that_s3_keeps_is_enough_to_compare():
    """moto keeps none; S3 does, and then nothing is downloaded."""
    digest = base64.b64encode(sha256(b"body").digest()).decode()
    s3 = SimpleNamespace(head_object=lambda **_: {"ChecksumSHA256": digest, "ContentLength": 4})
    assert Bucket(s3, "b").holds("k", b"body")
    assert not Bucket(s3, "b").holds("k", b"BODY")


def test_what_cannot_be_read_says_why(bucket):
    for call in (lambda: bucket.get("missing"), lambda: bucket.holds("missing", b"")):
        with pytest.raises(RecordingFault, match="missing"):
            call()
    with pytest.raises(RecordingFault, match="cannot be listed"):
        list(Bucket(bucket._s3, "no-such-bucket").list(""))
