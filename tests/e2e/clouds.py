"""The AWS system of the rig, as tests ask it: agents in front, people and operators behind, AWS itself beside."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from botocore.exceptions import ClientError

from blastwall.approvals import Filed
from blastwall.approvals.view import view_of
from blastwall.aws.approvals import ApprovalTable
from blastwall.aws.leases import AwsLeases
from blastwall.aws.sessions import SessionTable
from blastwall.aws.standing import Standing
from blastwall.credentials.lease import Lease
from blastwall.local.clock import SystemClock
from blastwall.model import ApprovalState, Session
from rig.cloud import evidence
from rig.cloud.balancer import Balancer
from rig.cloud.task import Task
from rig.cloud.up import CloudStack, place_of
from rig.postgres import psql_path

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 90.0
LOOK_SECONDS = 0.05
CLIENT_SECONDS = 90.0

Found = TypeVar("Found")

REPORTS = "rig-reports"
AWS_ROLES = {
    "reports": {
        "role_arn": "arn:aws:iam::123456789012:role/blastwall/reports",
        "region": "us-east-1",
        "denials_policy_arn": "arn:aws:iam::123456789012:policy/blastwall/reports-denials",
        "labels": {"group": "agents"},
        "allow": [{"actions": ["s3:GetObject"], "resources": [f"arn:aws:s3:::{REPORTS}/public/*"]}],
    }
}


def awaited(look: Callable[[], Found | None], what: str, seconds: float = WAIT_SECONDS) -> Found:
    """What ``look`` finds, as soon as it finds something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"after {seconds:.0f} s there is still no {what}"
        time.sleep(LOOK_SECONDS)
    return found


def refused(call: Any, *arguments: Any, **named: Any) -> bool:
    """Whether AWS says that this caller may not."""
    try:
        call(*arguments, **named)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        assert code in ("AccessDenied", "AccessDeniedException", "403", "UnauthorizedOperation"), error
        return True
    return False


def gone(connection: psycopg.Connection[Any]) -> bool:
    """Whether the connection has ended."""
    if connection.closed:
        return True
    try:
        connection.execute("SELECT 1")
    except psycopg.Error:
        return True
    return False


@dataclass
class Cloud:
    """One deployed system. ``door`` is its load balancer's port; a test may have one of its own for one task."""

    stack: CloudStack
    doors: list[Balancer] = field(default_factory=list)

    # agents

    def token(self, agent: str, *, groups: tuple[str, ...] = ("agents",)) -> str:
        return self.stack.issuer.mint(agent, groups, ttl=900)

    def door(self, task: Task | None = None) -> int:
        """The port where the load balancer listens, or one that leads to that task alone."""
        if task is None:
            return self.stack.balancer.port
        made = Balancer([place_of(task)])
        made.start()
        self.doors.append(made)
        return made.port

    def psql(self, token: str, *sql: str, port: int = 0) -> subprocess.CompletedProcess[str]:
        """Real psql, as an agent has it."""
        environ = {
            "PGHOST": "127.0.0.1", "PGPORT": str(port or self.door()), "PGUSER": "shop", "PGDATABASE": "shop",
            "PGPASSWORD": token, "PGSSLMODE": "verify-full", "PGSSLROOTCERT": self.ca, "PGCONNECT_TIMEOUT": "30",
        }  # fmt: skip
        command = [str(psql_path()), "-XAtq", "-v", "VERBOSITY=verbose"]
        command += [part for text in sql for part in ("-c", text)]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=CLIENT_SECONDS, check=False)

    def connect(self, token: str, *, port: int = 0) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="127.0.0.1", port=port or self.door(), user="shop", dbname="shop", password=token,
            sslmode="verify-full", sslrootcert=self.ca, connect_timeout=30, autocommit=True,
        )  # fmt: skip

    @property
    def ca(self) -> str:
        return str(self.stack.certificates.ca.resolve())

    # the truth behind the gateway

    def value(self, sql: str) -> Any:
        """The one value that the database answers past the gateway."""
        with psycopg.connect(self.stack.targets["shop"].server.dsn("shop"), autocommit=True) as connection:
            row = connection.execute(sql.encode()).fetchone()
            return row[0] if row else None

    # people and operators

    @property
    def approvals(self) -> ApprovalTable:
        name = self.stack.deployment.resource("Data", "ApprovalsTable")
        return ApprovalTable(self.client("dynamodb"), name, SystemClock())

    @property
    def sessions(self) -> SessionTable:
        name = self.stack.deployment.resource("Data", "SessionsTable")
        return SessionTable(self.client("dynamodb"), name, SystemClock())

    def requested(self, agent: str, state: ApprovalState = ApprovalState.REQUESTED) -> Filed:
        """The agent's request that is in this state, as soon as there is one."""

        def look() -> Filed | None:
            for filed in self.approvals.ls():
                if filed.request.principal.agent == agent and filed.status.state is state:
                    return filed
            return None

        return awaited(look, f"request of {agent} that is {state}")

    def decide(
        self, id: str, *, approve: bool = True, by: str = "olga", groups: tuple[str, ...] = ("owners",), **more: Any
    ) -> Any:
        """A person's answer, as the page sends it: to the function that alone may answer."""
        token = self.stack.issuer.mint(by, groups, ttl=600, aud=self.stack.issuer.approver_audience)
        filed = self.approvals.show(id)
        assert filed is not None
        ballot = {
            "id": id,
            "token": token,
            "approve": approve,
            "shown": view_of(filed.request).shown,
            "note": "",
            **more,
        }
        return self.invoke("approval-decide", ballot)

    def invoke(self, function: str, event: Mapping[str, Any], keys: Mapping[str, str] | None = None) -> Any:
        """Call a deployed function."""
        call = self.client("lambda", keys).invoke
        answer = call(FunctionName=f"blastwall-{function}", Payload=json.dumps(dict(event)))
        found = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, found
        return found

    def session(self, agent: str) -> Standing:
        """The agent's one live session."""
        (found,) = self.sessions.ls(agent)
        return found

    def long_ago(self, session: Session) -> None:
        """As if the lost task of a session had been silent for minutes: its session, and what it was recording."""
        self.client("dynamodb").update_item(
            TableName=self.sessions.name,
            Key={"id": {"S": session.id}},
            UpdateExpression="SET alive_until = :then",
            ExpressionAttributeValues={":then": {"N": repr(time.time() - 1)}},
        )
        live = {file for file in self.stack.spool.rglob("*.bwr") if session.id.encode() in file.read_bytes()[:4096]}
        assert live, "nothing of the session is in the spool"
        for file in live:
            os.utime(file, (time.time() - 3600, time.time() - 3600))

    def leases(self, session: str) -> list[Lease]:
        name = self.stack.deployment.resource("Data", "LeasesTable")
        return list(asyncio.run(AwsLeases(self.client("dynamodb"), name, self.sessions.name).of(session)))

    # AWS

    def client(self, service: str, keys: Mapping[str, str] | None = None, *, plain: bool = False) -> Any:
        """boto3 as the account's root, or with somebody's keys."""
        return self.stack.account.client(service, keys, plain=plain)

    @property
    def task_keys(self) -> Mapping[str, str]:
        """Keys of the gateway's own role."""
        return self.stack.account.task_keys(self.stack.tasks[0].role)

    def function_keys(self, function: str) -> Mapping[str, str]:
        """Keys of a function's own role."""
        found = self.client("lambda").get_function_configuration(FunctionName=f"blastwall-{function}")
        return self.stack.account.task_keys(found["Role"])

    @property
    def recordings(self) -> str:
        return self.stack.deployment.resource("Data", "RecordingsBucket")

    def recorded(self, agent: str, count: int = 1) -> list[Mapping[str, Any]]:
        """What the manifests in the bucket say of the agent's connections, once there are so many complete ones."""

        def look() -> list[Mapping[str, Any]] | None:
            found = evidence.recorded(self.stack, agent)
            return found if len(found) >= count else None

        return awaited(look, f"complete recording of {agent} in the bucket")

    def verified(self, id: str, folder: Path) -> str:
        """Fetch a recording and its manifest, and have the second implementation verify it with KMS's public key."""
        file, key = evidence.fetch(self.stack, id, folder)
        command = [sys.executable, "tools/verify_recording.py", str(file), "--key", str(key)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=CLIENT_SECONDS, check=False)
        return done.stdout + done.stderr

    def audited(self, agent: str) -> list[dict[str, Any]]:
        """The agent's audit events in the bucket, once its end is among them."""
        bucket = self.stack.deployment.resource("Audit", "EventsBucket")
        s3 = self.client("s3")

        def look() -> list[dict[str, Any]] | None:
            found = []
            for item in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
                body = gzip.decompress(s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read())
                found += [json.loads(line) for line in body.splitlines() if agent.encode() in line]
            return found if len(found) > 3 else None

        return awaited(look, f"audit event of {agent}")

    @property
    def log(self) -> str:
        """What the tasks have said so far."""
        return "".join(file.read_text(errors="replace") for file in self.stack.state.glob("tasks/*/gateway.log"))

    def executions(self, id: str) -> list[str]:
        """The states of the executions that wait or waited for a request."""
        client = self.client("stepfunctions")
        (arn,) = self.stack.deployment.of_type("Approvals", "AWS::StepFunctions::StateMachine")
        listed = client.list_executions(stateMachineArn=arn)["executions"]
        return [one["status"] for one in listed if one["name"].startswith(id)]

    def close(self) -> None:
        for door in self.doors:
            door.stop()
        for task in self.stack.tasks:
            task.kill()  # nothing that they would still write is looked at
        self.stack.stop()
