from pathlib import Path

from aws_cdk import App, Stack, Validations
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from stacks.acknowledgments import ROWS, acknowledge

KEY = Validations.ACKNOWLEDGED_RULES_METADATA_KEY


def acknowledged(construct: Construct) -> set[str]:
    return {id for entry in construct.node.metadata if entry.type == KEY for id in entry.data}


def test_every_acknowledgment_says_why() -> None:
    for row in ROWS:
        assert len(row["reason"].split()) > 8, row["rule"]
        assert row["where"], row["rule"]


def test_a_path_is_one_construct_and_a_class_all_of_it(tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path))
    gateway, other = Stack(app, "Mine-Gateway"), Stack(app, "Mine-Other")
    vpc = ec2.Vpc(gateway, "Vpc")
    balancer = elb.NetworkLoadBalancer(gateway, "Balancer", vpc=vpc)
    elsewhere = elb.NetworkLoadBalancer(other, "Balancer", vpc=vpc)
    queue = sqs.Queue(other, "Dead")
    acknowledge(app, "Mine")
    assert any("ELB2" in id for id in acknowledged(balancer))
    assert not any("ELB2" in id for id in acknowledged(elsewhere))
    assert any("SQS3" in id for id in acknowledged(queue))
