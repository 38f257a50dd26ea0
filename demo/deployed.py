"""The last act: the system as it is deployed to AWS, in an emulated account on this machine."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from rich.console import Console
from rich.text import Text

from demo.clients import COMMAND_SECONDS, Door
from demo.held import HeldStatement
from demo.promises import Promises
from demo.stage import PERSON, ROOT
from rig import account
from rig.cloud import evidence
from rig.cloud.up import CloudStack, alone

AGENT = "deployed-assistant"
OWNER = "owner@example.test"
CLEAN_UP = "DELETE FROM carts WHERE id = 7"
WAIT_SECONDS = 60.0


def tell(promises: Promises, console: Console) -> None:
    """Deploy our own synthesized templates, and have an agent work through what runs then."""
    folder = Path(tempfile.mkdtemp(prefix="blastwall-demo-aws-"))

    def say(line: str) -> None:
        console.print(Text(f"  {line}", style="dim"))

    try:
        with alone(folder) as state, CloudStack(ROOT / "config", state, tasks=1, say=say) as stack:
            _Act(stack, promises, console).play(folder)
    finally:
        account.remove_tree(folder)


class _Act:
    def __init__(self, stack: CloudStack, promises: Promises, console: Console) -> None:
        self.stack = stack
        self.promises = promises
        self.console = console
        self.door = Door(stack.balancer.address, str(stack.certificates.ca.resolve()))
        self.token = stack.issuer.mint(AGENT, ("agents",), ttl=900, on_behalf_of=PERSON)

    def play(self, folder: Path) -> None:
        check = self.promises.check
        read = self.door.psql("SELECT count(*) FROM orders", self.token)
        check("psql reads, through the load balancer and a task of the deployed definition", read.returncode, 0)
        number = self._truth("SELECT count(*) FROM orders")
        check("... the database's own number", number in read.stdout.split(), True)
        dropped = self.door.psql("DROP TABLE customers", self.token)
        check("DROP TABLE is refused by the same rule", "no-destruction" in dropped.stderr, True)
        self._approve()
        self._look_back(folder)
        check("the gateway's own role may not read what it recorded: IAM refuses", self._may_read(), False)

    def _approve(self) -> None:
        check = self.promises.check
        with self.door.connect(self.token) as connection:
            held = HeldStatement(connection, CLEAN_UP)
            check("a deletion waits, in an execution of the state machine", self._execution(held.ticket), "RUNNING")
            check("... and its row is there", self._truth("SELECT count(*) FROM carts WHERE id = 7"), "1")
            done = self._person("approvals", "approve", held.ticket, "--aws")
            check("a person approves, by the function that alone may answer", (done.returncode, done.stderr), (0, ""))
            check("then it runs, once", held.finish().rows, 1)
            logins = self._truth("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'bw\\_%'")
            check("the session has a database login of its own", logins, "1")
        check("the row is gone", self._truth("SELECT count(*) FROM carts WHERE id = 7"), "0")

    def _look_back(self, folder: Path) -> None:
        check = self.promises.check
        found = evidence.awaited(self._recorded, "complete recording in the bucket", WAIT_SECONDS)
        whole = next(one for one in found if one["target"] == "shop" and one["denied"] == 0 and one["statements"] > 1)
        file, key = evidence.fetch(self.stack, str(whole["id"]), folder)
        command = [sys.executable, "tools/verify_recording.py", str(file), "--key", str(key)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
        check("its recording is in the bucket, and a second program finds KMS's signature good", done.returncode, 0)
        self.console.print(Text((done.stdout + done.stderr).rstrip(), style="dim"))
        killed = self._person("sessions", "kill", str(whole["session"]), "--aws")
        check("an operator ends the session", killed.returncode, 0)
        check("... and its login with it", self._logins_end(), True)

    def _execution(self, ticket: str) -> str:
        client = self.stack.account.client("stepfunctions")
        (machine,) = self.stack.deployment.of_type("Approvals", "AWS::StepFunctions::StateMachine")

        def look() -> list[str]:
            listed = client.list_executions(stateMachineArn=machine)["executions"]
            return [str(one["status"]) for one in listed if ticket and one["name"].startswith(ticket)]

        (status,) = evidence.awaited(look, "execution of the state machine", WAIT_SECONDS)
        return str(status)

    def _person(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line, as a person uses it: their AWS credentials find the deployment, their token decides."""
        issuer = self.stack.issuer
        token = issuer.mint(OWNER, ("owners",), ttl=600, aud=issuer.approver_audience)
        self.console.print(Text(f"$ blastwall {shlex.join(arguments)}", style="bold cyan"))
        environment = {
            **os.environ,
            **self.stack.account.environment(),
            "COLUMNS": str(self.console.width),
            "BLASTWALL_APPROVER_TOKEN": token,
        }
        command = [sys.executable, "-m", "cli", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )
        self.console.print(Text((done.stdout + done.stderr).rstrip(), style="dim"))
        return done

    def _recorded(self) -> list[Any]:
        found = evidence.recorded(self.stack, AGENT)
        return found if len(found) >= 3 else []  # psql twice, psycopg once

    def _logins_end(self) -> bool:
        left = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'bw\\_%'"
        return bool(evidence.awaited(lambda: self._truth(left) == "0", "end of the login", WAIT_SECONDS))

    def _may_read(self) -> bool:
        bucket = self.stack.deployment.resource("Data", "RecordingsBucket")
        keys = self.stack.account.task_keys(self.stack.tasks[0].role)
        try:
            listed = self.stack.account.client("s3").list_objects_v2(Bucket=bucket)["Contents"]
            self.stack.account.client("s3", keys).get_object(Bucket=bucket, Key=listed[0]["Key"])
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("AccessDenied", "403"):
                raise
            return False
        return True

    def _truth(self, sql: str) -> str:
        """What the database itself says, past the gateway."""
        return self.stack.targets["shop"].server.psql(sql, database="shop")
