"""The network: a VPC made or given, and the security groups with every rule between them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from blastwall.model import Target
from stacks.blueprint import Blueprint
from stacks.ports import inside

RANGE = "10.80.0.0/16"
HEALTH_PORT = 8080
_EFS_PORT = 2049


class NetworkStack(Stack):
    """Exposes ``vpc``, ``inside`` (the subnets of all that runs), and the security groups ``balancer``, ``proxy``,
    ``functions`` and ``spool``.

    Nothing accepts connections from outside but the load balancer, on one port for each protocol, from the clients'
    ranges. The proxy and the functions may open connections to targets, on their ports, and HTTPS.
    """

    def __init__(self, scope: Construct, id: str, blueprint: Blueprint) -> None:
        super().__init__(scope, id, description="Blastwall: network", analytics_reporting=False)
        self._blueprint = blueprint
        self.range = blueprint.vpc.cidr if blueprint.vpc else RANGE
        self.vpc, self.inside = self._given() if blueprint.vpc else self._made()
        self.balancer = self._group("Balancer", "the load balancer: agents connect to it")
        self.proxy = self._group("Proxy", "the tasks of the gateway")
        self.functions = self._group("Functions", "functions that reach targets or the spool")
        self.spool = self._group("Spool", "the file system of recordings under way")
        self._rules()

    def _group(self, name: str, about: str) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(self, name, vpc=self.vpc, description=about, allow_all_outbound=False)

    def _made(self) -> tuple[ec2.IVpc, ec2.SubnetSelection]:
        topology = self._blueprint.topology
        kind = ec2.SubnetType.PRIVATE_ISOLATED if topology.nat == "none" else ec2.SubnetType.PRIVATE_WITH_EGRESS
        configuration = [ec2.SubnetConfiguration(name="inside", subnet_type=kind, cidr_mask=22)]
        provider: ec2.NatProvider | None = None
        if topology.nat != "none":
            configuration.append(
                ec2.SubnetConfiguration(
                    name="public", subnet_type=ec2.SubnetType.PUBLIC, cidr_mask=27, map_public_ip_on_launch=False
                )
            )
            provider = ec2.NatProvider.gateway()
        if topology.nat == "instance":
            provider = ec2.NatProvider.instance_v2(
                instance_type=ec2.InstanceType("t4g.nano"),
                machine_image=ec2.MachineImage.latest_amazon_linux2023(cpu_type=ec2.AmazonLinuxCpuType.ARM_64),
                default_allowed_traffic=ec2.NatTrafficDirection.OUTBOUND_ONLY,
                associate_public_ip_address=True,
            )
        vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr(RANGE),
            max_azs=topology.azs,
            nat_gateways=0 if provider is None else 1,
            nat_gateway_provider=provider,
            subnet_configuration=configuration,
            restrict_default_security_group=False,  # doing so takes a custom resource; nothing uses that group
            gateway_endpoints={
                "S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3),
                "DynamoDb": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.DYNAMODB),
            },
        )
        if isinstance(provider, ec2.NatInstanceProviderV2):
            provider.security_group.add_ingress_rule(ec2.Peer.ipv4(RANGE), ec2.Port.tcp(443), "HTTPS from inside")
            for name, target, network in self._targets():
                if not _inside(network):
                    provider.security_group.add_ingress_rule(
                        ec2.Peer.ipv4(RANGE), ec2.Port.tcp(target.port), f"to target {name}"
                    )
        self._log_flows(vpc)
        inside = ec2.SubnetSelection(subnet_group_name="inside")
        if topology.endpoints:
            door = ec2.SecurityGroup(
                self, "Endpoints", vpc=vpc, description="interface endpoints", allow_all_outbound=False
            )
            door.add_ingress_rule(ec2.Peer.ipv4(RANGE), ec2.Port.tcp(443), "AWS APIs from inside")
            for service in topology.endpoints:
                vpc.add_interface_endpoint(
                    "Endpoint" + "".join(part.capitalize() for part in service.split(".")),
                    service=ec2.InterfaceVpcEndpointAwsService(service),
                    subnets=inside,
                    security_groups=[door],
                    open=False,
                )
        return vpc, inside

    def _given(self) -> tuple[ec2.IVpc, ec2.SubnetSelection]:
        given = self._blueprint.vpc
        assert given is not None
        vpc = ec2.Vpc.from_vpc_attributes(
            self,
            "Vpc",
            vpc_id=given.id,
            vpc_cidr_block=given.cidr,
            availability_zones=list(given.azs),
            private_subnet_ids=list(given.private_subnets),
        )
        return vpc, ec2.SubnetSelection(subnets=vpc.private_subnets)

    def _log_flows(self, vpc: ec2.Vpc) -> None:
        group = logs.LogGroup(
            self, "Flows", retention=logs.RetentionDays.THREE_MONTHS, removal_policy=RemovalPolicy.DESTROY
        )
        role = iam.Role(
            self,
            "FlowsRole",
            assumed_by=iam.ServicePrincipal(
                "vpc-flow-logs.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": self.account}}
            ),
            description="writes the network's flow log",
        )
        vpc.add_flow_log("FlowLog", destination=ec2.FlowLogDestination.to_cloud_watch_logs(group, role))

    def _rules(self) -> None:
        everywhere = ec2.Peer.ipv4("0.0.0.0/0")
        ports = [inside(manifest.port) for manifest in self._blueprint.served]
        for manifest in self._blueprint.served:
            for clients in self._blueprint.clients or (self.range,):
                self.balancer.add_ingress_rule(
                    ec2.Peer.ipv4(clients), ec2.Port.tcp(manifest.port), f"agents, {manifest.name}"
                )
        for port in (*ports, HEALTH_PORT):
            self.balancer.add_egress_rule(self.proxy, ec2.Port.tcp(port), "to the tasks")
            self.proxy.add_ingress_rule(self.balancer, ec2.Port.tcp(port), "from the load balancer")
        for group in (self.proxy, self.functions):
            group.add_egress_rule(everywhere, ec2.Port.tcp(443), "AWS APIs and issuers' keys")
            group.add_egress_rule(self.spool, ec2.Port.tcp(_EFS_PORT), "the spool")
            self.spool.add_ingress_rule(group, ec2.Port.tcp(_EFS_PORT), "recordings under way")
            for name, target, network in self._targets():
                peer = ec2.Peer.ipv6(network) if ":" in network else ec2.Peer.ipv4(network)
                group.add_egress_rule(peer, ec2.Port.tcp(target.port), f"target {name}")

    def _targets(self) -> Iterator[tuple[str, Target, str]]:
        """Each target with each place where it is: its ``networks`` in the configuration, or this network's range."""
        bundle = self._blueprint.bundle
        for name, target in sorted(bundle.targets.items()):
            for network in bundle.config.targets[name].networks or (self.range,):
                yield name, target, network


def _inside(network: str) -> bool:
    """Whether it is part of the network that is made here."""
    found = ipaddress.ip_network(network)
    return isinstance(found, ipaddress.IPv4Network) and found.subnet_of(ipaddress.IPv4Network(RANGE))
