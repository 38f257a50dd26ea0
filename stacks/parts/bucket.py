"""A bucket that keeps what it is given: versioned, locked, encrypted with our key, TLS only, never public."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

#: How long access logs are kept, and what Athena answered: it quotes what agents wrote (days).
LOG_DAYS, RESULT_DAYS = 400, 30


@dataclass(frozen=True, slots=True)
class BucketProps:
    """``lock_days`` is each object's retention in ``lock_mode`` (governance or compliance), from its arrival on.

    ``log_bucket`` gets the access log below ``log_prefix``.
    """

    key: kms.IKey
    lock_mode: str
    lock_days: int
    log_bucket: s3.IBucket
    log_prefix: str


class LockedBucket(Construct):
    """Exposes ``bucket``. It stays when the stack goes, with all that is in it."""

    def __init__(self, scope: Construct, id: str, props: BucketProps) -> None:
        super().__init__(scope, id)
        retention = Duration.days(props.lock_days)
        lock = s3.ObjectLockRetention
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            versioned=True,
            object_lock_enabled=True,
            object_lock_default_retention=(
                lock.governance(retention) if props.lock_mode == "governance" else lock.compliance(retention)
            ),
            encryption=s3.BucketEncryption.KMS,
            encryption_key=props.key,
            bucket_key_enabled=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            server_access_logs_bucket=props.log_bucket,
            server_access_logs_prefix=props.log_prefix,
            removal_policy=RemovalPolicy.RETAIN,
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="ColderThenGone",
                    transitions=[
                        s3.Transition(
                            storage_class=s3.StorageClass.GLACIER_INSTANT_RETRIEVAL,
                            transition_after=Duration.days(90),
                        )
                    ]
                    if props.lock_days > 90
                    else None,
                    expiration=Duration.days(props.lock_days + 30),
                    noncurrent_version_expiration=Duration.days(30),
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                )
            ],
        )
        header = "s3:x-amz-server-side-encryption"
        # An absent header is no other key: the bucket's own is used then. IfExists would deny just that.
        for sid, name, only in (
            ("OnlyOurKey", f"{header}-aws-kms-key-id", props.key.key_arn),
            ("OnlyKms", header, "aws:kms"),
        ):
            self.bucket.add_to_resource_policy(
                iam.PolicyStatement(
                    sid=sid,
                    effect=iam.Effect.DENY,
                    principals=[iam.AnyPrincipal()],
                    actions=["s3:PutObject"],
                    resources=[self.bucket.arn_for_objects("*")],
                    conditions={"StringNotEquals": {name: only}, "Null": {name: "false"}},
                )
            )


def log_bucket(scope: Construct, id: str, results: str) -> s3.Bucket:
    """Where S3 writes access logs; it takes S3's own encryption only. Queries' results lie below ``results``."""
    bucket = s3.Bucket(
        scope,
        id,
        versioned=True,
        encryption=s3.BucketEncryption.S3_MANAGED,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        removal_policy=RemovalPolicy.RETAIN,
        # In a bucket with versions, what expires is only hidden: it is gone when versions expire, too.
        lifecycle_rules=[
            s3.LifecycleRule(
                id="Logs", expiration=Duration.days(LOG_DAYS), noncurrent_version_expiration=Duration.days(1)
            ),
            s3.LifecycleRule(
                id="Results",
                prefix=results,
                expiration=Duration.days(RESULT_DAYS),
                noncurrent_version_expiration=Duration.days(1),
                abort_incomplete_multipart_upload_after=Duration.days(1),
            ),
        ],
    )
    bucket.add_to_resource_policy(
        iam.PolicyStatement(
            sid="OwnLogsOnly",  # the CDK names no source where the bucket that is logged is another stack's
            effect=iam.Effect.DENY,
            principals=[iam.ServicePrincipal("logging.s3.amazonaws.com")],
            actions=["s3:PutObject"],
            resources=[bucket.arn_for_objects("*")],
            conditions={"StringNotEquals": {"aws:SourceAccount": Stack.of(scope).account}},
        )
    )
    return bucket
