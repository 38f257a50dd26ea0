"""The approvals of AWS as deployed, in this process: the real definition, the real handlers, moto for what is AWS's."""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from moto.sns.models import sns_backends

from blastwall.approvals import Event, binding, request_id, shape, to_document
from blastwall.approvals.view import view_of
from blastwall.aws.approvals import ApprovalTable
from blastwall.config.bundle import load_bundle
from blastwall.local.clock import SystemClock
from blastwall.model import (
    ApprovalRequest,
    ApprovalStatus,
    Effect,
    Facts,
    ObjectRef,
    Principal,
    Risk,
    Statement,
)
from lambdas import approval_parts
from lambdas.approval_decide.handler import handler as decide
from lambdas.approval_notify.handler import handler as notify
from lambdas.approval_request.handler import handler as request
from rig.issuer import LocalIssuer
from tests.blastwall.aws import stage

GATEWAY = """
version: 1
listen: {postgres: "127.0.0.1:0"}
insecure_local: true
identity:
  issuers:
    - {issuer: ISSUER, audience: blastwall, algorithms: [ES256], typ: [at+jwt]}
approvals:
  escalation: {after_seconds: 60, groups: [security]}
targets:
  shop:
    protocol: postgres
    host: 127.0.0.1
    port: 5432
    labels: {environment: test}
    credential: {kind: static, user: shop}
    options: {databases: [shop]}
"""
POLICY = """
@id("approve")
permit (principal, action == Action::"approve", resource) when { context.routed };
"""


class Machine:
    """What agents and people do, and what one can look at."""

    def __init__(self, root: Path, issuer: LocalIssuer) -> None:
        self.issuer = issuer
        self._numbers = itertools.count()
        self.machines = stage.client("stepfunctions")
        self.dynamodb = stage.Atomic(stage.client("dynamodb"))
        stage.approvals_table(self.dynamodb)
        self.table = ApprovalTable(self.dynamodb, stage.TABLE, SystemClock())
        self.arn = stage.state_machine(self.machines)
        self.topic = stage.client("sns").create_topic(Name="approvals")["TopicArn"]
        self.key = stage.client("kms").create_key()["KeyMetadata"]["KeyId"]
        self.config = root / "config"
        (self.config / "policies").mkdir(parents=True)
        (self.config / "gateway.yaml").write_text(GATEWAY.replace("ISSUER", issuer.issuer))
        (self.config / "policies" / "people.cedar").write_text(POLICY)
        self.version = load_bundle(self.config).policies.version

    def environ(self) -> dict[str, str]:
        return {
            "BLASTWALL_APPROVALS_TABLE": stage.TABLE,
            "BLASTWALL_CONFIG": str(self.config),
            "BLASTWALL_STATE_MACHINE_ARN": self.arn,
            "BLASTWALL_TOKEN_KEY_ID": self.key,
            "BLASTWALL_TOPIC_ARN": self.topic,
            "BLASTWALL_PAGE_URL": "https://page.example",
        }

    def ask(self, *, seconds: float = 900.0, escalate: float = 0.0, agent: str = "", **changes: Any) -> ApprovalRequest:
        """A request as the gateway files it. ``escalate`` 0: to nobody."""
        now = time.time()
        who = Principal(
            self.issuer.issuer,
            agent or f"agent-{next(self._numbers)}",
            "reporter",
            frozenset({"agents"}),
            "alice",
            "token",
            now,
            now + 3600,
        )
        made = ApprovalRequest(
            id=request_id(str(time.time_ns()).encode()[-10:]),
            binding="",
            session="s-1",
            principal=who,
            target="shop",
            statement=Statement("DELETE FROM orders WHERE id = 7"),
            facts=Facts(Effect.WRITE, "delete", (ObjectRef("table", "public.orders", "write"),), reason="deletes rows"),
            risk=Risk(40),
            approvers=("owners",),
            policy_version=self.version,
            requested_at=now,
            expires_at=now + seconds,
            escalation=("security",) if escalate else (),
            escalate_at=now + escalate if escalate else 0.0,
            bound=12,
        )
        made = dataclasses.replace(made, **changes)
        about: dict[str, Any] = {
            "principal": who,
            "session": made.session,
            "target": made.target,
            "statement": made.statement,
            "policy_version": made.policy_version,
        }
        return dataclasses.replace(made, binding=binding(**about), shape=shape(facts=made.facts, **about))

    def file(self, asked: ApprovalRequest) -> dict[str, Any]:
        return self.call(request, to_document(asked))

    def call(self, handler: Any, event: Any) -> dict[str, Any]:
        """As Lambda calls it: JSON in, JSON out."""
        context = type(
            "Context",
            (),
            {"function_name": "f", "memory_limit_in_mb": 1, "invoked_function_arn": "f", "aws_request_id": "r"},
        )
        answer = json.loads(json.dumps(handler(json.loads(json.dumps(event)), context())))
        assert isinstance(answer, dict)
        return answer

    def token(self, name: str, *groups: str) -> str:
        return self.issuer.mint(name, groups or ("owners",), aud=self.issuer.approver_audience)

    def decide(self, asked: ApprovalRequest, by: str = "bob", approve: bool = True, **more: Any) -> dict[str, Any]:
        """What a person answers who has looked at the request."""
        event = {
            "id": asked.id,
            "token": self.token(by),
            "approve": approve,
            "shown": view_of(asked).shown,
            "note": "",
        }
        return self.call(decide, event | more)

    def status(self, asked: ApprovalRequest) -> ApprovalStatus:
        filed = self.table.show(asked.id)
        assert filed is not None
        return filed.status

    def waits(self, asked: ApprovalRequest, but: bytes | None = None, seconds: float = 10.0) -> bytes:
        """Until the machine waits for a person (with another sealed token than ``but``); returns the sealed token."""
        return self.waits_for(asked.id, but, seconds)

    def waits_for(self, id: str, but: bytes | None = None, seconds: float = 10.0) -> bytes:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            token = self.table.token(id)
            if token is not None and token != but:
                return token
            time.sleep(0.02)
        raise AssertionError(f"nothing waits for {id}")

    def over(self, asked: ApprovalRequest, seconds: float = 15.0) -> dict[str, Any]:
        """The execution's end: its status, and output if it succeeded."""
        return self.over_for(asked.id, seconds)

    def over_for(self, id: str, seconds: float = 15.0) -> dict[str, Any]:
        arn = self.arn.replace(":stateMachine:", ":execution:") + f":{id}"
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.machines.describe_execution(executionArn=arn)
            if found["status"] != "RUNNING":
                output = json.loads(found.get("output") or "null")
                return {"status": found["status"], "output": output}
            time.sleep(0.02)
        raise AssertionError(f"{id} goes on")

    def published(self, asked: ApprovalRequest) -> list[tuple[str, str]]:
        """Subject and text of what was published about a request."""
        topic = sns_backends[stage.ACCOUNT][stage.REGION].topics[self.topic]
        return [(subject, text) for _, text, subject, *_ in topic.sent_notifications if asked.id in text]

    def heard(self, asked: ApprovalRequest, seconds: float = 10.0) -> str:
        """What was published about a request, once something was."""
        deadline = time.monotonic() + seconds
        while not self.published(asked) and time.monotonic() < deadline:
            time.sleep(0.02)
        return repr(self.published(asked))

    def told(self, asked: ApprovalRequest) -> list[str]:
        """The beginnings of the subjects."""
        return [subject.split(":")[0] for subject, _ in self.published(asked)]

    def stop(self) -> None:
        """End what still waits, as it ends in life: what ran on after moto has gone would look for AWS itself."""
        for one in self.machines.list_executions(stateMachineArn=self.arn)["executions"]:
            if one["status"] == "RUNNING":
                self.waits_for(one["name"])
                self.table.move(one["name"], Event.WITHDRAW)
                self.call(decide, {"answer": one["name"]})
                self.over_for(one["name"])


@contextmanager
def machine(root: Path, monkeypatch: Any) -> Iterator[Machine]:
    """Everything, for one test."""
    issuer = LocalIssuer.open(root / "state", port=0)
    issuer.serve()
    try:
        with stage.aws(monkeypatch, machines=True):
            made = Machine(root, issuer)
            for name, value in made.environ().items():
                monkeypatch.setenv(name, value)
            shared = {"dynamodb": made.dynamodb}
            monkeypatch.setattr(approval_parts, "client", lambda name: shared.get(name) or stage.client(name))
            stage.lambdas_in_process(
                monkeypatch, {"approval_notify": notify, "approval_decide": decide, "approval_request": request}
            )
            approval_parts.forget()
            yield made
            made.stop()
            approval_parts.forget()
    finally:
        issuer.stop()
