"""The credential_vendor function over HTTP: whoever calls has a token at most, and gets AWS roles at most."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from blastwall.aws.leases import AwsLeases
from blastwall.aws.sessions import SessionTable
from blastwall.credentials.denials import write_denials
from blastwall.credentials.door import PATH
from blastwall.credentials.lease import Lease
from blastwall.local.clock import SystemClock
from blastwall.local.recordings import Shelf
from blastwall.recording.reader import Reader
from blastwall.recording.records import Event, Intent
from lambdas import credential_parts
from lambdas.credential_vendor.handler import handler
from lambdas.session_revoker.handler import handler as revoke
from rig.issuer import LocalIssuer
from tests.blastwall.aws import stage

ROOT = Path(__file__).parents[2]
CONTEXT = SimpleNamespace(function_name="f", memory_limit_in_mb=256, invoked_function_arn="arn", aws_request_id="test")
BUCKET = "recordings-of-the-door"


@dataclass
class Cloud:
    issuer: LocalIssuer
    sts: list[dict[str, Any]]
    table: SessionTable
    leases: AwsLeases
    spool: Path
    policy: str
    iam: Any

    def ask(self, token: str, body: str = '{"role": "reports"}', **changes: Any) -> tuple[int, dict[str, Any]]:
        event = {
            "version": "2.0",
            "rawPath": PATH,
            "rawQueryString": "",
            "headers": {"authorization": f"Bearer {token}", "content-type": "application/json"},
            "requestContext": {"http": {"method": "POST", "path": PATH}},
            "body": base64.b64encode(body.encode()).decode(),
            "isBase64Encoded": True,
        }
        answer = handler(event | changes, CONTEXT)
        body = base64.b64decode(answer["body"]).decode()
        return answer["statusCode"], json.loads(body) if body.startswith("{") else {"text": body}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    home = tmp_path_factory.mktemp("door")
    shutil.copytree(ROOT / "config", home / "config")
    issuer = LocalIssuer.open(home / "state")
    issuer.serve()
    with pytest.MonkeyPatch.context() as patch, stage.aws(patch):
        dynamodb = stage.Atomic(stage.client("dynamodb"))
        stage.credential_tables(dynamodb)
        s3, kms, iam, sts = (stage.client(name) for name in ("s3", "kms", "iam", "sts"))
        where = {"LocationConstraint": stage.REGION}
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where, ObjectLockEnabledForBucket=True)
        key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        policy = iam.create_policy(PolicyName="ended", PolicyDocument=write_denials({}))["Policy"]["Arn"]
        sent: list[dict[str, Any]] = []
        sts.meta.events.register("provide-client-params.sts.AssumeRole", lambda params, **_: sent.append(params))
        file = home / "config" / "gateway.yaml"
        document = yaml.safe_load(file.read_text())
        document["identity"]["issuers"][0] |= {
            "issuer": issuer.issuer,
            "audience": issuer.audience,
            "jwks_url": None,
        }
        document["aws_roles"] = {
            "reports": {
                "role_arn": "arn:aws:iam::123456789012:role/reports",
                "region": "eu-central-1",
                "labels": {"group": "agents"},
                "allow": [{"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::reports/*"]}],
                "denials_policy_arn": policy,
            }
        }
        file.write_text(yaml.safe_dump(document))
        for name, value in {
            "POWERTOOLS_TRACE_DISABLED": "1",
            "BLASTWALL_SESSIONS_TABLE": stage.SESSIONS,
            "BLASTWALL_LEASES_TABLE": stage.LEASES,
            "BLASTWALL_CONFIG": str(home / "config"),
            "BLASTWALL_RECORDINGS_BUCKET": BUCKET,
            "BLASTWALL_MANIFEST_KEY_ID": key,
            "BLASTWALL_SPOOL": str(home / "spool"),
        }.items():
            patch.setenv(name, value)
        patch.setattr(credential_parts, "client", {"dynamodb": dynamodb, "sts": sts}.__getitem__)
        credential_parts.forget()
        table = SessionTable(dynamodb, stage.SESSIONS, SystemClock())
        leases = AwsLeases(dynamodb, stage.LEASES, stage.SESSIONS)
        yield Cloud(issuer, sent, table, leases, home / "spool", policy, iam)
        credential_parts.forget()
    issuer.stop()


def test_a_token_alone_opens_a_role_and_the_whole_of_it_is_on_record(cloud: Cloud) -> None:
    cloud.sts.clear()
    token = cloud.issuer.mint("bot", ("agents",), on_behalf_of="ada@example.test")
    status, answer = cloud.ask(token)
    assert (status, set(answer), answer["region"]) == (200, {"keys", "region"}, "eu-central-1")
    (request,) = cloud.sts
    session = request["SourceIdentity"]
    assert {tag["Key"] for tag in request["Tags"]} == {
        "blastwall:session", "blastwall:agent", "blastwall:target", "blastwall:person",
    }  # fmt: skip
    standing = cloud.table.show(session)
    assert standing is not None and standing.ended_at is None and standing.session.target == "reports"
    (lease,) = asyncio.run(_of(cloud, session))
    assert lease.kind == "sts"
    s3 = stage.client("s3")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert [key for key in keys if key.endswith(".bwr")] and [key for key in keys if "manifest" in key]
    (entry,) = Shelf(cloud.spool).retired()  # the tasks' audit trail reads it there
    with entry.open() as file:
        records = list(Reader(file).records())
    (intent,) = [record for record in records if isinstance(record, Intent)]
    (event,) = [record for record in records if isinstance(record, Event)]
    assert (intent.kind, intent.decision["verdict"], event.name) == ("connect", "permit", "credential")
    assert event.fields["access_key"] == answer["keys"]["AccessKeyId"]
    raw = entry.path.read_bytes()
    assert answer["keys"]["SecretAccessKey"].encode() not in raw and token.encode() not in raw

    cloud.table.kill(session, "enough", "carol")
    (ended,) = revoke({"session": session, "holder": "operator"}, CONTEXT)["revocations"]
    assert ended["verified"]
    version = cloud.iam.get_policy(PolicyArn=cloud.policy)["Policy"]["DefaultVersionId"]
    denied = cloud.iam.get_policy_version(PolicyArn=cloud.policy, VersionId=version)["PolicyVersion"]["Document"]
    assert session in json.dumps(denied)
    (last,) = [found for found in Shelf(cloud.spool).retired() if found.id != entry.id]
    with last.open() as file:
        (event,) = [record for record in Reader(file).records() if isinstance(record, Event)]
    assert event.name == "revocation_verified" and event.fields["reason"] == "killed by carol: enough"
    status, answer = cloud.ask(token)
    assert (status, answer["fault"]["kind"]) == (401, "token"), "the session was killed: its token opens no other"


async def _of(cloud: Cloud, session: str) -> Sequence[Lease]:
    return await cloud.leases.of(session)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rawPath": "/"}, 404),
        ({"requestContext": {"http": {"method": "GET", "path": PATH}}}, 405),
        ({"headers": {"content-type": "application/json"}}, 401),
        ({"body": "%%%"}, 400),
        ({"requestContext": {}}, 400),
    ],
)
def test_what_is_no_request_for_a_role_is_answered_and_does_nothing(
    cloud: Cloud, changes: dict[str, Any], expected: int
) -> None:
    cloud.sts.clear()
    assert cloud.ask(cloud.issuer.mint("bot", ("agents",)), **changes)[0] == expected
    assert cloud.sts == []


def test_strangers_and_policy_are_told_why(cloud: Cloud) -> None:
    cloud.sts.clear()
    status, answer = cloud.ask("x.y.z")
    assert (status, answer["fault"]["kind"]) == (401, "token")
    status, answer = cloud.ask(cloud.issuer.mint("bot", ("visitors",)))
    assert (status, answer["fault"]["kind"]) == (403, "policy")
    status, answer = cloud.ask(cloud.issuer.mint("bot", ("agents",)), '{"role": "payroll"}')
    assert status == 403 and "no AWS role" in answer["fault"]["message"]
    assert cloud.sts == []


def test_a_session_of_a_target_cannot_be_asked_for_over_http(cloud: Cloud) -> None:
    """A database's login is for gateways in the network; what is said here beyond a role's name is not heard."""
    body = {"role": "reports", "session": "s-1", "target": "shop", "place": "shop", "holder": "me"}
    status, answer = cloud.ask(cloud.issuer.mint("web", ("agents",)), json.dumps(body))
    assert status == 200 and set(answer) == {"keys", "region"}


def test_nothing_is_given_where_nothing_can_be_recorded(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.sts.clear()
    monkeypatch.delenv("BLASTWALL_RECORDINGS_BUCKET")
    status, answer = cloud.ask(cloud.issuer.mint("unrecorded", ("agents",)))
    assert (status, answer["fault"]["kind"], cloud.sts) == (500, "ours", [])
