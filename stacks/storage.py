"""What must outlive the gateway: keys, recordings, tables, and the spool of recordings under way."""

from __future__ import annotations

from aws_cdk import ArnFormat, CfnOutput, RemovalPolicy, Stack
from aws_cdk import aws_efs as efs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from stacks.blueprint import Blueprint
from stacks.network import NetworkStack
from stacks.parts.bucket import BucketProps, LockedBucket, log_bucket
from stacks.parts.table import Index, Table, TableProps
from stacks.values import Values

#: Tables that operators see and change by `blastwall --aws`, with AWS credentials of their own.
OPERATED = ("sessions", "leases", "approvals")
#: Only where people sign in by SAML (``identity.saml``): what is under way, and which assertions were seen.
SIGN_INS = "sign_ins"
#: The user that tasks and functions are on the spool; the image runs as the same.
USER = 10001
#: Where Athena writes its answers, in the bucket of the access logs.
RESULTS = "athena/"
#: How long what an approved change overwrote is locked (days): a target's own data, kept no longer than it is of use.
UNDO_DAYS = 30
TABLES = {
    "sessions": (("id", "S"), None, (Index("by_agent", ("agent", "S")),), "ttl"),
    "leases": (("session", "S"), ("lease", "S"), (Index("by_state", ("state", "S"), ("expires_at", "N")),), "ttl"),
    "approvals": (
        ("id", "S"),
        None,
        (
            Index("by_state", ("state", "S"), ("requested_at", "N")),
            Index("by_agent", ("agent", "S"), ("requested_at", "N")),
        ),
        "ttl",
    ),
}


class DataStack(Stack):
    """Exposes ``key`` (all data at rest), ``token_key`` (approval task tokens), ``manifest_key`` (signs recordings),
    ``masking_key`` (a secret), ``recordings``, ``undo`` and ``undo_key``
    (what approved changes overwrote), ``access_log``, ``tables``, ``spool`` and ``spool_access``; all of it
    stays when the stack is deleted.
    """

    def __init__(self, scope: Construct, id: str, blueprint: Blueprint, network: NetworkStack, values: Values) -> None:
        super().__init__(scope, id, description="Blastwall: keys, recordings, tables", analytics_reporting=False)
        self.key = self._key("Key", "Blastwall: data at rest")
        self._allow_logs()
        self.token_key = self._key("TokenKey", "Blastwall: task tokens of approvals that wait")
        self.manifest_key = kms.Key(
            self,
            "ManifestKey",
            description="Blastwall: signs the manifests of recordings",
            key_spec=kms.KeySpec.ECC_NIST_P256,
            key_usage=kms.KeyUsage.SIGN_VERIFY,
            removal_policy=RemovalPolicy.RETAIN,
        )
        self.masking_key = secretsmanager.Secret(
            self,
            "MaskingKey",
            description="Blastwall: what hash and fake are made with; another value gives other masks",
            encryption_key=self.key,
            generate_secret_string=secretsmanager.SecretStringGenerator(password_length=64, exclude_punctuation=True),
            removal_policy=RemovalPolicy.RETAIN,
        )
        self.access_log = log_bucket(self, "AccessLog", RESULTS)
        locked = BucketProps(self.key, blueprint.lock_mode, blueprint.lock_days, self.access_log, "recordings/")
        self.recordings: s3.Bucket = LockedBucket(self, "Recordings", locked).bucket
        self.undo_key = self._key("UndoKey", "Blastwall: seals what approved changes overwrote")
        days = min(blueprint.lock_days, UNDO_DAYS)
        kept = BucketProps(self.key, blueprint.lock_mode, days, self.access_log, "undo/")
        self.undo: s3.Bucket = LockedBucket(self, "Undo", kept).bucket
        self.tables = {
            name: Table(self, f"{name.capitalize()}Table", TableProps(self.key, partition, sort, indexes, expiry)).table
            for name, (partition, sort, indexes, expiry) in TABLES.items()
        }
        saml = bool(blueprint.bundle.config.identity.saml)
        self.gateway_key = self._gateway_key() if saml else None
        if saml:
            self.tables[SIGN_INS] = Table(
                self, "SignInsTable", TableProps(self.key, ("id", "S"), None, (), "ttl")
            ).table
        self.spool, self.spool_access = self._spool(network)
        self._put(values)

    def _key(self, id: str, about: str) -> kms.Key:
        return kms.Key(self, id, description=about, enable_key_rotation=True, removal_policy=RemovalPolicy.RETAIN)

    def _gateway_key(self) -> kms.Key:
        """Signs the gateway's own tokens. Asymmetric keys are not rotated by KMS; its tokens live for hours at most."""
        return kms.Key(
            self,
            "GatewayKey",
            description="Blastwall: signs the gateway's own tokens, for people who signed in by SAML",
            key_spec=kms.KeySpec.ECC_NIST_P256,
            key_usage=kms.KeyUsage.SIGN_VERIFY,
            removal_policy=RemovalPolicy.RETAIN,
        )

    def _allow_logs(self) -> None:
        """CloudWatch Logs and alarms' topics use the key in their own name, for this account's resources only."""
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="LogGroups",
                principals=[iam.ServicePrincipal(f"logs.{self.region}.{self.url_suffix}")],
                actions=["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
                resources=["*"],
                conditions={
                    "ArnLike": {
                        "kms:EncryptionContext:aws:logs:arn": self.format_arn(
                            service="logs",
                            resource="log-group",
                            resource_name="*",
                            arn_format=ArnFormat.COLON_RESOURCE_NAME,
                        )
                    }
                },
            )
        )
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsAndSchedules",  # dead letters; to a topic EventBridge brings a role
                principals=[
                    iam.ServicePrincipal("cloudwatch.amazonaws.com"),
                    iam.ServicePrincipal("events.amazonaws.com"),
                ],
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": self.account}},
            )
        )

    def _mounting(self) -> iam.PolicyDocument:
        """Who mounts the spool is up to their own policies, in this account alone; over TLS, and never as root."""
        return iam.PolicyDocument(
            statements=[
                iam.PolicyStatement(
                    sid="OwnAccount",
                    principals=[iam.AccountRootPrincipal()],
                    actions=["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
                    conditions={"Bool": {"elasticfilesystem:AccessedViaMountTarget": "true"}},
                ),
                iam.PolicyStatement(
                    sid="TlsOnly",
                    effect=iam.Effect.DENY,
                    principals=[iam.AnyPrincipal()],
                    actions=["*"],
                    conditions={"Bool": {"aws:SecureTransport": "false"}},
                ),
            ]
        )

    def _spool(self, network: NetworkStack) -> tuple[efs.FileSystem, efs.AccessPoint]:
        system = efs.FileSystem(
            self,
            "Spool",
            vpc=network.vpc,
            vpc_subnets=network.inside,
            security_group=network.spool,
            encrypted=True,
            kms_key=self.key,
            throughput_mode=efs.ThroughputMode.ELASTIC,
            enable_automatic_backups=False,  # what is in it moves to the recordings bucket within minutes
            file_system_policy=self._mounting(),
            allow_anonymous_access=True,  # adds no statement of the CDK's: ours names nobody anonymous
            removal_policy=RemovalPolicy.RETAIN,
        )
        access = efs.AccessPoint(
            self,
            "SpoolAccess",
            file_system=system,
            path="/spool",
            posix_user=efs.PosixUser(uid=str(USER), gid=str(USER)),
            create_acl=efs.Acl(owner_uid=str(USER), owner_gid=str(USER), permissions="0700"),
        )
        return system, access

    def _put(self, values: Values) -> None:
        values.put("recordings_bucket", self.recordings.bucket_name)
        values.put("manifest_key_id", self.manifest_key.key_arn)
        values.put("token_key_id", self.token_key.key_arn)
        values.own("data-key", self.key.key_arn)
        values.own("token-key", self.token_key.key_arn)
        values.own("manifest-key", self.manifest_key.key_arn)
        values.own("recordings", self.recordings.bucket_arn)
        values.own("recordings-objects", self.recordings.arn_for_objects("*"))
        values.put("undo_bucket", self.undo.bucket_name)
        values.put("undo_key_id", self.undo_key.key_arn)
        values.own("undo-objects", self.undo.arn_for_objects("undo/*"))
        values.own("undo-key", self.undo_key.key_arn)
        values.own("gateway-key", *([self.gateway_key.key_arn] if self.gateway_key is not None else []))
        if self.gateway_key is not None:
            values.put("gateway_key_id", self.gateway_key.key_arn)
        values.own("spool", self.spool.file_system_arn)
        for name, table in self.tables.items():
            values.put(f"{name}_table", table.table_name)
            values.own(f"{name.replace('_', '-')}-table", table.table_arn)
            values.own(f"{name.replace('_', '-')}-indexes", f"{table.table_arn}/index/*")
        for name in OPERATED:
            made = self.tables[name]
            CfnOutput(self, f"{name.capitalize()}TableName", value=made.table_name, description="for --aws of the CLI")
