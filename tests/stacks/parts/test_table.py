from pathlib import Path

from aws_cdk import App, Stack
from aws_cdk import aws_kms as kms
from aws_cdk.assertions import Template

from stacks.parts.table import Index, Table, TableProps


def test_keys_indexes_and_expiry_are_as_asked(tmp_path: Path) -> None:
    stack = Stack(App(outdir=str(tmp_path)), "S")
    props = TableProps(
        kms.Key(stack, "Key"),
        ("pk", "S"),
        ("sk", "N"),
        (Index("by_x", ("x", "S")), Index("by_y", ("y", "S"), ("z", "N"))),
        "gone",
    )
    Table(stack, "Made", props)
    Template.from_stack(stack).has_resource_properties(
        "AWS::DynamoDB::Table",
        {
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            "TimeToLiveSpecification": {"AttributeName": "gone", "Enabled": True},
            "GlobalSecondaryIndexes": [
                {"IndexName": "by_x", "KeySchema": [{"AttributeName": "x", "KeyType": "HASH"}]},
                {
                    "IndexName": "by_y",
                    "KeySchema": [
                        {"AttributeName": "y", "KeyType": "HASH"},
                        {"AttributeName": "z", "KeyType": "RANGE"},
                    ],
                },
            ],
        },
    )
