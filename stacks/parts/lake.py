"""CloudTrail Lake, where the account has it: a channel into an event data store that is there already.

Lake takes no new customers, so making a store would fail the deployment in most accounts: none is ever made here. And
many regions do not know the channel's type at all: a template that names it, under any condition, is refused there.
"""

from __future__ import annotations

from aws_cdk import Aws
from aws_cdk import aws_cloudtrail as cloudtrail
from constructs import Construct


class LakeChannel(Construct):
    """Exposes ``arn``, of the channel. ``store`` is the event data store's ARN."""

    def __init__(self, scope: Construct, id: str, name: str, store: str) -> None:
        super().__init__(scope, id)
        channel = cloudtrail.CfnChannel(
            self,
            "Channel",
            name=name,
            source="Custom",
            destinations=[cloudtrail.CfnChannel.DestinationProperty(type="EVENT_DATA_STORE", location=store)],
        )
        self.arn = channel.attr_channel_arn
        statement = {
            "Sid": "OwnAccountOnly",
            "Effect": "Allow",
            "Principal": {"AWS": Aws.ACCOUNT_ID},
            "Action": "cloudtrail-data:PutAuditEvents",
            "Resource": self.arn,
        }
        cloudtrail.CfnResourcePolicy(
            self,
            "Policy",
            resource_arn=self.arn,
            resource_policy={"Version": "2012-10-17", "Statement": [statement]},
        )
