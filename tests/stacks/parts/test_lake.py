from pathlib import Path

from aws_cdk import App, Stack
from aws_cdk.assertions import Template

from stacks.parts.lake import LakeChannel

STORE = "arn:aws:cloudtrail:eu-west-1:123456789012:eventdatastore/0a1b2c3d-1111-2222-3333-444455556666"


def made(tmp_path: Path) -> Template:
    stack = Stack(App(outdir=str(tmp_path)), "S")
    LakeChannel(stack, "Lake", "audit", STORE)
    return Template.from_stack(stack)


def test_the_channel_leads_into_the_store_that_is_there_and_none_is_made(tmp_path: Path) -> None:
    template = made(tmp_path)
    assert {item["Type"] for item in template.to_json()["Resources"].values()} == {
        "AWS::CloudTrail::Channel",
        "AWS::CloudTrail::ResourcePolicy",
    }
    (channel,) = template.find_resources("AWS::CloudTrail::Channel").values()
    assert channel["Properties"]["Source"] == "Custom"
    assert channel["Properties"]["Destinations"] == [{"Type": "EVENT_DATA_STORE", "Location": STORE}]


def test_only_the_account_itself_may_send(tmp_path: Path) -> None:
    (policy,) = made(tmp_path).find_resources("AWS::CloudTrail::ResourcePolicy").values()
    (statement,) = policy["Properties"]["ResourcePolicy"]["Statement"]
    assert statement["Principal"] == {"AWS": {"Ref": "AWS::AccountId"}}
    assert statement["Action"] == "cloudtrail-data:PutAuditEvents"
