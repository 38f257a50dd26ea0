"""The whole: which stacks, what stands on what, who may do what, and that nothing the checks find is left."""

import json
import subprocess
import sys
from pathlib import Path

import cfnlint

from tests.stacks.deployment import Deployment, listed, plain

ROOT = Path(__file__).parents[2]
OTHERWISE = {"given": ("Network", "Credentials", "Gateway"), "dev": ("Network",), "isolated": ("Network",)}


def only(deployment: Deployment, prefix: str, *roles: str) -> None:
    """Of these roles, those that are deployed may do it, and nobody else."""
    assert deployment.holders(prefix) == set(roles) & set(deployment.roles), prefix


def test_the_stacks_stand_on_each_other_in_one_direction(deployed: Deployment) -> None:
    manifest = json.loads((deployed.folder / "manifest.json").read_text())["artifacts"]
    needs = {
        name.removeprefix("Blastwall-"): {
            need.removeprefix("Blastwall-") for need in artifact.get("dependencies", []) if "assets" not in need
        }
        for name, artifact in manifest.items()
        if artifact["type"] == "aws:cloudformation:stack"
    }
    assert set(needs) == {"Network", "Data", "Audit", "Credentials", "Approvals", "Gateway", "Monitoring"}
    assert needs["Network"] == set() and needs["Data"] == {"Network"}
    assert {"Credentials", "Approvals", "Data", "Audit"} <= needs["Gateway"]
    assert not any("Monitoring" in found for found in needs.values())


def test_the_proxy_cannot_touch_iam_roles_tasks_or_what_it_recorded(every: list[Deployment]) -> None:
    for deployment in every:
        actions = deployment.actions("TaskRole")
        assert not [action for action in actions if action.startswith(("iam:", "sts:", "rds-db:", "ec2:"))]
        assert not [action for action in actions if action.startswith("states:SendTask")]
        assert not [action for action in actions if action.startswith("secretsmanager:")]
        objects = {action for action in actions if action.startswith("s3:")}
        assert objects == {"s3:PutObject", "s3:GetObject"}
        readable = [item for item in deployment.roles["TaskRole"] if "s3:GetObject" in listed(item["Action"])]
        assert [item["Sid"] for item in readable] == ["ReadConfiguration"]
        assert ".zip" in str(readable[0]["Resource"]) and "*" not in str(readable[0]["Resource"])
        writable = [item for item in deployment.roles["TaskRole"] if "s3:PutObject" in listed(item["Action"])]
        assert {item["Sid"] for item in writable} == {"WriteRecordings", "WriteAudit", "KeepCapsules"}


def test_nobody_can_delete_or_unlock_a_recording(every: list[Deployment]) -> None:
    for deployment in every:
        for forbidden in ("s3:Delete", "s3:PutObjectRetention", "s3:PutObjectLegalHold", "s3:Bypass", "s3:PutBucket"):
            assert deployment.holders(forbidden) == set()


def test_only_decide_answers_tasks(every: list[Deployment]) -> None:
    for deployment in every:
        only(deployment, "states:SendTask", "ApprovalDecideRole")
        assert deployment.holders("states:SendTask")


def test_only_the_vendor_takes_roles_and_only_the_revoker_edits_policies(every: list[Deployment]) -> None:
    for deployment in every:
        assert deployment.holders("sts:") <= {"CredentialVendorRole"}
        assert deployment.holders("iam:") <= {"SessionRevokerRole"}
        for statement in deployment.roles.get("SessionRevokerRole", []):
            if any(action.startswith("iam:") for action in listed(statement["Action"])):
                assert statement["Sid"] == "EditOwnDenials"


def test_task_tokens_are_sealed_by_one_and_opened_by_another(every: list[Deployment]) -> None:
    for deployment in every:
        sealers = {
            role for role, items in deployment.roles.items() if any(i.get("Sid") == "SealTaskTokens" for i in items)
        }
        openers = {
            role for role, items in deployment.roles.items() if any(i.get("Sid") == "OpenTaskTokens" for i in items)
        }
        assert (sealers, openers) == ({"ApprovalNotifyRole"}, {"ApprovalDecideRole"})


def test_who_only_ends_things_can_make_none(every: list[Deployment]) -> None:
    """A session, a lease or a request is written by whoever is asked for it: others change what is there."""
    for deployment in every:
        makers = {
            table: {
                role
                for role, statements in deployment.roles.items()
                for statement in statements
                if "dynamodb:PutItem" in listed(statement["Action"]) and table in json.dumps(statement["Resource"])
            }
            for table in ("SessionsTable", "LeasesTable", "ApprovalsTable")
        }
        assert makers == {
            "SessionsTable": {"TaskRole", "CredentialVendorRole"},
            "LeasesTable": {"CredentialVendorRole"},
            "ApprovalsTable": {"ApprovalRequestRole", "ApprovalDecideRole"},
        }
        assert deployment.holders("sns:Publish") == {"ApprovalNotifyRole", "BrokenRole"}


def test_only_those_who_answer_for_targets_log_in_to_them(given: Deployment) -> None:
    known = {"CredentialVendorRole", "SessionRevokerRole", "SessionReconcilerRole"}
    assert given.holders("rds-db:") <= known
    holders = {
        role
        for role, statements in given.roles.items()
        if any(statement.get("Sid") == "ReadTargetSecrets" for statement in statements)
    }
    assert holders <= known


def test_a_role_is_assumed_by_one_service_and_by_nobody_else(every: list[Deployment]) -> None:
    for deployment in every:
        for name, role in deployment.properties("AWS::IAM::Role").items():
            if name.startswith("Target"):
                continue
            for statement in role["AssumeRolePolicyDocument"]["Statement"]:
                assert set(statement["Principal"]) == {"Service"}, name
                assert isinstance(statement["Principal"]["Service"], str), name
            assert not role.get("ManagedPolicyArns"), f"{name}: policies of our own only"


def test_the_templates_are_clean(assemblies: Path) -> None:
    """cdk-nag, CloudFormation's own validation and our wildcards ran while they were synthesized: here cfn-lint."""
    templates = sorted(str(file) for file in assemblies.glob("nat/*.template.json"))
    for variant, stacks in OTHERWISE.items():  # those that differ from the committed choices
        templates += [str(file) for stack in stacks for file in assemblies.glob(f"{variant}/*-{stack}.template.json")]
    assert len(templates) == 7 + sum(map(len, OTHERWISE.values()))
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--config-file", ".cfnlintrc", "--", *templates]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


#: Made only where somebody names a store of CloudTrail Lake: many regions know neither.
SOMEWHERE = {"AWS::CloudTrail::Channel", "AWS::CloudTrail::ResourcePolicy"}


def test_every_region_knows_every_type(every: list[Deployment]) -> None:
    """CloudFormation refuses a template that names a type it does not know, even under a condition that is false."""
    regions = [
        file
        for file in (Path(cfnlint.__file__).parent / "data" / "schemas" / "providers").glob("*-*-*.json")
        if not file.name.startswith(("us-iso", "eu-iso"))  # closed to all but a few
    ]
    assert len(regions) > 30
    named = {
        item["Type"]
        for deployment in every
        for template in deployment.templates.values()
        for item in template["Resources"].values()
    }
    assert named >= SOMEWHERE
    unknown = {
        (file.stem, type_) for file in regions for type_ in named - SOMEWHERE - json.loads(file.read_text()).keys()
    }
    assert unknown == set()
    assert any(SOMEWHERE - json.loads(file.read_text()).keys() for file in regions)


def test_what_stays_is_what_the_page_says(every: list[Deployment]) -> None:
    """Whoever removes a deployment must know what is left, and by which name to look for it."""
    page = " ".join((ROOT / "docs" / "deploy.md").read_text().partition("**Remove it all.**")[2].split())
    told = {
        "AWS::S3::Bucket": "the buckets",
        "AWS::DynamoDB::Table": "the tables",
        "AWS::EFS::FileSystem": "the file system",
        "AWS::KMS::Key": "the KMS keys",
        "AWS::SecretsManager::Secret": "the masking key's secret",
        "AWS::Logs::LogGroup": "the log of audit events",
    }
    readme = (ROOT / "README.md").read_text()
    for deployment in every:
        kept = [
            (stack, plain(id), item["Type"])
            for stack, template in deployment.templates.items()
            for id, item in template.get("Resources", {}).items()
            if item.get("DeletionPolicy") == "Retain"
        ]
        assert {type_ for _, _, type_ in kept} == set(told)
        assert all(words in page for words in told.values())
        for stack, id, type_ in kept:
            if type_ == "AWS::S3::Bucket":
                name = f"`blastwall-{stack}-{id}...`".lower()
                assert name in page and name in readme, name
        assert [stack for stack, _, type_ in kept if type_ == "AWS::Logs::LogGroup"] == ["Audit"]
        assert [id for _, id, type_ in kept if type_ == "AWS::SecretsManager::Secret"] == ["MaskingKey"]


def test_every_log_is_kept_for_a_time_and_encrypted_with_our_key(every: list[Deployment]) -> None:
    """Only the network is made before the key is: its flow log holds addresses and ports, and nothing of what was said."""
    for deployment in every:
        groups = deployment.properties("AWS::Logs::LogGroup")
        assert [id for id, group in groups.items() if not group.get("RetentionInDays")] == []
        assert {id for id, group in groups.items() if "KmsKeyId" not in group} <= {"Flows"}


def test_no_function_works_on_when_its_door_has_given_up(every: list[Deployment]) -> None:
    for deployment in every:
        functions = deployment.properties("AWS::Lambda::Function")
        doors = deployment.properties("AWS::ApiGatewayV2::Integration")
        assert doors
        for id, integration in doors.items():
            (uri,) = [part for part in functions if part in json.dumps(integration["IntegrationUri"])]
            assert functions[uri]["Timeout"] * 1000 < integration["TimeoutInMillis"] < 30_000, id


def test_no_custom_resources(every: list[Deployment]) -> None:
    """Code in a template would be reviewed by nobody."""
    for deployment in every:
        for template in deployment.templates.values():
            assert not [item["Type"] for item in template.get("Resources", {}).values() if "Custom" in item["Type"]]
            assert "ZipFile" not in json.dumps(template)
