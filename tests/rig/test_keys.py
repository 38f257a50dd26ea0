"""The local way to AWS roles asks STS in each role's own region, and nothing but roles is given through it."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from blastwall.approvals.web import Request, Response
from blastwall.config.bundle import load_bundle
from blastwall.credentials.door import PATH
from blastwall.local.store import Store
from rig.issuer import LocalIssuer
from rig.keys import LocalKeys
from tests.blastwall.aws import stage

ROOT = Path(__file__).parents[2]
ROLE = {
    "role_arn": "arn:aws:iam::123456789012:role/reports",
    "labels": {"group": "agents"},
    "allow": [{"actions": ["s3:GetObject"], "resources": ["*"]}],
}


class Home:
    def __init__(self, directory: Path) -> None:
        self.state, config = directory / "state", directory / "config"
        shutil.copytree(ROOT / "config", config)
        self.issuer = LocalIssuer.open(self.state)
        self.issuer.serve()
        document = yaml.safe_load((config / "gateway.yaml").read_text())
        document["identity"]["issuers"][0] |= {
            "issuer": self.issuer.issuer,
            "audience": self.issuer.audience,
            "jwks_url": None,
        }
        document["aws_roles"] = {
            "here": ROLE | {"region": "eu-central-1"},
            "there": ROLE | {"region": "us-west-2"},
        }
        (config / "gateway.yaml").write_text(yaml.safe_dump(document))
        self.bundle = load_bundle(config)
        self.store = Store(self.state / "blastwall.db")
        self.keys = LocalKeys(lambda: self.bundle, self.state, self.store)

    async def ask(self, role: str, groups: tuple[str, ...] = ("agents",)) -> Response:
        token = self.issuer.mint("bot", groups)
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        return await self.keys.handle(Request("POST", PATH, {}, headers, {}, json.dumps({"role": role}).encode()))


@pytest.fixture
async def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Home]:
    with stage.aws(monkeypatch):
        made = Home(tmp_path)
        yield made
        made.keys.close()
        made.store.close()
        made.issuer.stop()


async def test_each_role_is_assumed_in_its_region_by_one_client(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    regions: list[str] = []
    made = boto3.client

    def spied(service: str, **more: Any) -> Any:
        regions.append(f"{service} {more['region_name']}")
        return made(service, **more)

    monkeypatch.setattr("blastwall.aws.clients.boto3.client", spied)
    for role, region in (("here", "eu-central-1"), ("there", "us-west-2"), ("here", "eu-central-1")):
        response = await home.ask(role)
        assert (response.status, json.loads(response.body)["region"]) == (200, region)
    assert regions == ["sts eu-central-1", "sts us-west-2"]


async def test_policy_is_the_configurations_at_the_moment(home: Home) -> None:
    assert (await home.ask("here", ("visitors",))).status == 403
    assert (await home.ask("payroll")).status == 403
