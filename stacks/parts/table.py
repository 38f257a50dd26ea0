"""A table as all of ours are: on demand, recoverable to any second, encrypted with our key, its items expiring."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from constructs import Construct

_TYPES = {"S": dynamodb.AttributeType.STRING, "N": dynamodb.AttributeType.NUMBER}
Key = tuple[str, str]  # an attribute's name and type, S or N


@dataclass(frozen=True, slots=True)
class Index:
    """A global secondary index with all attributes."""

    name: str
    partition: Key
    sort: Key | None = None


@dataclass(frozen=True, slots=True)
class TableProps:
    """``expiry`` is the attribute with the second (since the epoch) after which an item may be removed."""

    key: kms.IKey
    partition: Key
    sort: Key | None = None
    indexes: tuple[Index, ...] = ()
    expiry: str = "ttl"


class Table(Construct):
    """Exposes ``table``. It stays when the stack goes: who did what must not vanish with the gateway."""

    def __init__(self, scope: Construct, id: str, props: TableProps) -> None:
        super().__init__(scope, id)
        self.table = dynamodb.Table(
            self,
            "Table",
            partition_key=_attribute(props.partition),
            sort_key=_attribute(props.sort) if props.sort else None,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=props.key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            time_to_live_attribute=props.expiry,
            deletion_protection=True,
            removal_policy=RemovalPolicy.RETAIN,
        )
        for index in props.indexes:
            self.table.add_global_secondary_index(
                index_name=index.name,
                partition_key=_attribute(index.partition),
                sort_key=_attribute(index.sort) if index.sort else None,
                projection_type=dynamodb.ProjectionType.ALL,
            )


def _attribute(key: Key) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=key[0], type=_TYPES[key[1]])
