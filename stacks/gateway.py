"""The gateway: tasks on Fargate behind a network load balancer, one listener for each protocol that a target speaks."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from aws_cdk import (
    ArnFormat,
    CfnOutput,
    CfnParameter,
    Duration,
    RemovalPolicy,
    Size,
    Stack,
)
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3_assets as s3_assets
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sns as sns
from constructs import Construct

from blastwall import registry
from stacks.function_stack import Foundation
from stacks.grants import grant
from stacks.network import HEALTH_PORT
from stacks.parts.alarm import AlarmProps, alarm
from stacks.parts.function import NAMESPACE
from stacks.parts.lake import LakeChannel
from stacks.ports import inside
from stacks.storage import USER

TABLE: dict[str, Any] = tomllib.loads(Path(__file__).with_name("gateway.toml").read_text("utf-8"))
#: Where the image lets its user write: nothing else of its root is writable.
RUN, SPOOL = "/run/blastwall", "/var/spool/blastwall"
#: Where the image keeps RDS's certificate authorities.
CA_BUNDLE = "/opt/blastwall/rds-ca.pem"
#: The gateway's environment: one class for the process, one for each adapter that is configured by its own.
SETTINGS = ("ProxySettings", "RecordingSettings", "AuditSettings")
#: Lines that wait for CloudWatch (1 MiB by default): what is over it is lost, and alarms that count lines with it.
LOG_BUFFER = Size.mebibytes(25)
SERVICE = "gateway"  # the ``service`` dimension of the gateway's own metrics
_ECR = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.(?P<suffix>amazonaws\.com(?:\.cn)?)"
    r"/(?P<name>[a-z0-9._/-]+?)(?::(?P<tag>[\w.-]+)|@(?P<digest>sha256:[0-9a-f]{64}))?"
)


class GatewayStack(Stack):
    """Exposes ``balancer``, ``cluster``, ``service``, ``task`` (its definition), ``log_group``, ``groups`` (the load
    balancer's targets by protocol), and the names of their ``alarms``."""

    def __init__(self, scope: Construct, id: str, ground: Foundation) -> None:
        super().__init__(scope, id, description="Blastwall: the gateway", analytics_reporting=False)
        self._ground = ground
        self.cluster = ecs.Cluster(
            self, "Cluster", vpc=ground.network.vpc, container_insights_v2=ecs.ContainerInsights.ENABLED
        )
        self.log_group = logs.LogGroup(
            self,
            "Log",
            retention=logs.RetentionDays.ONE_YEAR,
            encryption_key=kms.Key.from_key_arn(self, "DataKey", ground.data.key.key_arn),
            removal_policy=RemovalPolicy.DESTROY,
        )
        store = ground.blueprint.event_data_store
        self.lake = LakeChannel(self, "Lake", f"{self.stack_name}-audit", store) if store else None
        self._configure()
        self.task = self._task()
        self.service = self._service()
        self.balancer = elb.NetworkLoadBalancer(
            self,
            "Balancer",
            vpc=ground.network.vpc,
            vpc_subnets=ground.network.inside,
            internet_facing=False,
            cross_zone_enabled=True,
            security_groups=[ground.network.balancer],
            enforce_security_group_inbound_rules_on_private_link_traffic=False,  # its clients have no address here
        )
        self.groups = {manifest.name: self._listen(manifest.name, manifest.port) for manifest in self._served()}
        self.alarms: dict[str, str] = {}
        self._watch()
        self._scale()
        self._tell()
        if ground.blueprint.endpoint_principals:
            ec2.VpcEndpointService(
                self,
                "EndpointService",
                vpc_endpoint_service_load_balancers=[self.balancer],
                acceptance_required=True,
                allowed_principals=[iam.ArnPrincipal(arn) for arn in ground.blueprint.endpoint_principals],
            )

    def _served(self) -> tuple[Any, ...]:
        return self._ground.blueprint.served

    def _configure(self) -> None:
        """The configuration as one object in S3: a task fetches it at start and refuses any other version."""
        ground = self._ground
        asset = s3_assets.Asset(self, "Configuration", path=str(ground.blueprint.staged))
        values = ground.values
        values.put("adapters", "aws")
        values.put("ca_bundle", CA_BUNDLE if ground.blueprint.rds_ca_sha256 else "")
        values.put("config", f"{RUN}/config")
        values.put("config_url", asset.s3_object_url)
        values.put("config_version", ground.blueprint.bundle.version)
        values.put("state", f"{RUN}/state")
        values.put("spool", SPOOL)
        values.put("health_port", str(HEALTH_PORT))
        values.put("proxy_protocol", "True")
        values.put("drain_seconds", str(TABLE["drain_seconds"]))
        values.put("audit_channel_arn", self.lake.arn if self.lake is not None else "")
        values.own("lake-channel", *([self.lake.arn] if self.lake is not None else []))
        values.own("configuration-object", asset.bucket.arn_for_objects(asset.s3_object_key))
        values.own(
            "own-tasks",
            self.format_arn(
                service="ecs",
                resource="task",
                resource_name=f"{self.cluster.cluster_name}/*",
                arn_format=ArnFormat.SLASH_RESOURCE_NAME,
            ),
        )

    def _task(self) -> ecs.FargateTaskDefinition:
        ground, topology = self._ground, self._ground.blueprint.topology
        own = {"StringEquals": {"aws:SourceAccount": self.account}}
        tasks = iam.ServicePrincipal("ecs-tasks.amazonaws.com", conditions=own)
        role = iam.Role(self, "TaskRole", assumed_by=tasks, description="the gateway's process")
        starter = iam.Role(
            self, "ExecutionRole", assumed_by=tasks, description="starts tasks: image, log, and the TLS key"
        )
        grant(role, TABLE["grants"], ground.values)
        grant(starter, TABLE["starter"], ground.values)
        task = ecs.FargateTaskDefinition(
            self,
            "Task",
            cpu=topology.cpu,
            memory_limit_mib=topology.memory,
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=ecs.CpuArchitecture.ARM64, operating_system_family=ecs.OperatingSystemFamily.LINUX
            ),
            task_role=role.without_policy_updates(),
            execution_role=starter,
            volumes=[
                ecs.Volume(name="run"),
                ecs.Volume(
                    name="spool",
                    efs_volume_configuration=ecs.EfsVolumeConfiguration(
                        file_system_id=ground.data.spool.file_system_id,
                        transit_encryption="ENABLED",
                        authorization_config=ecs.AuthorizationConfig(
                            access_point_id=ground.data.spool_access.access_point_id, iam="ENABLED"
                        ),
                    ),
                ),
            ],
        )
        container = task.add_container(
            "proxy",
            image=self._image(starter),
            essential=True,
            user=f"{USER}:{USER}",
            readonly_root_filesystem=True,
            stop_timeout=Duration.seconds(TABLE["stop_timeout"]),
            environment={
                name: value for class_name in SETTINGS for name, value in ground.values.environment(class_name).items()
            },
            secrets=self._secrets(),
            logging=ecs.LogDrivers.aws_logs(
                stream_prefix=SERVICE,
                log_group=self.log_group,
                mode=ecs.AwsLogDriverMode.NON_BLOCKING,
                max_buffer_size=LOG_BUFFER,
            ),
            linux_parameters=self._confined(),
            port_mappings=[
                ecs.PortMapping(container_port=port, name=name)
                for name, port in [
                    *((item.name, inside(item.port)) for item in self._served()),
                    ("health", HEALTH_PORT),
                ]
            ],
            ulimits=[ecs.Ulimit(name=ecs.UlimitName.NOFILE, soft_limit=65_536, hard_limit=65_536)],
        )
        container.add_mount_points(
            ecs.MountPoint(source_volume="run", container_path=RUN, read_only=False),
            ecs.MountPoint(source_volume="spool", container_path=SPOOL, read_only=False),
        )
        return task

    def _secrets(self) -> dict[str, ecs.Secret]:
        """Keys by the variables that hold them. The execution role reads them; the gateway's own role reads none."""
        certificate = self._secret(
            "ServerCertificateArn", "Tls", "JSON with certificate (PEM, with its chain) and key (PEM)"
        )
        data = self._ground.data
        masking = secretsmanager.Secret.from_secret_complete_arn(self, "MaskingKey", data.masking_key.secret_arn)
        secrets = {
            "BLASTWALL_TLS_CERTIFICATE": ecs.Secret.from_secrets_manager(certificate, "certificate"),
            "BLASTWALL_TLS_KEY": ecs.Secret.from_secrets_manager(certificate, "key"),
            "BLASTWALL_MASKING_KEY": ecs.Secret.from_secrets_manager(masking),
        }
        for manifest in self._served():
            options = self._ground.blueprint.bundle.listeners.get(manifest.name)
            keys = {name: variable for name, variable in manifest.keys.items() if getattr(options, name, None)}
            if keys:
                title = manifest.name.capitalize()
                kept = self._secret(f"{title}KeysArn", f"{title}Keys", f"JSON with {', '.join(keys)} (private keys)")
                for name, variable in keys.items():
                    secrets[variable] = ecs.Secret.from_secrets_manager(kept, name)
        return secrets

    def _secret(self, parameter: str, id: str, holds: str) -> secretsmanager.ISecret:
        """A secret that the operator made, by a required parameter."""
        given = CfnParameter(
            self,
            parameter,
            allowed_pattern="^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+$",
            description=f"In Secrets Manager: {holds}",
        )
        return secretsmanager.Secret.from_secret_complete_arn(self, id, given.value_as_string)

    def _tell(self) -> None:
        """Outputs: where agents connect, and what clients and targets are given so that they trust the listeners."""
        address = self.balancer.load_balancer_dns_name
        CfnOutput(self, "Address", value=address, description="Where agents connect; give it a name of your own")
        for manifest in self._served():
            make = registry.trust(manifest.name)
            if make is None:
                continue
            options = self._ground.blueprint.bundle.listeners[manifest.name]
            for name, line in make(options, address, manifest.port).items():
                title = "".join(part.capitalize() for part in (manifest.name, *name.split("_")))
                CfnOutput(self, title, value=line, description=f"{manifest.name}: a line for {name}")

    def _confined(self) -> ecs.LinuxParameters:
        linux = ecs.LinuxParameters(self, "Linux", init_process_enabled=True)
        linux.drop_capabilities(ecs.Capability.ALL)
        return linux

    def _image(self, starter: iam.Role) -> ecs.ContainerImage:
        """The image by its URI, or built from the repository when it is deployed (which takes Docker)."""
        given = self._ground.blueprint.proxy_image
        if not given:
            return ecs.ContainerImage.from_asset(
                str(self._ground.root),
                file="fargate_proxy/Dockerfile",
                platform=ecr_assets.Platform.LINUX_ARM64,
                build_args={
                    "RDS_CA": self._ground.blueprint.rds_ca,
                    "RDS_CA_SHA256": self._ground.blueprint.rds_ca_sha256 or "none",
                },
            )
        found = _ECR.fullmatch(given)
        if found is None:
            return ecs.ContainerImage.from_registry(given)
        repository = ecr.Repository.from_repository_attributes(
            self,
            "Repository",
            repository_name=found["name"],
            repository_arn=f"arn:{self.partition}:ecr:{found['region']}:{found['account']}:repository/{found['name']}",
        )
        return ecs.ContainerImage.from_ecr_repository(repository, found["digest"] or found["tag"] or "latest")

    def _service(self) -> ecs.FargateService:
        network = self._ground.network
        return ecs.FargateService(
            self,
            "Service",
            cluster=self.cluster,
            task_definition=self.task,
            vpc_subnets=network.inside,
            security_groups=[network.proxy],
            assign_public_ip=False,
            min_healthy_percent=100,
            max_healthy_percent=200,
            availability_zone_rebalancing=ecs.AvailabilityZoneRebalancing.DISABLED,
            circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
            health_check_grace_period=Duration.seconds(60),
            enable_execute_command=False,
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
        )

    def _listen(self, name: str, port: int) -> elb.NetworkTargetGroup:
        """TCP: TLS ends in the gateway. Its health is asked on a port of its own and knows nothing of targets, so a
        database that is down takes nobody's connection to another one away."""
        health = TABLE["health"]
        group = elb.NetworkTargetGroup(
            self,
            f"{name.capitalize()}Targets",
            vpc=self._ground.network.vpc,
            port=inside(port),
            protocol=elb.Protocol.TCP,
            target_type=elb.TargetType.IP,
            proxy_protocol_v2=True,
            preserve_client_ip=False,
            connection_termination=False,
            deregistration_delay=Duration.seconds(TABLE["deregistration"]),
            health_check=elb.HealthCheck(
                protocol=elb.Protocol.HTTP,
                port=str(HEALTH_PORT),
                path=health["path"],
                interval=Duration.seconds(health["interval"]),
                healthy_threshold_count=health["healthy"],
                unhealthy_threshold_count=health["unhealthy"],
            ),
            targets=[self.service.load_balancer_target(container_name="proxy", container_port=inside(port))],
        )
        elb.NetworkListener(
            self,
            f"{name.capitalize()}Listener",
            load_balancer=self.balancer,
            port=port,
            protocol=elb.Protocol.TCP,
            tcp_idle_timeout=Duration.seconds(TABLE["idle_timeout"]),
            default_target_groups=[group],
        )
        return group

    def _watch(self) -> None:
        """Alarms of each protocol's targets. They go with the protocol, so they stand here, and are known by name."""
        arn = self.format_arn(service="sns", resource=self._ground.alarms_topic_name)
        topic = sns.Topic.from_topic_arn(self, "Alarms", arn)
        for name, group in self.groups.items():
            title, minute = name.capitalize(), Duration.minutes(1)
            unhealthy = group.metrics.un_healthy_host_count(period=minute, statistic=cloudwatch.Stats.MAXIMUM)
            healthy = group.metrics.healthy_host_count(period=minute, statistic=cloudwatch.Stats.MAXIMUM)
            for id, metric, about, below in (
                (
                    f"{title}Unhealthy",
                    unhealthy,
                    f"tasks do not answer their health check, so {name} connections end",
                    False,
                ),
                (f"{title}Unserved", healthy, f"no task takes {name} connections", True),
            ):
                self.alarms[id] = f"{self.stack_name}-{id}"
                alarm(self, id, AlarmProps(metric, 1, about, topic, minutes=3, below=below, name=self.alarms[id]))

    def _scale(self) -> None:
        topology, table = self._ground.blueprint.topology, TABLE["scaling"]
        slow, quick = Duration.seconds(table["cooldown_in"]), Duration.seconds(table["cooldown_out"])
        tasks = self.service.auto_scale_task_count(min_capacity=topology.tasks, max_capacity=topology.most_tasks)
        tasks.scale_on_cpu_utilization(
            "Cpu",
            target_utilization_percent=table["cpu_percent"],
            scale_in_cooldown=slow,
            scale_out_cooldown=quick,
        )
        tasks.scale_to_track_custom_metric(
            "Sessions",
            metric=cloudwatch.Metric(
                namespace=NAMESPACE,
                metric_name="LiveConnections",
                dimensions_map={"service": SERVICE},
                statistic=cloudwatch.Stats.AVERAGE,
                period=Duration.minutes(1),
            ),
            target_value=table["sessions_per_task"],
            scale_in_cooldown=slow,
            scale_out_cooldown=quick,
        )
