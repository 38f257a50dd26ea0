"""``blastwall aws``: credentials as an SDK's credential_process wants them, and a command that has no others."""

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

from blastwall.errors import ClientFault, TokenFault
from blastwall.local.store import Store
from blastwall.model import Secret
from cli import aws
from rig.issuer import LocalIssuer
from tests.blastwall.aws import stage

ROOT = Path(__file__).parents[2]


class Home:
    def __init__(self, directory: Path) -> None:
        self.state, self.config = directory / "state", directory / "config"
        shutil.copytree(ROOT / "config", self.config)
        self.issuer = LocalIssuer.open(self.state)
        self.issuer.serve()
        Store(self.state / "blastwall.db").close()
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
            }
        }
        file.write_text(yaml.safe_dump(document))

    def token(self, *groups: str) -> Secret:
        return Secret(self.issuer.mint("bot", groups or ("agents",)))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    made = Home(tmp_path)
    with stage.aws(monkeypatch):
        yield made
    made.issuer.stop()


def test_what_is_printed_is_what_sdks_take_and_lasts_longer_than_their_patience(home: Home) -> None:
    sts = boto3.client("sts", region_name="eu-central-1")
    sent: list[dict[str, Any]] = []
    sts.meta.events.register("provide-client-params.sts.AssumeRole", lambda params, **_: sent.append(params))
    document = json.loads(aws.obtain("reports", home.token(), home.state, home.config, sts))
    assert set(document) == {"Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}
    assert document["Version"] == 1
    ahead = time.mktime(time.strptime(document["Expiration"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone - time.time()
    assert ahead > 16 * 60
    assert sent[0]["SourceIdentity"].startswith("s-") and sent[0]["DurationSeconds"] >= 1800


def test_policy_decides_and_a_token_is_needed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ClientFault):
        aws.obtain("reports", home.token("visitors"), home.state, home.config)
    with pytest.raises(ClientFault, match="no AWS role"):
        aws.obtain("payroll", home.token(), home.state, home.config)
    with pytest.raises(TokenFault):
        aws.obtain("reports", Secret("x.y.z"), home.state, home.config)
    monkeypatch.delenv("BLASTWALL_TOKEN", raising=False)
    with pytest.raises(ClientFault, match="BLASTWALL_TOKEN"):
        aws._token()


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
    answer = {
        "Version": 1,
        "AccessKeyId": "ASIASESSION",
        "SecretAccessKey": "s",
        "SessionToken": "t",
        "Expiration": "2999-01-01T00:00:00Z",
    }
    script = "import botocore.session as s; c = s.Session().get_credentials(); print(c.access_key, c.method)"
    with aws.Desk(tmp_path / "desk", lambda: json.dumps(answer)):
        done = subprocess.run(
            [sys.executable, "-c", script], env=given, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.stdout.split() == ["ASIASESSION", "custom-process"], done.stderr


def test_a_refusal_reaches_the_program_that_asked(tmp_path: Path) -> None:
    def refuse() -> str:
        raise ClientFault("policy says no")

    with aws.Desk(tmp_path / "desk", refuse), pytest.raises(ClientFault, match="policy says no"):
        aws._ask(tmp_path / "desk")
