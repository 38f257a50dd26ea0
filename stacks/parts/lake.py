"""CloudTrail Lake, where the account has it: a channel into an event data store that is there already.

Lake takes no new customers, so making a store would fail the deployment in most accounts: none is ever made here.
"""

from __future__ import annotations

from aws_cdk import Aws, CfnCondition, CfnParameter, Fn
from aws_cdk import aws_cloudtrail as cloudtrail
from constructs import Construct


class LakeChannel(Construct):
    """Exposes ``given`` (the condition that there is a store), ``channel`` (made under it) and ``arn_or_empty``.

    The stack gets the parameter ``ExistingEventDataStoreArn``, empty by default.
    """

    def __init__(self, scope: Construct, id: str, name: str) -> None:
        super().__init__(scope, id)
        store = CfnParameter(
            self,
            "Store",
            default="",
            allowed_pattern="^$|^arn:aws[a-z-]*:cloudtrail:[a-z0-9-]+:[0-9]{12}:eventdatastore/[A-Za-z0-9-]+$",
            description="A CloudTrail Lake event data store for activity from outside AWS; empty: none",
        )
        store.override_logical_id("ExistingEventDataStoreArn")
        self.given = CfnCondition(
            self, "Given", expression=Fn.condition_not(Fn.condition_equals(store.value_as_string, ""))
        )
        self.channel = cloudtrail.CfnChannel(
            self,
            "Channel",
            name=name,
            source="Custom",
            destinations=[
                cloudtrail.CfnChannel.DestinationProperty(type="EVENT_DATA_STORE", location=store.value_as_string)
            ],
        )
        self.channel.cfn_options.condition = self.given
        statement = {
            "Sid": "OwnAccountOnly",
            "Effect": "Allow",
            "Principal": {"AWS": Aws.ACCOUNT_ID},
            "Action": "cloudtrail-data:PutAuditEvents",
            "Resource": self.channel.attr_channel_arn,
        }
        policy = cloudtrail.CfnResourcePolicy(
            self,
            "Policy",
            resource_arn=self.channel.attr_channel_arn,
            resource_policy={"Version": "2012-10-17", "Statement": [statement]},
        )
        policy.cfn_options.condition = self.given
        self.arn_or_empty = Fn.condition_if(self.given.logical_id, self.channel.attr_channel_arn, "").to_string()
