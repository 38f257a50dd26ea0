"""``blastwall aws``: an agent with a token and no AWS credentials gets a session's, as SDKs want them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer

from blastwall.config.bundle import load_bundle
from blastwall.config.vending import profiles_of
from blastwall.credentials.assuming import RoleEndings
from blastwall.errors import ClientFault, TokenFault, UpstreamFault
from blastwall.local.audit import AuditTrail
from blastwall.local.clock import SystemClock
from blastwall.local.leases import LocalLeases
from blastwall.local.recordings import Shelf
from blastwall.local.sessions import LocalSessions
from blastwall.local.store import Store
from blastwall.recording.play import json_lines, records_to_the_end
from blastwall.recording.reader import Reader, read_header
from cli import aws
from cli.recordings import decoder
from rig import running
from rig.desk import LocalDesk
from rig.issuer import LocalIssuer
from rig.running import Running

ROOT = Path(__file__).parents[2]
OPERATOR = {"AWS_ACCESS_KEY_ID": "AKIAOPERATOR", "AWS_SECRET_ACCESS_KEY": "operator", "AWS_DEFAULT_REGION": "eu-west-1"}


class Home:
    """What ``blastwall up`` serves over HTTP, with STS behind it; AWS credentials are in this process only."""

    def __init__(self, directory: Path, endpoint: str) -> None:
        self.tokens = 0
        self.state, self.config, self.endpoint = directory / "state", directory / "config", endpoint
        shutil.copytree(ROOT / "config", self.config)
        self.issuer = LocalIssuer.open(self.state)
        self.issuer.serve()
        file = self.config / "gateway.yaml"
        document = yaml.safe_load(file.read_text())
        document["identity"]["issuers"][0] |= {
            "issuer": self.issuer.issuer,
            "audience": self.issuer.audience,
            "jwks_url": None,
        }
        document["aws_roles"] = {
            "reports": {
                "role_arn": "arn:aws:iam::123456789012:role/reports",
                "region": "eu-central-1",
                "labels": {"group": "agents"},
                "allow": [{"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::reports/*"]}],
                "denials_policy_arn": "arn:aws:iam::123456789012:policy/ended",
            }
        }
        file.write_text(yaml.safe_dump(document))
        overrides = self.state / "overrides.json"
        overrides.write_text(json.dumps({"approvals": {"page": {"listen": "127.0.0.1:0"}}}))
        section = load_bundle(self.config, json.loads(overrides.read_text())).config.approvals
        self.desk = LocalDesk(self.config, self.state, overrides, self.issuer, section)
        self.desk.start()
        running.write(self.state, Running(os.getpid(), str(self.config), {}, "", {}, self.desk.origin))

    def stop(self) -> None:
        self.desk.stop()
        self.issuer.stop()

    def way(self, *groups: str, **more: Any) -> aws.Way:
        self.tokens += 1
        file = self.state / f"token-{self.tokens}"
        file.write_text(self.issuer.mint("bot", groups or ("agents",), on_behalf_of="ada@example.test"))
        return aws.Way(None, self.state, file, **more)

    def recordings(self) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
        found = []
        for entry in Shelf(self.state).entries():
            with entry.open() as file:
                header = read_header(file)
            with entry.open() as file:
                shown = decoder("aws")(records_to_the_end(Reader(file)), rows=1)
                told = [json.loads(line) for line in json_lines(shown)]
            found.append((dict(header.raw), told))
        return found

    def agent(self) -> dict[str, str]:
        """An agent's environment: a token, and no AWS credentials."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        found = kept | {"BLASTWALL_TOKEN": self.way().token().reveal(), "PYTHONPATH": str(ROOT)}
        return found | {"AWS_ENDPOINT_URL": self.endpoint, "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str) -> Iterator[Home]:
    for name, value in (OPERATOR | {"AWS_ENDPOINT_URL": server}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    monkeypatch.delenv("BLASTWALL_TOKEN", raising=False)
    made = Home(tmp_path, server)
    yield made
    made.stop()


def test_what_is_printed_is_what_sdks_take_and_lasts_longer_than_their_patience(home: Home) -> None:
    answer = aws.obtain("reports", home.way())
    assert set(answer) == {"keys", "region"} and answer["region"] == "eu-central-1"
    keys = answer["keys"]
    assert set(keys) == {"Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}
    assert keys["Version"] == 1 and aws.left(answer) > 16 * 60


def test_a_stock_sdk_without_aws_credentials_gets_them_by_its_token_alone(home: Home, tmp_path: Path) -> None:
    config = tmp_path / "aws-config"
    process = f"{sys.executable} -m cli aws creds reports --state {home.state}"
    config.write_text(f"[default]\nregion = eu-central-1\ncredential_process = {process}\n")
    script = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    environment = home.agent() | {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.startswith("arn:aws:sts::123456789012:assumed-role/reports/s-"), done.stderr
    assert done.stdout.strip().endswith("-bot")


def test_a_command_runs_with_the_sessions_keys_in_its_region(home: Home) -> None:
    script = (
        "import boto3, os; c = boto3.client('sts'); print(c.get_caller_identity()['Arn'], c.meta.region_name,"
        " 'BLASTWALL_TOKEN' in os.environ)"
    )
    words = [sys.executable, "-m", "cli", "aws", "run", "reports", "--state", str(home.state), "--"]
    # `run` takes every AWS_ variable away, the endpoint's too, so the SDK is told of it by the script.
    told = script.replace("client('sts')", f"client('sts', endpoint_url={home.endpoint!r})")
    done = subprocess.run(
        [*words, sys.executable, "-c", told], env=home.agent(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    arn, region, token = done.stdout.split()
    assert arn.startswith("arn:aws:sts::123456789012:assumed-role/reports/s-")
    assert (region, token) == ("eu-central-1", "False")


def test_a_command_that_is_not_there_is_told_as_such(home: Home) -> None:
    words = [sys.executable, "-m", "cli", "aws", "run", "reports", "--state", str(home.state), "--", "no-such-program"]
    done = subprocess.run(words, env=home.agent(), capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (4, "blastwall: cannot run no-such-program: No such file or directory\n")


def test_a_refusal_is_told_before_the_command_runs(home: Home, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "cli", "aws", "run", "payroll", "--state", str(home.state), "--"]
    ran = tmp_path / "ran"
    done = subprocess.run(
        [*words, "touch", str(ran)], env=home.agent(), capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, ran.exists()) == (4, False) and "no AWS role 'payroll'" in done.stderr


def test_policy_decides_and_a_token_is_needed(home: Home) -> None:
    with pytest.raises(ClientFault, match="permits"):
        aws.obtain("reports", home.way("visitors"))
    with pytest.raises(ClientFault, match="no AWS role"):
        aws.obtain("payroll", home.way())
    (home.state / "token").write_text("x.y.z")
    with pytest.raises(TokenFault):
        aws.obtain("reports", aws.Way(None, home.state, home.state / "token"))
    with pytest.raises(ClientFault, match="BLASTWALL_TOKEN"):
        aws.Way(None, home.state, None).token()
    with pytest.raises(ClientFault, match="token file"):
        aws.Way(None, home.state, home.state / "none").token()
    with pytest.raises(ClientFault, match="--url"):
        aws.Way(None, home.state / "elsewhere", None).address()
    with pytest.raises(UpstreamFault, match="https"):
        aws.obtain("reports", aws.Way("http://gateway.example", home.state, home.state / "token"))
    assert aws.Way("https://a.example/", home.state, None).address() == "https://a.example/credentials/aws"


async def test_it_is_a_session_like_any_other_recorded_leased_and_ended(home: Home) -> None:
    mine = home.way()
    answer = aws.obtain("reports", mine)
    with pytest.raises(ClientFault):
        aws.obtain("reports", home.way("visitors"))
    (given, told), (_, refused) = sorted(home.recordings(), key=lambda pair: len(pair[1]), reverse=True)
    assert given["principal"]["agent"] == "bot" and given["principal"]["on_behalf_of"] == "ada@example.test"
    assert given["target"]["name"] == "reports" and given["protocol"] == "aws" and given["policy_version"]
    (event,) = [line for line in told if line.get("name") == "credential"]
    assert event["fields"]["access_key"] == answer["keys"]["AccessKeyId"]
    assert event["fields"]["source_identity"] == given["session"]
    text = json.dumps(home.recordings())
    for secret in ("SecretAccessKey", "SessionToken"):
        assert answer["keys"][secret] not in text
    assert [line["verdict"] for line in told + refused if line["type"] == "asked"] == ["permit", "denied"]
    trail = AuditTrail(home.state)
    trail.catch_up()
    audited = [event for event in trail.events() if event["dst_endpoint"]["name"] == "reports"]
    assert all(event["actor"]["user"]["name"] == "bot" for event in audited)
    assert sorted(event["status_id"] for event in audited if "verdict" in event["unmapped"]["blastwall"]) == [1, 2]
    store, clock = Store(home.state / "blastwall.db"), SystemClock()
    sessions, leases = LocalSessions(store, clock), LocalLeases(store)
    (row,) = [row for row in await sessions.ls() if row.session.id == given["session"]]
    (lease,) = await leases.of(row.session.id)
    assert (lease.kind, lease.target) == ("sts", "reports") and lease.expires_at >= time.time() + 29 * 60
    assert await sessions.kill(row.session.id, "enough", "carol")
    asked: list[str] = []

    def deny(policy: str, identity: str, until: float, now: float) -> str:
        asked.append(identity)
        return "v2"

    endings = RoleEndings(profiles_of(load_bundle(home.config)), leases, sessions, deny, clock)
    (ended,) = await endings.reclaim("")
    assert ended.revocation.verified and asked == [row.session.id]
    store.close()
    with pytest.raises(TokenFault, match="enough"):
        aws.obtain("reports", mine)


def test_kept_keys_are_printed_again_until_they_are_too_old_and_for_their_token_only(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    way = home.way(keep=True)
    first = aws.kept("reports", way)
    assert aws.kept("reports", way) == first
    (file,) = (tmp_path / "cache" / "blastwall" / "aws").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600 and file.parent.stat().st_mode & 0o777 == 0o700
    old = dict(first) | {"keys": dict(first["keys"]) | {"Expiration": "2020-01-01T00:00:00Z"}}
    file.write_text(json.dumps(old))
    second = aws.kept("reports", way)
    assert second["keys"]["AccessKeyId"] != first["keys"]["AccessKeyId"]
    other = aws.kept("reports", home.way("agents", "more", keep=True))
    assert other["keys"]["AccessKeyId"] != second["keys"]["AccessKeyId"], "another token's are another session's"


def test_keys_in_memory_are_asked_for_anew_before_an_sdk_loses_patience() -> None:
    ages = iter([1800.0, 1800.0])
    asked: list[int] = []

    def obtain() -> dict[str, Any]:
        asked.append(1)
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + next(ages)))
        return {"keys": {"Expiration": ends}}

    pocket = aws.Pocket(obtain)
    assert pocket.get() == pocket.get() and asked == [1]
    pocket._answer = {"keys": {"Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 900))}}
    pocket.get()
    assert asked == [1, 1]


def test_a_command_gets_the_sessions_credentials_and_nothing_that_was_there(tmp_path: Path) -> None:
    outside = {
        "PATH": os.environ["PATH"],
        "AWS_ACCESS_KEY_ID": "AKIAOPERATOR",
        "AWS_PROFILE": "operator",
        "AWS_SESSION_TOKEN": "t",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/",
        "BLASTWALL_TOKEN": "token",
    }
    given = aws.environment(outside, tmp_path, "eu-central-1")
    kept = {name for name in given if name.startswith("AWS_")}
    assert kept == {"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_EC2_METADATA_DISABLED"}
    assert "BLASTWALL_TOKEN" not in given
    assert (tmp_path / "config").stat().st_mode & 0o777 == 0o600


def test_a_refusal_reaches_the_program_that_asked(tmp_path: Path) -> None:
    def refuse() -> str:
        raise ClientFault("policy says no")

    with aws.Desk(tmp_path / "desk", refuse), pytest.raises(ClientFault, match="policy says no"):
        aws._ask(tmp_path / "desk")


def test_sts_is_asked_for_exactly_what_the_session_may_have(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the request itself: an emulator may ignore half of it."""
    sent: list[dict[str, Any]] = []
    made = boto3.client

    def spied(service: str, **more: Any) -> Any:
        client = made(service, **more)
        client.meta.events.register("provide-client-params.sts.AssumeRole", lambda params, **_: sent.append(params))
        return client

    monkeypatch.setattr("blastwall.aws.clients.boto3.client", spied)
    aws.obtain("reports", home.way())
    (request,) = sent
    session = request["SourceIdentity"]
    assert request["RoleArn"] == "arn:aws:iam::123456789012:role/reports"
    assert request["RoleSessionName"] == f"{session}-bot" and request["DurationSeconds"] >= 1800
    assert {tag["Key"]: tag["Value"] for tag in request["Tags"]} == {
        "blastwall:session": session,
        "blastwall:agent": "bot",
        "blastwall:target": "reports",
        "blastwall:person": "ada@example.test",
    }
    statements = json.loads(request["Policy"])["Statement"]
    assert [statement["Effect"] for statement in statements] == ["Allow", "Deny"]
    assert statements[0]["Action"] == ["s3:GetObject"] and statements[1]["Action"] == "*"
    assert "aws:CurrentTime" in statements[1]["Condition"]["DateGreaterThan"]


@pytest.mark.parametrize("region", ["", "eu-west-1\ncredential_process = touch /tmp/x", "EU"])
def test_a_region_that_is_none_is_written_nowhere(region: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer = {"keys": {"Expiration": "2999-01-01T00:00:00Z"}, "region": region}
    monkeypatch.setattr(aws, "obtain", lambda role, way: answer)
    run = aws.run.callback
    assert run is not None
    with pytest.raises(UpstreamFault, match="names no region"):
        run(role="reports", words=("true",), url=None, state=tmp_path, token_file=None)
