"""RDS tokens: signed for the real endpoint and user, by the region's own signer, good for 15 minutes."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.exceptions import NoCredentialsError

from blastwall.aws.rds import Tokens
from blastwall.errors import UpstreamFault

HOST = "shop.cluster-abc.eu-central-1.rds.amazonaws.com"


def client(region: str) -> Any:
    return boto3.client("rds", region_name=region, aws_access_key_id="AKIAEXAMPLE", aws_secret_access_key="secret")


async def test_a_token_is_for_one_user_at_one_endpoint() -> None:
    credential = await Tokens(client, lambda: 1000.0).credential(HOST, 5432, "bw_s_abc", "eu-central-1")
    assert credential.secret is not None
    token = credential.secret.reveal()
    assert token.startswith(f"{HOST}:5432/?")
    query = parse_qs(urlsplit("https://" + token).query)
    assert query["Action"] == ["connect"] and query["DBUser"] == ["bw_s_abc"]
    assert query["X-Amz-Expires"] == ["900"]
    assert "/eu-central-1/rds-db/aws4_request" in query["X-Amz-Credential"][0]
    assert (credential.user, credential.kind, credential.expires_at) == ("bw_s_abc", "iam", 1900.0)


async def test_without_credentials_it_says_what_the_role_needs() -> None:
    class Bare:
        def generate_db_auth_token(self, **_: object) -> str:
            raise NoCredentialsError

    with pytest.raises(UpstreamFault, match="rds-db:connect"):
        await Tokens(lambda region: Bare()).credential(HOST, 5432, "u", "eu-central-1")
