import json
import re
from pathlib import Path

import pytest

import blastwall.approvals.desk
from stacks.approvals import SLACK
from tests.stacks.deployment import Deployment, listed, plain

#: Words for what others keep.
OTHERS = {
    *("KeepSessions", "FollowSessions", "KeepLeases", "CloseLeases", "KeepApprovals", "FollowApprovals"),
    "SignManifests",
}
DEFINITION = (Path(__file__).parents[2] / "lambdas" / "approvals.asl.json").read_text()


def machine(deployment: Deployment) -> dict:
    (found,) = deployment.properties("AWS::StepFunctions::StateMachine").values()
    return found


def test_the_definition_is_the_repositorys_with_every_placeholder_filled(deployed: Deployment) -> None:
    made = machine(deployed)
    assert json.loads(made["DefinitionString"]) == json.loads(DEFINITION)
    assert set(made["DefinitionSubstitutions"]) == set(re.findall(r"\$\{(\w+)\}", DEFINITION))
    assert made["StateMachineType"] == "STANDARD"


def test_it_runs_in_any_partition(deployed: Deployment) -> None:
    made = machine(deployed)
    assert "arn:aws:" not in made["DefinitionString"]
    assert {"Ref": "AWS::Partition"} in made["DefinitionSubstitutions"]["CallAndWait"]["Fn::Join"][1]


def test_the_machine_calls_its_functions_and_nothing_else(deployed: Deployment) -> None:
    statements = {item.get("Sid"): item for item in deployed.roles["MachineRole"]}
    assert "approval-notify" in str(statements["CallFunctions"]["Resource"])
    assert "*" not in str(statements["CallFunctions"]["Resource"])
    actions = {action for item in deployed.roles["MachineRole"] for action in listed(item["Action"])}
    assert not [
        action for action in actions if not action.startswith(("lambda:Invoke", "logs:", "xray:", "dynamodb:Get"))
    ]


def test_what_people_were_asked_stays_out_of_the_machines_log(deployed: Deployment) -> None:
    logging = machine(deployed)["LoggingConfiguration"]
    assert logging["IncludeExecutionData"] is False and logging["Level"] == "ALL"


def test_functions_know_the_machine_by_its_name(deployed: Deployment) -> None:
    """Its ARN by reference would be a circle: it names the functions."""
    functions = deployed.properties("AWS::Lambda::Function", "Approvals")
    arn = functions["ApprovalRequestFunction"]["Environment"]["Variables"]["BLASTWALL_STATE_MACHINE_ARN"]
    assert machine(deployed)["StateMachineName"] in json.dumps(arn)


def test_topics_are_encrypted_and_take_tls_only(deployed: Deployment) -> None:
    topics = deployed.properties("AWS::SNS::Topic")
    assert topics and all("KmsMasterKeyId" in topic for topic in topics.values())
    policies = deployed.properties("AWS::SNS::TopicPolicy").values()
    denied = [item for policy in policies for item in policy["PolicyDocument"]["Statement"] if item["Effect"] == "Deny"]
    assert len(denied) == len(topics)
    assert all(item["Condition"]["Bool"] == {"aws:SecureTransport": "false"} for item in denied)


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_a_broken_wait_is_told(deployed: Deployment, status: str) -> None:
    patterns = [
        rule["EventPattern"] for rule in deployed.properties("AWS::Events::Rule").values() if "EventPattern" in rule
    ]
    assert any(status in pattern["detail"]["status"] for pattern in patterns)


def test_people_of_a_saml_provider_sign_in_beside_the_page(given: Deployment, deployed: Deployment) -> None:
    routes = {route["RouteKey"] for route in given.properties("AWS::ApiGatewayV2::Route", "Approvals").values()}
    assert {"GET /saml/{proxy+}", "POST /saml/{proxy+}", "POST /{proxy+}"} <= routes
    variables = given.properties("AWS::Lambda::Function", "Approvals")["SamlAcsFunction"]["Environment"]["Variables"]
    assert "SignInsTable" in json.dumps(variables["BLASTWALL_SIGN_INS_TABLE"])
    assert "GatewayKey" in json.dumps(variables["BLASTWALL_GATEWAY_KEY_ID"])
    # Where no provider is configured there is no way in, no key and no table.
    assert not any("saml" in json.dumps(template).lower() for template in deployed.templates.values())
    assert "GatewayKey" not in deployed.all("AWS::KMS::Key") and "SignInsTable" not in deployed.all(
        "AWS::DynamoDB::Table"
    )


def test_one_function_signs_tokens_and_those_that_verify_know_the_public_half(given: Deployment) -> None:
    held = {role: {item["Sid"] for item in statements if item.get("Sid")} for role, statements in given.roles.items()}
    assert [role for role, sids in held.items() if "SignGatewayTokens" in sids] == ["SamlAcsRole"]
    assert {role for role, sids in held.items() if "KnowGatewayKey" in sids} == {
        "TokenVerifierRole",
        "CredentialVendorRole",
    }
    assert {role for role, sids in held.items() if "KeepSignIns" in sids} == {"SamlAcsRole"}
    assert held["SamlAcsRole"] & OTHERS == set()
    key = given.properties("AWS::KMS::Key", "Data")["GatewayKey"]
    assert (key["KeySpec"], key["KeyUsage"]) == ("ECC_NIST_P256", "SIGN_VERIFY")


def test_a_broken_execution_is_told_with_a_role(every: list[Deployment]) -> None:
    """In its own name EventBridge cannot publish where the key's policy asks for an account: it tells KMS of none."""
    for deployment in every:
        ((target,),) = [
            rule["Targets"] for rule in deployment.properties("AWS::Events::Rule").values() if "EventPattern" in rule
        ]
        assert plain(target["Arn"]["Ref"]) == "Topic"
        role = plain(target["RoleArn"]["Fn::GetAtt"][0])
        assert deployment.actions(role) == {"sns:Publish", "kms:Decrypt", "kms:GenerateDataKey"}
        (trust,) = deployment.properties("AWS::IAM::Role")[role]["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": "events.amazonaws.com"}
        assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
        policies = json.dumps(deployment.properties("AWS::SNS::TopicPolicy", "Approvals"))
        assert "events.amazonaws.com" not in policies


def test_what_others_must_be_told_of_the_page_is_an_output(deployed: Deployment, given: Deployment) -> None:
    """Its address is API Gateway's making: identity provider, Slack and command line have it from nowhere else."""

    def told(deployment: Deployment) -> dict[str, str]:
        outputs = deployment.templates["Approvals"]["Outputs"]
        return {name: json.dumps(output["Value"]) for name, output in outputs.items() if "Export" not in output}

    assert set(told(deployed)) == {"PageUrl", "TopicArn"}
    team = told(given)
    assert set(team) == {"PageUrl", "TopicArn", "SignInRedirectUri", "SlackRequestUrl"}
    address = json.loads(team["PageUrl"])
    assert json.loads(team["SignInRedirectUri"]) == {"Fn::Join": ["", [address, "/sign-in/callback"]]}
    served = Path(blastwall.approvals.desk.__file__).read_text()
    assert f'path == "{SLACK}"' in served and SLACK in team["SlackRequestUrl"]
