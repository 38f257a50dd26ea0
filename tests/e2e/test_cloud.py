"""The synthesized stacks, deployed into an emulated account that enforces IAM, with gateway tasks from their definition.

One deployment serves all tests of this file; agents differ. What is real here and what is not: docs/rig.md.
"""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from botocore.exceptions import ClientError

from blastwall.model import ApprovalState
from demo.held import HeldStatement
from rig import account
from rig.cloud.up import CloudStack, place_of
from tests.e2e.clouds import AWS_ROLES, REPORTS, ROOT, Cloud, awaited, gone, refused

EMPTY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:Nothing", "Resource": "*"}]}'
TEST_SECONDS = 180.0  # functions are processes that start while others wait


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, rig_directory: Path) -> Iterator[Cloud]:
    state = rig_directory / "cloud"
    with CloudStack(ROOT / "config", state, overrides={"aws_roles": AWS_ROLES}) as stack:
        made = Cloud(stack)
        try:
            yield made
            assert "Traceback" not in made.log, made.log  # whatever was tried, no task met a defect of its own
        finally:
            made.close()
    account.remove_tree(state)


def test_an_agent_reads_and_what_policy_refuses_never_arrives(cloud: Cloud, tmp_path: Path) -> None:
    token = cloud.token("reader")
    read = cloud.psql(token, "SELECT count(*) FROM carts")
    assert (read.returncode, read.stdout.strip()) == (0, str(cloud.value("SELECT count(*) FROM carts")))
    dropped = cloud.psql(token, "DROP TABLE carts")
    assert dropped.returncode and "blastwall" in dropped.stderr
    assert cloud.value("SELECT count(*) FROM carts")


def test_a_held_delete_runs_once_when_a_person_has_decided(cloud: Cloud) -> None:
    token, sql = cloud.token("cleaner"), "DELETE FROM carts WHERE id = 7"
    with cloud.connect(token) as connection:
        held = HeldStatement(connection, sql)
        filed = cloud.requested("cleaner")
        assert filed.request.id == held.ticket
        awaited(lambda: cloud.executions(held.ticket) == ["RUNNING"], "execution that waits")
        assert cloud.value("SELECT count(*) FROM carts WHERE id = 7") == 1
        assert "refused" in cloud.decide(held.ticket, by="eve", groups=("agents",))
        assert cloud.decide(held.ticket)["status"]["state"] == "approved"
        assert held.finish().rows == 1
        awaited(lambda: cloud.executions(held.ticket) == ["SUCCEEDED"], "execution that has ended")
    assert cloud.value("SELECT count(*) FROM carts WHERE id = 7") == 0
    assert cloud.approvals.show(held.ticket).status.state == "redeemed"


def test_recordings_and_audit_events_reach_their_buckets_and_verify(cloud: Cloud, tmp_path: Path) -> None:
    cloud.psql(cloud.token("recorded"), "SELECT 41 + 1", "DROP TABLE carts")
    (manifest,) = cloud.recorded("recorded")
    assert (manifest["statements"], manifest["denied"], manifest["target"]) == (3, 1, "shop")  # connecting is one, too
    said = cloud.verified(manifest["id"], tmp_path)
    assert "intact" in said, said
    s3 = cloud.client("s3")
    objects = s3.list_objects_v2(Bucket=cloud.recordings)["Contents"]
    (segment,) = [one["Key"] for one in objects if manifest["id"] in one["Key"] and one["Key"].endswith(".bwr")]
    head = s3.head_object(Bucket=cloud.recordings, Key=segment)
    assert head["ObjectLockMode"] == "GOVERNANCE" and head["ServerSideEncryption"] == "aws:kms"
    with pytest.raises(ClientError, match="AccessDenied"):  # not even the account's root, without the bypass
        s3.delete_object(Bucket=cloud.recordings, Key=segment, VersionId=head["VersionId"])
    events = cloud.audited("recorded")
    assert {event["metadata"]["product"]["name"] for event in events} == {"Blastwall"}


def test_the_end_of_a_session_takes_its_login_away(cloud: Cloud) -> None:
    token = cloud.token("leaver")
    with cloud.connect(token) as connection:
        connection.execute("SELECT 1")
        session = cloud.session("leaver").session
        (lease,) = cloud.leases(session.id)
        assert cloud.value(f"SELECT count(*) FROM pg_roles WHERE rolname = '{lease.id}'") == 1
        assert cloud.sessions.kill(session.id, "enough", "olga")
        awaited(lambda: connection.closed or gone(connection), "end of the connection")
    awaited(lambda: not cloud.leases(session.id), "end of every lease")
    assert cloud.value(f"SELECT count(*) FROM pg_roles WHERE rolname = '{lease.id}'") == 0
    again = cloud.psql(token, "SELECT 1")
    assert again.returncode and "enough" in again.stderr


# what IAM refuses, tried


def test_the_gateways_role_cannot_widen_itself(cloud: Cloud) -> None:
    iam, role = cloud.client("iam", cloud.task_keys), cloud.stack.tasks[0].role.rpartition("/")[2]
    document = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
    assert refused(iam.put_role_policy, RoleName=role, PolicyName="more", PolicyDocument=document)
    assert refused(iam.create_policy, PolicyName="more", PolicyDocument=document)
    assert refused(iam.create_user, UserName="more")
    assert refused(iam.attach_role_policy, RoleName=role, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    assert refused(iam.update_assume_role_policy, RoleName=role, PolicyDocument=document)


def test_the_gateways_role_takes_no_role_of_a_target(cloud: Cloud) -> None:
    arn = AWS_ROLES["reports"]["role_arn"]
    assert refused(cloud.client("sts", cloud.task_keys).assume_role, RoleArn=arn, RoleSessionName="gateway")
    # nor does the account's root: only the vendor is trusted
    assert refused(cloud.client("sts").assume_role, RoleArn=arn, RoleSessionName="root")


def test_the_gateways_role_answers_no_waiting_task(cloud: Cloud) -> None:
    machines = cloud.client("stepfunctions", cloud.task_keys)
    assert refused(machines.send_task_success, taskToken="any", output="{}")
    assert refused(machines.send_task_failure, taskToken="any")
    (arn,) = cloud.stack.deployment.of_type("Approvals", "AWS::StepFunctions::StateMachine")
    assert refused(machines.start_execution, stateMachineArn=arn, input="{}")  # that is approval_request's


def test_the_gateways_role_puts_recordings_and_neither_reads_nor_changes_them(cloud: Cloud) -> None:
    s3 = cloud.client("s3", cloud.task_keys)
    root, bucket = cloud.client("s3"), cloud.recordings
    key = "recordings/tried"
    root.put_object(Bucket=bucket, Key=key, Body=b"recorded")
    version = root.head_object(Bucket=bucket, Key=key)["VersionId"]
    assert refused(s3.get_object, Bucket=bucket, Key=key)
    assert refused(s3.list_objects_v2, Bucket=bucket)
    assert refused(s3.delete_object, Bucket=bucket, Key=key)
    assert refused(s3.delete_object, Bucket=bucket, Key=key, VersionId=version, BypassGovernanceRetention=True)
    retention = {"Mode": "GOVERNANCE", "RetainUntilDate": "2030-01-01T00:00:00Z"}
    assert refused(s3.put_object_retention, Bucket=bucket, Key=key, Retention=retention)
    assert refused(s3.put_bucket_policy, Bucket=bucket, Policy="{}")
    other = cloud.stack.deployment.resource("Data", "AccessLog")
    assert refused(s3.put_object, Bucket=other, Key=key, Body=b"elsewhere")


def test_buckets_take_nothing_without_tls_nor_with_another_key(cloud: Cloud) -> None:
    put = {"Bucket": cloud.recordings, "Key": "recordings/plain", "Body": b"seen by all"}
    assert refused(cloud.client("s3", cloud.task_keys, plain=True).put_object, **put)
    other = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    keyed = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": other}
    assert refused(cloud.client("s3", cloud.task_keys).put_object, **put, **keyed)


def test_the_gateways_role_opens_no_secret_and_no_task_token(cloud: Cloud) -> None:
    secrets = cloud.client("secretsmanager", cloud.task_keys)
    for found in cloud.client("secretsmanager").list_secrets()["SecretList"]:
        assert refused(secrets.get_secret_value, SecretId=found["ARN"]), found["Name"]
    key = cloud.stack.deployment.resource("Data", "TokenKey")
    sealed = cloud.client("kms").encrypt(KeyId=key, Plaintext=b"token")["CiphertextBlob"]
    assert refused(cloud.client("kms", cloud.task_keys).decrypt, CiphertextBlob=sealed, KeyId=key)


def test_only_what_it_calls_can_be_called(cloud: Cloud) -> None:
    invoke = cloud.client("lambda", cloud.task_keys).invoke
    for function in ("session-reconciler", "recording-finisher", "approval-notify", "approval-page"):
        assert refused(invoke, FunctionName=f"blastwall-{function}", Payload="{}"), function
    leases = cloud.stack.deployment.resource("Data", "LeasesTable")
    assert refused(cloud.client("dynamodb", cloud.task_keys).scan, TableName=leases)


def test_only_the_function_that_decides_answers_tasks(cloud: Cloud) -> None:
    answer = {"taskToken": "unknown", "output": "{}"}
    for function in ("approval-request", "approval-notify", "approval-page", "credential-vendor", "session-revoker"):
        machines = cloud.client("stepfunctions", cloud.function_keys(function))
        assert refused(machines.send_task_success, **answer), function
    with pytest.raises(ClientError, match="TaskDoesNotExist"):  # it may, and there is no such task
        cloud.client("stepfunctions", cloud.function_keys("approval-decide")).send_task_success(**answer)


def test_only_the_vendor_takes_targets_roles_and_the_revoker_denies_them(cloud: Cloud) -> None:
    arn, denials = AWS_ROLES["reports"]["role_arn"], AWS_ROLES["reports"]["denials_policy_arn"]
    for function in ("session-revoker", "session-reconciler", "token-verifier", "approval-decide"):
        assume = cloud.client("sts", cloud.function_keys(function)).assume_role
        assert refused(assume, RoleArn=arn, RoleSessionName="other"), function
    vendor = cloud.function_keys("credential-vendor")
    assert refused(cloud.client("sts", vendor).assume_role, RoleArn=cloud.stack.tasks[0].role, RoleSessionName="other")
    other = cloud.client("iam").create_policy(PolicyName="another", PolicyDocument=EMPTY)["Policy"]["Arn"]
    revoker = cloud.client("iam", cloud.function_keys("session-revoker"))
    assert refused(revoker.create_policy_version, PolicyArn=other, PolicyDocument=EMPTY, SetAsDefault=True)
    assert refused(revoker.attach_role_policy, RoleName="reports", PolicyArn=other)
    assert refused(revoker.put_role_policy, RoleName="reports", PolicyName="x", PolicyDocument=EMPTY)
    assert refused(cloud.client("iam", vendor).create_policy_version, PolicyArn=denials, PolicyDocument=EMPTY)
    assert revoker.get_policy(PolicyArn=denials)["Policy"]["Arn"] == denials


def test_no_property_of_a_template_is_dropped_unnoticed(cloud: Cloud) -> None:
    table = tomllib.loads((ROOT / "rig" / "cloud" / "dropped.toml").read_text("utf-8"))["dropped"]
    found = {f"{kind} {name}" for kind, names in cloud.stack.account.unread().items() for name in names}
    known = {f"{kind} {name}" for kind, names in table.items() for name in names}
    assert found - known == set(), "the emulator drops these: mend it in rig/cloud/emulator, or say why it may"
    assert known - found == set(), "nobody drops these any more"
    assert all(reason for names in table.values() for reason in names.values())


# agents' AWS roles


def test_keys_of_a_vended_role_do_what_the_session_may_and_nothing_else(cloud: Cloud) -> None:
    root = cloud.client("s3")
    root.create_bucket(Bucket=REPORTS)
    for key in ("public/a", "private/b"):
        root.put_object(Bucket=REPORTS, Key=key, Body=b"report")
    cloud.client("iam").put_role_policy(  # as if the account's own role allowed far more than this session may
        RoleName="reports",
        PolicyName="broad",
        PolicyDocument='{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}',
    )
    answer = cloud.invoke("credential-vendor", {"token": cloud.token("reporter"), "aws_role": "reports"})
    document = answer["keys"]
    keys = {
        "aws_access_key_id": document["AccessKeyId"],
        "aws_secret_access_key": document["SecretAccessKey"],
        "aws_session_token": document["SessionToken"],
    }
    s3 = cloud.client("s3", keys)
    assert s3.get_object(Bucket=REPORTS, Key="public/a")["Body"].read() == b"report"
    assert refused(s3.get_object, Bucket=REPORTS, Key="private/b")
    assert refused(s3.put_object, Bucket=REPORTS, Key="public/a", Body=b"forged")
    assert refused(s3.list_buckets)
    who = cloud.client("sts", keys).get_caller_identity()["Arn"]
    assert "assumed-role/reports/" in who
    outsider = cloud.invoke("credential-vendor", {"token": cloud.token("x", groups=("others",)), "aws_role": "reports"})
    assert outsider["fault"]["kind"] == "policy"


# two tasks, one system


def test_a_session_is_one_whichever_task_its_connections_come_to(cloud: Cloud) -> None:
    token, (first, second) = cloud.token("both"), cloud.stack.tasks[:2]
    with cloud.connect(token, port=cloud.door(first)) as here, cloud.connect(token, port=cloud.door(second)) as there:
        held = HeldStatement(here, "DELETE FROM carts WHERE id = 11")
        assert cloud.decide(held.ticket, grant_seconds=600)["status"]["state"] == "approved"
        assert held.finish().rows == 1
        assert there.execute("DELETE FROM carts WHERE id = 12").rowcount == 1  # the other task knows of the grant
        standing = cloud.session("both")
        assert len(standing.connections) == 2
        assert {lease.session for lease in cloud.leases(standing.session.id)} == {standing.session.id}
        assert cloud.sessions.kill(standing.session.id, "enough", "olga")
        awaited(lambda: gone(here) and gone(there), "end of both connections")
    awaited(lambda: not cloud.leases(standing.session.id), "end of every lease")


def test_a_cancel_request_that_comes_to_the_other_task_arrives(cloud: Cloud) -> None:
    first, second = cloud.stack.tasks[:2]
    with cloud.connect(cloud.token("canceller"), port=cloud.door(first)) as connection:
        held = HeldStatement(connection, "DELETE FROM carts WHERE id = 15")
        cloud.doors[-1].places = (place_of(second),)  # the load balancer's choice for the next connection
        connection.cancel_safe(timeout=30)
        assert held.finish().code == "57014"
        cloud.requested("canceller", ApprovalState.WITHDRAWN)
        assert connection.execute("SELECT 1").fetchone() == (1,)  # the session goes on
    assert cloud.value("SELECT count(*) FROM carts WHERE id = 15") == 1


def test_a_lost_task_loses_no_recording_and_no_login(cloud: Cloud, tmp_path: Path) -> None:
    lost, token = cloud.stack.start_task(), cloud.token("orphan")
    connection = cloud.connect(token, port=cloud.door(lost))
    connection.execute("SELECT 1")
    session = cloud.session("orphan").session
    (lease,) = cloud.leases(session.id)
    lost.kill()
    awaited(lambda: gone(connection), "end of the connection")
    assert cloud.psql(cloud.token("onward"), "SELECT 1").returncode == 0  # what is left takes who comes
    cloud.long_ago(session)
    awaited(lambda: cloud.invoke("session-reconciler", {}) and not cloud.leases(session.id), "end of every lease")
    assert cloud.value(f"SELECT count(*) FROM pg_roles WHERE rolname = '{lease.id}'") == 0
    cloud.invoke("recording-finisher", {})
    (manifest,) = cloud.recorded("orphan")
    assert "intact" in cloud.verified(manifest["id"], tmp_path)


def test_a_task_that_is_stopped_says_goodbye(cloud: Cloud) -> None:
    stopped, token = cloud.stack.start_task({"BLASTWALL_DRAIN_SECONDS": "1"}), cloud.token("farewell")
    door = cloud.door(stopped)
    connection = cloud.connect(token, port=door)
    stopped.drain()
    awaited(lambda: not cloud.doors[-1].healthy(place_of(stopped)), "503")
    assert cloud.psql(cloud.token("late"), "SELECT 1", port=door).returncode  # nobody is sent there any more
    with pytest.raises(psycopg.OperationalError) as ended:
        awaited(lambda: connection.execute("SELECT 1") and None, "end of the connection")
    assert ended.value.sqlstate == "57P01"
    assert stopped.process is not None and stopped.process.wait(110) == 0
    assert len(cloud.recorded("farewell")) == 1  # flushed before it went
    assert cloud.psql(token, "SELECT 1").returncode == 0


def test_what_waits_is_decided_in_the_definition_it_began_with(cloud: Cloud, tmp_path: Path) -> None:
    """Last, for it changes the system."""
    with cloud.connect(cloud.token("upgraded")) as connection:
        held = HeldStatement(connection, "DELETE FROM carts WHERE id = 13")
        awaited(lambda: cloud.approvals.token(held.ticket), "task that waits")
        (machine,) = cloud.stack.deployment.of_type("Approvals", "AWS::StepFunctions::StateMachine")
        before = cloud.client("stepfunctions").describe_state_machine(stateMachineArn=machine)["definition"]
        cloud.stack.deploy(changed(cloud.stack.deployment.assembly, tmp_path / "assembly"))
        after = cloud.client("stepfunctions").describe_state_machine(stateMachineArn=machine)["definition"]
        assert after != before and "Reviewed" in after
        function = cloud.client("lambda").get_function_configuration(FunctionName="blastwall-approval-decide")
        assert function["MemorySize"] == 1024
        assert cloud.decide(held.ticket)["status"]["state"] == "approved"
        assert held.finish().rows == 1
        awaited(lambda: cloud.executions(held.ticket) == ["SUCCEEDED"], "execution that has ended")
        again = HeldStatement(connection, "DELETE FROM carts WHERE id = 14")  # in the new definition
        assert cloud.decide(again.ticket)["status"]["state"] == "approved"
        assert again.finish().rows == 1


def changed(assembly: Path, folder: Path) -> Path:
    """The same stacks after somebody changed the approvals: another definition, a larger function."""
    shutil.copytree(assembly, folder)
    file = folder / "Blastwall-Approvals.template.json"
    template = json.loads(file.read_text("utf-8"))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::StepFunctions::StateMachine":
            definition = json.loads(resource["Properties"]["DefinitionString"])
            definition["States"]["Reviewed"] = {"Type": "Pass", "Next": "Settle"}
            definition["States"]["Ask"]["Next"] = "Reviewed"
            resource["Properties"]["DefinitionString"] = json.dumps(definition)
        if resource.get("Properties", {}).get("FunctionName") == "blastwall-approval-decide":
            resource["Properties"]["MemorySize"] = 1024
    file.write_text(json.dumps(template), "utf-8")
    return folder
