"""The credential functions' own handlers, on moto's tables and a real PostgreSQL: the vendor believes nobody."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import yaml

from blastwall.aws.functions import Functions
from blastwall.aws.sessions import SessionTable
from blastwall.aws.vendor import AwsVendor, AwsVerifier
from blastwall.config.bundle import load_bundle
from blastwall.errors import TokenFault, UpstreamFault
from blastwall.local.clock import SystemClock
from blastwall.model import Credential, Permit, Principal, Secret, Session, Target
from blastwall.protocols.postgres.roles import PostgresRoles
from lambdas import credential_parts
from lambdas.credential_vendor.handler import handler as vend
from lambdas.session_reconciler.handler import handler as reconcile
from lambdas.session_revoker.handler import handler as revoke
from lambdas.token_verifier.handler import handler as verify
from rig.issuer import LocalIssuer
from rig.postgres import EmbeddedPostgres
from tests.blastwall.aws import stage

ROOT = Path(__file__).parents[2]
CONTEXT = SimpleNamespace(function_name="f", memory_limit_in_mb=256, invoked_function_arn="arn", aws_request_id="test")
HANDLERS = {
    "token_verifier": verify,
    "credential_vendor": vend,
    "session_revoker": revoke,
    "session_reconciler": reconcile,
}
DATABASE = "functions"


@dataclass
class Cloud:
    issuer: LocalIssuer
    server: EmbeddedPostgres
    table: SessionTable
    target: Target
    calls: list[tuple[str, dict[str, Any]]]

    def call(self, name: str, event: dict[str, Any]) -> dict[str, Any]:
        self.calls.append((name, json.loads(json.dumps(event))))
        answer = HANDLERS[name](json.loads(json.dumps(event)), CONTEXT)
        found: dict[str, Any] = json.loads(json.dumps(answer))
        return found

    def token(self, agent: str = "bot", groups: tuple[str, ...] = ("agents",), **more: Any) -> str:
        return self.issuer.mint(agent, groups, **more)

    def principal(self, token: str) -> Principal:
        from blastwall.credentials.desk import principal_of

        return principal_of(self.call("token_verifier", {"token": token})["principal"])

    def session(self, token: str) -> Session:
        return self.table.open(self.principal(token), self.target)

    def order(self, token: str, session: Session, changes: dict[str, Any] | None = None) -> dict[str, Any]:
        order = {
            "token": token,
            "session": session.id,
            "target": "shop",
            "place": DATABASE,
            "database_user": None,
            "holder": "task-1",
        }
        return self.call("credential_vendor", order | (changes or {}))

    def enters(self, credential: dict[str, Any]) -> bool:
        dsn = self.server.dsn(DATABASE, user=credential["user"], password=credential["secret"])
        try:
            psycopg.connect(dsn, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def logins(self) -> str:
        return self.server.psql("SELECT string_agg(rolname, ' ') FROM pg_roles WHERE rolname LIKE 'bw\\_%'")


@pytest.fixture(scope="module")
def cloud(postgres17: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    home = tmp_path_factory.mktemp("functions")
    shutil.copytree(ROOT / "config", home / "config")
    issuer = LocalIssuer.open(home / "state")
    issuer.serve()
    postgres17.create_database(DATABASE)
    postgres17.psql(
        "CREATE ROLE functions_profile NOLOGIN; CREATE ROLE functions_admin LOGIN CREATEROLE PASSWORD 'admin';"
        "GRANT functions_profile TO functions_admin WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
    )
    file = home / "config" / "gateway.yaml"
    document = yaml.safe_load(file.read_text())
    document["identity"]["issuers"][0] |= {"issuer": issuer.issuer, "audience": issuer.audience, "jwks_url": None}
    shop = document["targets"]["shop"] | {
        "host": "127.0.0.1",
        "port": postgres17.port,
        "tls": {"mode": "disable"},
        "linger_minutes": 0.0,
        "credential": {
            "kind": "role",
            "profile": "functions_profile",
            "admin": {"user": "functions_admin", "password_env": "ADMIN_PASSWORD"},
            "max_minutes": 5.0,
        },
    }
    shop["options"]["databases"] = [DATABASE]
    document["targets"] = {"shop": shop}
    file.write_text(yaml.safe_dump(document))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "POWERTOOLS_TRACE_DISABLED": "1",
            "BLASTWALL_SESSIONS_TABLE": stage.SESSIONS,
            "BLASTWALL_LEASES_TABLE": stage.LEASES,
            "BLASTWALL_CONFIG": str(home / "config"),
            "ADMIN_PASSWORD": "admin",
        }.items():
            patch.setenv(name, value)
        with stage.aws(patch):
            dynamodb = stage.Atomic(stage.client("dynamodb"))
            stage.credential_tables(dynamodb)
            patch.setattr(credential_parts, "client", lambda service: dynamodb)
            credential_parts.forget()
            target = load_bundle(home / "config").targets["shop"]
            yield Cloud(issuer, postgres17, SessionTable(dynamodb, stage.SESSIONS, SystemClock()), target, [])
            credential_parts.forget()
    issuer.stop()
    postgres17.drop_database(DATABASE)
    postgres17.psql("DROP ROLE functions_admin, functions_profile")


def fault(answer: dict[str, Any]) -> tuple[str, str]:
    assert set(answer) == {"fault"}, answer
    return answer["fault"]["kind"], answer["fault"]["message"]


def test_a_live_agent_gets_a_login_that_dies_with_its_session(cloud: Cloud) -> None:
    token = cloud.token()
    session = cloud.session(token)
    credential = cloud.order(token, session)["credential"]
    assert credential["user"] == "bw_" + session.id.replace("-", "_") and credential["kind"] == "role"
    assert cloud.enters(credential)
    assert credential["expires_at"] <= time.time() + 5 * 60 + 1, "policy's maximum is shorter than token and session"
    cloud.table.kill(session.id, "enough", "carol")
    (revoked,) = cloud.call("session_revoker", {"session": session.id, "holder": "anybody"})["revocations"]
    assert revoked["verified"] and revoked["seconds"] < 2
    assert not cloud.enters(credential) and cloud.logins() == ""


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"token": None}, "token", "agent's own token"),
        ({"token": ""}, "token", "agent's own token"),
        ({"token": "x.y.z"}, "token", "token"),
        ({"session": "s-aaaaaaaaaaaa"}, "token", "no such session"),
        ({"session": "s'; DROP"}, "policy", "names no login"),
        ({"target": "elsewhere"}, "token", "another target"),
        ({"place": "x\ny"}, "policy", "printable"),
        ({"holder": ""}, "policy", "holder"),
        ({"database_user": "postgres"}, "upstream", "no credential for that database user"),
    ],
)
def test_a_gateway_gets_nothing_by_what_it_says(cloud: Cloud, change: dict[str, Any], kind: str, said: str) -> None:
    token = cloud.token()
    found, message = fault(cloud.order(token, cloud.session(token), change))
    assert (found, said in message) == (kind, True), message
    assert cloud.logins() == ""


def test_a_gateway_without_a_live_agents_token_gets_nothing(cloud: Cloud) -> None:
    mine, theirs = cloud.token("mallory"), cloud.token("bot")
    session = cloud.session(theirs)
    assert fault(cloud.order(mine, session))[0] == "token", "somebody else's session"
    expired = cloud.token("bot", exp=1_700_000_000, iat=1_699_999_000)
    assert "expired" in fault(cloud.order(expired, session))[1]
    cloud.table.kill(session.id, "enough", "carol")
    assert "has ended" in fault(cloud.order(theirs, session))[1]
    stranger = cloud.token("visitor", ("visitors",))
    kind, message = fault(cloud.order(stranger, cloud.session(stranger)))
    assert kind == "policy", message
    assert cloud.logins() == ""


def test_the_reconciler_ends_what_lost_its_task(cloud: Cloud) -> None:
    token = cloud.token()
    session = cloud.session(token)
    credential = cloud.order(token, session)["credential"]
    assert cloud.call("session_reconciler", {}) == {"verified": 0, "failed": 0}
    assert cloud.enters(credential), "its task may still live"
    cloud.table.renew(session)
    cloud.table._calls.update({"id": {"S": session.id}}, "SET alive_until = :then", {":then": {"N": "1"}})
    assert cloud.call("session_reconciler", {}) == {"verified": 1, "failed": 0}
    assert not cloud.enters(credential) and cloud.logins() == ""
    assert cloud.call("session_reconciler", {}) == {"verified": 0, "failed": 0}


class Client:
    """boto3's Lambda client, as far as it is used."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:
        from io import BytesIO

        return {"Payload": BytesIO(json.dumps(self._cloud.call(FunctionName, json.loads(Payload))).encode())}


async def test_a_task_asks_once_for_each_session_and_tries_what_it_held(cloud: Cloud) -> None:
    functions = Functions(Client(cloud))
    token = cloud.token("task-bot")
    verifier = AwsVerifier(functions, "token_verifier", SystemClock())
    cloud.calls.clear()
    principal = await verifier.verify(Secret(token))
    assert await verifier.verify(Secret(token)) == principal and len(cloud.calls) == 1
    with pytest.raises(TokenFault):
        await verifier.verify(Secret("x.y.z"))
    session = cloud.table.open(principal, cloud.target)
    roles = PostgresRoles()
    vendor = AwsVendor(functions, "credential_vendor", "session_revoker", "task-9", {"postgres": roles}, SystemClock())
    permit = Permit(f"connect to {DATABASE} at shop")
    with pytest.raises(UpstreamFault, match="own token"):
        await vendor.vend(session, cloud.target, permit, None)
    cloud.calls.clear()
    vended = [await vendor.vend(session, cloud.target, permit, None, Secret(token)) for _ in range(3)]
    assert [name for name, _ in cloud.calls] == ["credential_vendor"]
    assert cloud.calls[0][1]["place"] == DATABASE and cloud.calls[0][1]["holder"] == "task-9"
    assert len({credential.user for credential in vended}) == 1
    assert vended[0].secret is not None
    vended[0].secret.wipe()
    again = await vendor.vend(session, cloud.target, permit, None, Secret(token))
    assert again.secret == vended[1].secret and await roles.opens(cloud.target, again)
    cloud.table.kill(session.id, "enough", "carol")
    (ended,) = await vendor.revoke(session)
    assert ended.verified and ended.proof == "the target has no such login; the target refuses it"
    assert not await roles.opens(cloud.target, again)
    with pytest.raises(TokenFault, match="has ended"):
        await vendor.vend(session, cloud.target, permit, None, Secret(token))
    assert list(await vendor.close()) == []


async def test_a_credential_that_still_works_is_an_alarm(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    functions = Functions(Client(cloud))
    token = cloud.token("stubborn")
    session = cloud.table.open(await asyncio.to_thread(cloud.principal, token), cloud.target)

    class Open(PostgresRoles):
        async def opens(self, target: Target, credential: Credential) -> bool:
            return True

    vendor = AwsVendor(functions, "credential_vendor", "session_revoker", "t", {"postgres": Open()}, SystemClock())
    await vendor.vend(session, cloud.target, Permit(f"connect to {DATABASE} at shop"), None, Secret(token))
    (taken,) = await vendor.close()
    ended = taken.revocation
    assert taken.session == session and not ended.verified and ended.proof == "it still opens the target"
    assert replace(ended, verified=True) != ended and cloud.logins() == ""
