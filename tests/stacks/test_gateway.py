"""The service as it runs: confined, drained, spread, and never open but on its protocols' ports."""

import json
from pathlib import Path
from typing import Any

from blastwall.aws import recorder, vendor
from fargate_proxy.endings import FINISH_SECONDS
from fargate_proxy.listener import CANCEL_SECONDS, FAREWELL_SECONDS
from tests.stacks.deployment import Deployment

ROOT = Path(__file__).parents[2]


def container(deployment: Deployment) -> dict[str, Any]:
    (task,) = deployment.properties("AWS::ECS::TaskDefinition").values()
    (found,) = task["ContainerDefinitions"]
    return found


def environment(deployment: Deployment) -> dict[str, Any]:
    return {item["Name"]: item["Value"] for item in container(deployment)["Environment"]}


def test_the_process_is_nobody_and_can_write_nothing_but_its_volumes(every: list[Deployment]) -> None:
    for deployment in every:
        made = container(deployment)
        assert made["ReadonlyRootFilesystem"] is True
        assert made["User"] == "10001:10001"
        assert made.get("Privileged", False) is False
        assert made["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
        assert {mount["ContainerPath"] for mount in made["MountPoints"]} == {"/run/blastwall", "/var/spool/blastwall"}


def test_a_task_has_the_time_to_say_goodbye(deployed: Deployment) -> None:
    made = container(deployed)
    assert made["StopTimeout"] == 120
    drain = float(environment(deployed)["BLASTWALL_DRAIN_SECONDS"])
    after = FAREWELL_SECONDS + CANCEL_SECONDS + FINISH_SECONDS + vendor.CLOSE_SECONDS + recorder.CLOSE_SECONDS
    assert drain >= 60 and drain + after <= 110, "each of them at its worst, one after the other"


def test_it_runs_on_arm_at_the_topologys_size(deployed: Deployment, trial: Deployment) -> None:
    for deployment, size in ((deployed, ("512", "1024")), (trial, ("256", "512"))):
        (task,) = deployment.properties("AWS::ECS::TaskDefinition").values()
        assert task["RuntimePlatform"] == {"CpuArchitecture": "ARM64", "OperatingSystemFamily": "LINUX"}
        assert (task["Cpu"], task["Memory"]) == size
        assert task["RequiresCompatibilities"] == ["FARGATE"]


def test_secrets_are_references_and_never_values(every: list[Deployment]) -> None:
    for deployment in every:
        made = container(deployment)
        secrets = {item["Name"].removeprefix("BLASTWALL_") for item in made["Secrets"]}
        ssh = {"SSH_HOST_KEY", "SSH_USER_CA", "SSH_UPSTREAM_CA"} if deployment.folder.name == "given" else set()
        assert secrets == {"TLS_CERTIFICATE", "TLS_KEY", "MASKING_KEY"} | ssh
        assert not {item["Name"] for item in made["Secrets"]} & {item["Name"] for item in made["Environment"]}
        for name, value in environment(deployment).items():
            assert "BEGIN" not in str(value) and "resolve:" not in str(value), name


def test_the_environment_names_what_the_stacks_made(deployed: Deployment) -> None:
    known = environment(deployed)
    assert known["BLASTWALL_ADAPTERS"] == "aws"
    assert known["BLASTWALL_HEALTH_PORT"] == "8080" and known["BLASTWALL_PROXY_PROTOCOL"] == "True"
    assert known["BLASTWALL_SPOOL"] == "/var/spool/blastwall"
    assert len(known["BLASTWALL_CONFIG_VERSION"]) == 64
    assert "Fn::ImportValue" in known["BLASTWALL_RECORDINGS_BUCKET"]
    for name in ("BLASTWALL_UNDO_BUCKET", "BLASTWALL_UNDO_KEY_ID"):  # without them what must be kept is not changed
        assert "Fn::ImportValue" in known[name]
    assert known["BLASTWALL_APPROVAL_REQUEST_FUNCTION"] == "blastwall-approval-request"


def test_proxies_and_functions_have_one_version_of_the_configuration(every: list[Deployment]) -> None:
    for deployment in every:
        versions = {environment(deployment)["BLASTWALL_CONFIG_VERSION"]}
        for function in deployment.properties("AWS::Lambda::Function").values():
            versions.add(function["Environment"]["Variables"]["BLASTWALL_CONFIG_VERSION"])
            assert function["Environment"]["Variables"]["BLASTWALL_CONFIG"] == "/opt/config"
            assert function["Layers"]
        assert len(versions) == 1


def test_a_deployment_replaces_without_a_gap_and_rolls_back(every: list[Deployment]) -> None:
    for deployment in every:
        (service,) = deployment.properties("AWS::ECS::Service").values()
        how = service["DeploymentConfiguration"]
        assert how["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
        assert (how["MinimumHealthyPercent"], how["MaximumPercent"]) == (100, 200)
        assert service["AvailabilityZoneRebalancing"] == "DISABLED"
        assert service["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == "DISABLED"
        assert service.get("EnableExecuteCommand", False) is False
        assert "DesiredCount" not in service, "a deployment must not undo what scaling did"


def test_each_protocol_that_a_target_speaks_has_a_listener(every: list[Deployment]) -> None:
    for deployment in every:
        listeners = deployment.properties("AWS::ElasticLoadBalancingV2::Listener").values()
        ssh = {22} if deployment.folder.name == "given" else set()
        assert {(item["Protocol"], item["Port"]) for item in listeners} == {("TCP", port) for port in {5432} | ssh}
        groups = deployment.properties("AWS::ElasticLoadBalancingV2::TargetGroup").values()
        assert len(groups) == len(listeners)
        for group in groups:
            attributes = {item["Key"]: item["Value"] for item in group["TargetGroupAttributes"]}
            assert attributes["proxy_protocol_v2.enabled"] == "true"
            assert attributes["preserve_client_ip.enabled"] == "false"
            assert attributes["deregistration_delay.connection_termination.enabled"] == "false"
            assert attributes["deregistration_delay.timeout_seconds"] == "120"
            assert (group["HealthCheckProtocol"], group["HealthCheckPort"]) == ("HTTP", "8080")
            assert group["HealthCheckPath"] == "/ready"
        ports = {item["ContainerPort"] for item in container(deployment)["PortMappings"]}
        assert ports == {5432, 8080} | {port + 20_000 for port in ssh}, "an unprivileged process cannot take 22"


def test_the_load_balancer_is_inside_and_patient(every: list[Deployment]) -> None:
    for deployment in every:
        (balancer,) = deployment.properties("AWS::ElasticLoadBalancingV2::LoadBalancer").values()
        assert (balancer["Type"], balancer["Scheme"]) == ("network", "internal")
        assert balancer["SecurityGroups"]
        for listener in deployment.properties("AWS::ElasticLoadBalancingV2::Listener").values():
            attributes = {item["Key"]: item["Value"] for item in listener["ListenerAttributes"]}
            assert int(attributes["tcp.idle_timeout.seconds"]) == 6000


def test_it_scales_on_connections_and_cpu_between_the_topologys_bounds(deployed: Deployment) -> None:
    (target,) = deployed.properties("AWS::ApplicationAutoScaling::ScalableTarget").values()
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 10)
    policies = [
        item["TargetTrackingScalingPolicyConfiguration"]
        for item in deployed.properties("AWS::ApplicationAutoScaling::ScalingPolicy").values()
    ]
    predefined = {
        item["PredefinedMetricSpecification"]["PredefinedMetricType"]
        for item in policies
        if "PredefinedMetricSpecification" in item
    }
    assert predefined == {"ECSServiceAverageCPUUtilization"}
    (custom,) = [item["CustomizedMetricSpecification"] for item in policies if "CustomizedMetricSpecification" in item]
    assert (custom["Namespace"], custom["MetricName"]) == ("Blastwall", "LiveConnections")


def test_the_image_comes_by_uri_or_from_an_asset(deployed: Deployment, given: Deployment) -> None:
    assert "cdk-hnb659fds-container-assets" in str(container(deployed)["Image"])
    image = str(container(given)["Image"])
    assert "blast/wall:1.2" in image and "123456789012.dkr.ecr.eu-west-1" in image
    assert "container-assets" not in image
    pulls = [item for item in given.roles["ExecutionRole"] if "ecr:BatchGetImage" in item["Action"]]
    assert "123456789012:repository/blast/wall" in str(pulls[0]["Resource"])


def test_privatelink_only_where_somebody_is_named(deployed: Deployment, given: Deployment) -> None:
    assert not deployed.all("AWS::EC2::VPCEndpointService")
    (service,) = given.properties("AWS::EC2::VPCEndpointService").values()
    assert service["AcceptanceRequired"] is True
    (allowed,) = given.properties("AWS::EC2::VPCEndpointServicePermissions").values()
    assert allowed["AllowedPrincipals"] == ["arn:aws:iam::210987654321:root"]


def test_lakes_channel_is_made_only_for_a_store_that_is_there(every: list[Deployment]) -> None:
    """Not under a condition: regions that do not know its type refuse any template that names it."""
    for deployment in every:
        given = deployment.folder.name == "given"
        assert not deployment.all("AWS::CloudTrail::EventDataStore")
        assert len(deployment.all("AWS::CloudTrail::Channel")) == given
        assert ("AWS::CloudTrail" in json.dumps(deployment.templates)) == given
        sent = [item for item in deployment.roles["TaskRole"] if item.get("Sid") == "SendToLake"]
        assert len(sent) == given and deployment.holders("cloudtrail-data:") == ({"TaskRole"} if given else set())
        (task,) = deployment.properties("AWS::ECS::TaskDefinition").values()
        (variable,) = [
            item["Value"]
            for item in task["ContainerDefinitions"][0]["Environment"]
            if item["Name"] == "BLASTWALL_AUDIT_CHANNEL_ARN"
        ]
        assert bool(variable) == given


def test_keys_that_tasks_share_are_read_by_what_starts_them(every: list[Deployment]) -> None:
    for deployment in every:
        (opened,) = [item for item in deployment.roles["ExecutionRole"] if item.get("Sid") == "OpenOwnSecrets"]
        assert opened["Action"] == "kms:Decrypt"
        assert opened["Condition"] == {"StringLike": {"kms:ViaService": "secretsmanager.*.amazonaws.com*"}}
        read = [item for item in deployment.roles["ExecutionRole"] if "secretsmanager:GetSecretValue" in item["Action"]]
        resources = str([item["Resource"] for item in read])
        assert "MaskingKey" in resources and "ServerCertificateArn" in resources and "*" not in resources
        assert ("SshKeysArn" in resources) == (deployment.folder.name == "given")
        (kept,) = deployment.all("AWS::SecretsManager::Secret").values()
        assert kept["DeletionPolicy"] == kept["UpdateReplacePolicy"] == "Retain"
        assert kept["Properties"]["GenerateSecretString"] == {"ExcludePunctuation": True, "PasswordLength": 64}
        assert "Key" in str(kept["Properties"]["KmsKeyId"])


def test_a_listener_with_keys_of_its_own_wants_their_secret_and_tells_who_trusts_it(
    given: Deployment, deployed: Deployment
) -> None:
    template = given.templates["Gateway"]
    assert "Default" not in template["Parameters"]["SshKeysArn"]
    assert "SshKeysArn" not in deployed.templates["Gateway"]["Parameters"]
    outputs = {name: output["Value"] for name, output in template["Outputs"].items()}
    keys = ROOT / "tests" / "stacks" / "config" / "ssh"
    authority, host = keys / "upstream_ca.pub", keys / "host_key.pub"
    assert outputs["SshTrustedUserCaKeys"] == " ".join(authority.read_text().split()[:2])
    assert outputs["SshKnownHosts"].startswith("@cert-authority gateway.example.com ssh-ed25519 ")
    assert host.read_text().split()[1] not in outputs["SshKnownHosts"], "clients trust the authority, not one key"
    assert "DNSName" in str(outputs["Address"])


def test_rdss_authorities_are_trusted_where_they_were_pinned(deployed: Deployment, given: Deployment) -> None:
    assert environment(given)["BLASTWALL_CA_BUNDLE"] == "/opt/blastwall/rds-ca.pem"
    assert environment(deployed)["BLASTWALL_CA_BUNDLE"] == ""
    for deployment, place in ((given, "/var/task/rds-ca.pem"), (deployed, "")):
        functions = deployment.properties("AWS::Lambda::Function", "Credentials")
        assert {item["Environment"]["Variables"]["BLASTWALL_CA_BUNDLE"] for item in functions.values()} == {place}
    manifest = json.loads((deployed.folder / "Blastwall-Gateway.assets.json").read_text())
    (image,) = manifest["dockerImages"].values()
    assert image["source"]["dockerBuildArgs"]["RDS_CA_SHA256"] == "none"
