"""Who can reach whom: agents the load balancer, it the tasks, tasks and functions the targets, nobody anything else."""

import json
from pathlib import Path
from typing import Any

from aws_cdk import App
from aws_cdk.assertions import Template

from stacks.blueprint import draw
from stacks.network import NetworkStack
from tests.stacks.deployment import Deployment, plain

ROOT = Path(__file__).parents[2]
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:away-AbCdEf"


def rules(deployment: Deployment, direction: str) -> dict[str, set[tuple[str, int]]]:
    """For each group: what stands on the other side (a range or a group) and the port."""
    found: dict[str, set[tuple[str, int]]] = {}
    inline = f"SecurityGroup{direction}"
    for id, group in deployment.properties("AWS::EC2::SecurityGroup", "Network").items():
        found[id] = {
            (rule["CidrIp"] if isinstance(rule.get("CidrIp"), str) else "?", rule["FromPort"])
            for rule in group.get(inline, [])
            if "FromPort" in rule
        }
        found[id] = {rule for rule in found[id] if rule != ("255.255.255.255/32", 252)}
    for rule in deployment.properties(f"AWS::EC2::{inline}", "Network").values():
        other = rule["SourceSecurityGroupId" if direction == "Ingress" else "DestinationSecurityGroupId"]
        found[group_of(rule["GroupId"])].add((group_of(other), rule["FromPort"]))
        assert rule["FromPort"] == rule["ToPort"] and rule["IpProtocol"] == "tcp"
    return found


def group_of(reference: Any) -> str:
    return plain(reference["Fn::GetAtt"][0])


def test_agents_reach_the_load_balancer_on_their_protocols_port_only(deployed: Deployment, given: Deployment) -> None:
    assert rules(deployed, "Ingress")["Balancer"] == {("10.80.0.0/16", 5432)}
    assert rules(given, "Ingress")["Balancer"] == {
        (clients, port) for clients in ("10.2.0.0/16", "192.168.7.0/24") for port in (22, 5432)
    }


def test_only_the_load_balancer_reaches_the_tasks(every: list[Deployment]) -> None:
    for deployment in every:
        ports = {5432, 8080} | ({20022} if deployment.folder.name == "given" else set())  # nobody may take 22 inside
        assert rules(deployment, "Ingress")["Proxy"] == {("Balancer", port) for port in ports}
        assert rules(deployment, "Egress")["Balancer"] == {("Proxy", port) for port in ports}
        assert rules(deployment, "Ingress")["Functions"] == set()
        assert rules(deployment, "Ingress")["Spool"] == {("Proxy", 2049), ("Functions", 2049)}


def test_targets_are_reached_where_the_configuration_says_they_are(given: Deployment) -> None:
    for group in ("Proxy", "Functions"):
        assert rules(given, "Egress")[group] == {
            ("0.0.0.0/0", 443),
            ("Spool", 2049),
            ("10.1.8.0/24", 5432),
            ("10.1.4.0/24", 22),
            ("10.1.0.0/16", 6432),
            ("10.1.0.0/16", 5432),
        }


def test_each_topology_has_its_own_way_out(deployed: Deployment, trial: Deployment, isolated: Deployment) -> None:
    assert len(deployed.all("AWS::EC2::NatGateway")) == 1
    assert not trial.all("AWS::EC2::NatGateway")
    (instance,) = trial.properties("AWS::EC2::Instance").values()
    assert instance["InstanceType"] == "t4g.nano" and instance["SourceDestCheck"] is False
    for nothing in ("AWS::EC2::NatGateway", "AWS::EC2::Instance", "AWS::EC2::InternetGateway"):
        assert not isolated.all(nothing)
    names = {str(item["ServiceName"]) for item in isolated.properties("AWS::EC2::VPCEndpoint").values()}
    for service in ("sts", "kms", "lambda", "secretsmanager", "logs", "ecr.dkr", "s3", "dynamodb"):
        assert any(f".{service}" in name for name in names), service


def test_a_given_network_is_used_and_none_is_made(given: Deployment) -> None:
    for type_ in ("AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::RouteTable"):
        assert not given.all(type_)
    (service,) = given.properties("AWS::ECS::Service").values()
    subnets = service["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"]
    assert subnets == ["subnet-0a1b2c3d", "subnet-1a2b3c4d"]


def test_a_network_of_our_own_gives_no_addresses_away_and_logs_its_flows(deployed: Deployment) -> None:
    for subnet in deployed.properties("AWS::EC2::Subnet").values():
        assert subnet["MapPublicIpOnLaunch"] is False
    assert len(deployed.all("AWS::EC2::FlowLog")) == 1


def test_no_template_looks_anything_up(every: list[Deployment]) -> None:
    """Templates fit any account and region: synthesis asked nobody."""
    for deployment in every:
        assert '"missing"' not in (deployment.folder / "manifest.json").read_text()
        assert "aws://unknown-account/unknown-region" in (deployment.folder / "manifest.json").read_text()


def test_targets_elsewhere_are_reached_by_their_own_address_and_through_the_nat_instance(tmp_path: Path) -> None:
    """A host beyond the network is on its own port: what forwards packets must take that, too."""
    away = {
        "protocol": "postgres",
        "host": "db.example.com",
        "port": 5433,
        "networks": ["203.0.113.0/24", "2001:db8::/64"],
    }
    inside = {**away, "port": 5434, "networks": ["10.80.9.0/24"]}
    credential = {"kind": "static", "user": "agent", "secret_arn": SECRET}
    (tmp_path / "more.json").write_text(
        json.dumps(
            {"targets": {"away": {**away, "credential": credential}, "near": {**inside, "credential": credential}}}
        )
    )
    team = {"config": "tests/stacks/config", "rds_ca_sha256": "0" * 64, "approval_secret": SECRET}
    context = {**team, "topology": "dev"}
    blueprint = draw({**context, "overrides": str(tmp_path / "more.json")}, ROOT, tmp_path)
    stack = NetworkStack(App(outdir=str(tmp_path / "out"), analytics_reporting=False), "Network", blueprint)
    template = Template.from_stack(stack).to_json()["Resources"]
    groups = {
        plain(id): item["Properties"] for id, item in template.items() if item["Type"] == "AWS::EC2::SecurityGroup"
    }
    opened = {
        (rule.get("CidrIp", rule.get("CidrIpv6")), rule["FromPort"]) for rule in groups["Proxy"]["SecurityGroupEgress"]
    }
    assert {("203.0.113.0/24", 5433), ("2001:db8::/64", 5433), ("10.80.9.0/24", 5434)} <= opened
    (nat,) = [group for id, group in groups.items() if "Nat" in id]
    forwarded = {(rule["CidrIp"], rule["FromPort"]) for rule in nat["SecurityGroupIngress"]}
    assert {("10.80.0.0/16", 443), ("10.80.0.0/16", 5433)} <= forwarded
    assert ("10.80.0.0/16", 5434) not in forwarded, "inside, nothing is forwarded"
