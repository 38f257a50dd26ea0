"""Passwords of Secrets Manager: plain or as RDS keeps them, the right user's, and never in a message."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from blastwall.aws.secrets import SecretsManager
from blastwall.errors import UpstreamFault
from tests.blastwall.aws import stage


@pytest.fixture
def keep(monkeypatch: pytest.MonkeyPatch) -> Any:
    with stage.aws(monkeypatch):
        client = boto3.client("secretsmanager", region_name="eu-central-1")
        yield lambda text: client.create_secret(Name="s", SecretString=text)["ARN"]


@pytest.mark.parametrize("text", ["pa55word", json.dumps({"username": "app", "password": "pa55word", "port": 5432})])
async def test_a_password_plain_or_as_rds_keeps_it(keep: Any, text: str) -> None:
    credential = await SecretsManager().credential(keep(text), "app")
    assert credential.secret is not None
    assert (credential.user, credential.secret.reveal(), credential.kind) == ("app", "pa55word", "static")


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"username": "other", "password": "pa55word"}),
        json.dumps({"username": "app"}),
        json.dumps({"password": ["pa55word"]}),
        "{pa55word",
        "pa55word\n",
        "pa55word" * 600,
    ],
)
async def test_what_is_no_password_of_that_user_is_refused_without_showing_it(keep: Any, text: str) -> None:
    with pytest.raises(UpstreamFault) as refused:
        await SecretsManager().credential(keep(text), "app")
    assert "pa55word" not in str(refused.value)


async def test_a_secret_that_is_not_there(keep: Any) -> None:
    arn = keep("x").replace("secret:s", "secret:t")
    with pytest.raises(UpstreamFault, match="cannot be read"):
        await SecretsManager().credential(arn, "app")
