"""The service as AWS runs it: healthy, confined, and replaced without a word lost."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests_aws.deployed import Deployed

REPLACED_SECONDS = 1200.0  # a deployment starts new tasks, waits for them, and drains the old for up to 120 s


def service_of(deployed: Deployed) -> tuple[str, str]:
    cluster = deployed.one("Gateway", "AWS::ECS::Cluster")
    return cluster, deployed.one("Gateway", "AWS::ECS::Service")


def awaited(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "AWS does not come to an end"
        time.sleep(5)


def test_tasks_run_and_the_load_balancer_finds_them_healthy(deployed: Deployed) -> None:
    cluster, service = service_of(deployed)
    (found,) = deployed.client("ecs").describe_services(cluster=cluster, services=[service])["services"]
    assert found["runningCount"] == found["desiredCount"] >= 1
    elb = deployed.client("elbv2")
    for arn in deployed.all("Gateway", "AWS::ElasticLoadBalancingV2::TargetGroup").values():
        states = [
            item["TargetHealth"]["State"]
            for item in elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        ]
        assert states.count("healthy") >= found["desiredCount"], states
        attributes = elb.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
        assert {"Key": "proxy_protocol_v2.enabled", "Value": "true"} in attributes


def test_a_task_keeps_no_secret_where_it_is_described(deployed: Deployed) -> None:
    task = deployed.one("Gateway", "AWS::ECS::TaskDefinition")
    (container,) = deployed.client("ecs").describe_task_definition(taskDefinition=task)["taskDefinition"][
        "containerDefinitions"
    ]
    assert container["readonlyRootFilesystem"] and container["stopTimeout"] == 120
    assert all(secret["valueFrom"].startswith("arn:") for secret in container["secrets"])


def test_a_deployment_replaces_every_task_and_each_ends_by_itself(changing: Deployed) -> None:
    """Exit 0: the gateway drained, flushed and left; 137 would be Fargate's patience at its end."""
    ecs = changing.client("ecs")
    cluster, service = service_of(changing)
    before = ecs.list_tasks(cluster=cluster, serviceName=service)["taskArns"]
    ecs.update_service(cluster=cluster, service=service, forceNewDeployment=True)

    def replaced() -> bool:
        (found,) = ecs.describe_services(cluster=cluster, services=[service])["services"]
        (tasks,) = [ecs.describe_tasks(cluster=cluster, tasks=before)["tasks"]]
        return len(found["deployments"]) == 1 and all(task["lastStatus"] == "STOPPED" for task in tasks)

    awaited(replaced, REPLACED_SECONDS)
    for task in ecs.describe_tasks(cluster=cluster, tasks=before)["tasks"]:
        (container,) = task["containers"]
        assert container["exitCode"] == 0
        assert (task["stoppedAt"] - task["stoppingAt"]).total_seconds() <= 120 + 30  # and Fargate's own work around it
