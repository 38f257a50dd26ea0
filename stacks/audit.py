"""Audit events that can be asked: locked JSON lines in S3 with a Glue table, and a log group."""

from __future__ import annotations

from aws_cdk import Aws, RemovalPolicy, Tags
from aws_cdk import aws_athena as athena
from aws_cdk import aws_glue as glue
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from blastwall.audit.columns import (
    PARTITIONS,
    PREFIX,
    SERDE,
    SERDE_PARAMETERS,
    TABLE,
    hive_columns,
    table_parameters,
)
from stacks.function_stack import Foundation, FunctionStack
from stacks.parts.bucket import BucketProps, LockedBucket
from stacks.storage import RESULTS, DataStack


class AuditStack(FunctionStack):
    """Exposes ``events`` (the bucket), ``log_group``, ``table``, ``workgroup`` and ``functions``.

    Events and their log stay when it goes.
    """

    def __init__(self, scope: Construct, id: str, ground: Foundation) -> None:
        super().__init__(scope, id, "audit events and recordings that nobody finished", ground)
        blueprint, data, values = ground.blueprint, ground.data, ground.values
        locked = BucketProps(self.key, blueprint.lock_mode, blueprint.lock_days, data.access_log, "audit/")
        self.events: s3.Bucket = LockedBucket(self, "Events", locked).bucket
        self.log_group = logs.LogGroup(
            self,
            "Log",
            retention=logs.RetentionDays.ONE_YEAR,
            encryption_key=self.key,
            removal_policy=RemovalPolicy.RETAIN,
        )
        # CloudWatch's unified data store shows log groups by these two tags.
        Tags.of(self.log_group).add("cw:datasource:name", "blastwall")
        Tags.of(self.log_group).add("cw:datasource:type", "audit")
        self.table = self._table()
        self.workgroup = self._workgroup(data)
        values.put("audit_bucket", self.events.bucket_name)
        values.put("audit_log_group", self.log_group.log_group_name)
        values.own("audit-objects", self.events.arn_for_objects("*"))
        values.own("audit-log", self.log_group.log_group_arn)
        self.build(self.rows("audit"))

    def _table(self) -> glue.CfnTable:
        """Partition projection: a new day needs no crawler and no ALTER TABLE. The database has the deployment's name:
        an account may hold several."""
        name = self.ground.blueprint.name.lower().replace("-", "_")
        database = glue.CfnDatabase(
            self,
            "Database",
            catalog_id=Aws.ACCOUNT_ID,
            database_input=glue.CfnDatabase.DatabaseInputProperty(name=name, description="Blastwall's audit"),
        )
        place = f"s3://{self.events.bucket_name}/{PREFIX}"
        table = glue.CfnTable(
            self,
            "Table",
            catalog_id=Aws.ACCOUNT_ID,
            database_name=name,
            table_input=glue.CfnTable.TableInputProperty(
                name=TABLE,
                description="one OCSF event a row; docs/queries.md asks it",
                table_type="EXTERNAL_TABLE",
                partition_keys=[
                    glue.CfnTable.ColumnProperty(name=name, type=type_) for name, type_ in PARTITIONS.items()
                ],
                parameters={"EXTERNAL": "TRUE", **table_parameters(place)},
                storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
                    location=place,
                    columns=[
                        glue.CfnTable.ColumnProperty(name=name, type=type_) for name, type_ in hive_columns().items()
                    ],
                    input_format="org.apache.hadoop.mapred.TextInputFormat",
                    output_format="org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
                    serde_info=glue.CfnTable.SerdeInfoProperty(
                        serialization_library=SERDE, parameters=dict(SERDE_PARAMETERS)
                    ),
                ),
            ),
        )
        table.add_resource_dependency(database)
        return table

    def _workgroup(self, data: DataStack) -> athena.CfnWorkGroup:
        """Results are encrypted too: they quote what agents wrote."""
        return athena.CfnWorkGroup(
            self,
            "WorkGroup",
            name=f"{self.stack_name}-queries",
            state="ENABLED",
            recursive_delete_option=True,
            work_group_configuration=athena.CfnWorkGroup.WorkGroupConfigurationProperty(
                enforce_work_group_configuration=True,
                publish_cloud_watch_metrics_enabled=True,
                bytes_scanned_cutoff_per_query=100 * 1024**3,
                result_configuration=athena.CfnWorkGroup.ResultConfigurationProperty(
                    output_location=f"s3://{data.access_log.bucket_name}/{RESULTS}",
                    encryption_configuration=athena.CfnWorkGroup.EncryptionConfigurationProperty(
                        encryption_option="SSE_KMS", kms_key=self.key.key_arn
                    ),
                ),
            ),
        )
