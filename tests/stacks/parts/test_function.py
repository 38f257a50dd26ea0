"""A function's own role and surroundings; what it is granted beside is its stack's."""

from tests.stacks.deployment import Deployment, listed


def test_it_is_python_on_arm_traced_and_logged_for_a_year(every: list[Deployment]) -> None:
    for deployment in every:
        for function in deployment.properties("AWS::Lambda::Function").values():
            assert function["Runtime"] == "python3.13" and function["Architectures"] == ["arm64"]
            assert function["TracingConfig"] == {"Mode": "Active"}
            assert "KmsKeyArn" in function and "LogGroup" in function["LoggingConfig"]
            assert function["Timeout"] <= 300
        for stack in ("Audit", "Credentials", "Approvals"):
            for log in deployment.properties("AWS::Logs::LogGroup", stack).values():
                assert log["RetentionInDays"] == 365


def test_it_writes_to_its_own_log_only(every: list[Deployment]) -> None:
    for deployment in every:
        for id in deployment.all("AWS::Lambda::Function"):
            role = id.removesuffix("Function") + "Role"
            (statement,) = [item for item in deployment.roles[role] if item.get("Sid") == "WriteOwnLog"]
            assert id.removesuffix("Function") + "Log" in str(statement["Resource"])
            assert set(listed(statement["Action"])) == {"logs:CreateLogStream", "logs:PutLogEvents"}


def test_network_interfaces_only_for_those_in_the_network(every: list[Deployment]) -> None:
    for deployment in every:
        for id, function in deployment.properties("AWS::Lambda::Function").items():
            role = id.removesuffix("Function") + "Role"
            allowed = any(item.get("Sid") == "KeepNetworkInterface" for item in deployment.roles[role])
            assert allowed == ("VpcConfig" in function)


def test_a_schedule_has_a_place_for_runs_that_failed(every: list[Deployment]) -> None:
    for deployment in every:
        rules = [rule for rule in deployment.properties("AWS::Events::Rule").values() if "ScheduleExpression" in rule]
        for rule in rules:
            (target,) = rule["Targets"]
            assert "DeadLetterConfig" in target and target["RetryPolicy"]["MaximumRetryAttempts"] == 2
        queues = deployment.properties("AWS::SQS::Queue").values()
        assert len(queues) == len(rules)
        assert all("KmsMasterKeyId" in queue for queue in queues)
