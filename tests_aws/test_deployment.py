"""The stacks are there, and the account has what they need."""

from __future__ import annotations

from blastwall.aws import doctor
from blastwall.findings import Verdict
from tests_aws.deployed import STACKS, Deployed

DONE = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}


def test_every_stack_is_complete(deployed: Deployed) -> None:
    cloudformation = deployed.client("cloudformation")
    for part in STACKS:
        (stack,) = cloudformation.describe_stacks(StackName=deployed.stack(part))["Stacks"]
        assert stack["StackStatus"] in DONE, part


def test_the_doctor_finds_nothing_that_fails(deployed: Deployed) -> None:
    findings = list(doctor.examine(doctor.Account(deployed.client, tasks=10, task_cpu=512)))
    assert not [finding for finding in findings if finding.verdict is Verdict.FAIL]


def test_a_lake_is_used_only_where_there_is_one(deployed: Deployed) -> None:
    channels = deployed.all("Gateway", "AWS::CloudTrail::Channel")
    cloudtrail = deployed.client("cloudtrail")
    assert len(channels) <= 1
    for arn in channels.values():
        destinations = cloudtrail.get_channel(Channel=arn)["Destinations"]
        store = cloudtrail.get_event_data_store(EventDataStore=destinations[0]["Location"])
        assert store["Status"] == "ENABLED"
