from pathlib import Path

from aws_cdk import App, Stack
from aws_cdk.assertions import Template

from stacks.parts.lake import LakeChannel


def test_everything_is_under_the_condition_and_the_arn_is_empty_without_it(tmp_path: Path) -> None:
    stack = Stack(App(outdir=str(tmp_path)), "S")
    lake = LakeChannel(stack, "Lake", "audit")
    template = Template.from_stack(stack).to_json()
    (condition,) = template["Conditions"]
    assert template["Conditions"][condition] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "ExistingEventDataStoreArn"}, ""]}]
    }
    assert {item["Condition"] for item in template["Resources"].values()} == {condition}
    assert {item["Type"] for item in template["Resources"].values()} == {
        "AWS::CloudTrail::Channel",
        "AWS::CloudTrail::ResourcePolicy",
    }
    assert stack.resolve(lake.arn_or_empty)["Fn::If"][::2] == [condition, ""]


def test_only_the_account_itself_may_send(tmp_path: Path) -> None:
    stack = Stack(App(outdir=str(tmp_path)), "S")
    LakeChannel(stack, "Lake", "audit")
    (policy,) = Template.from_stack(stack).find_resources("AWS::CloudTrail::ResourcePolicy").values()
    (statement,) = policy["Properties"]["ResourcePolicy"]["Statement"]
    assert statement["Principal"] == {"AWS": {"Ref": "AWS::AccountId"}}
    assert statement["Action"] == "cloudtrail-data:PutAuditEvents"
