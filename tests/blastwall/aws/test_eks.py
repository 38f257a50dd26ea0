"""EKS tokens: the form that the authenticator takes, signed over the cluster's name, with nothing sent."""

from __future__ import annotations

import base64
from urllib.parse import parse_qs, urlsplit

import boto3
import botocore.session
import pytest

from blastwall.aws.eks import bearer_token
from blastwall.errors import UpstreamFault


def opened(secret: str) -> tuple[str, dict[str, list[str]]]:
    assert secret.startswith("k8s-aws-v1.") and "=" not in secret
    body = secret.removeprefix("k8s-aws-v1.")
    url = urlsplit(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode())
    return f"{url.scheme}://{url.netloc}{url.path}", parse_qs(url.query)


def session(**more: str) -> boto3.Session:
    return boto3.Session(aws_access_key_id="AKIAEXAMPLE", aws_secret_access_key="secret", **more)


def test_the_token_is_a_signed_question_who_the_caller_is() -> None:
    credential = bearer_token(session(aws_session_token="t"), "prod-1", "eu-central-1", 1000.0)
    assert credential.secret is not None
    address, query = opened(credential.secret.reveal())
    assert address == "https://sts.eu-central-1.amazonaws.com/"
    assert query["Action"] == ["GetCallerIdentity"] and query["Version"] == ["2011-06-15"]
    assert query["X-Amz-SignedHeaders"] == ["host;x-k8s-aws-id"], "the cluster's name is signed, so no other takes it"
    assert query["X-Amz-Expires"] == ["60"] and query["X-Amz-Security-Token"] == ["t"]
    assert query["X-Amz-Credential"][0].startswith("AKIAEXAMPLE/")
    assert (credential.kind, credential.expires_at) == ("iam", 1840.0)
    assert "secret" not in credential.secret.reveal() and "k8s-aws-v1" not in repr(credential)


@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1", "eu-central-1"])
def test_it_is_asked_where_the_region_has_sts(region: str) -> None:
    secret = bearer_token(session(), "prod-1", region, 0.0).secret
    assert secret is not None
    known = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x").client("sts", region_name=region)
    assert opened(secret.reveal())[0] == f"{known.meta.endpoint_url}/"


def test_tokens_of_two_clusters_differ_in_their_signature() -> None:
    signatures = set()
    for cluster in ("one", "two"):
        secret = bearer_token(session(), cluster, "eu-central-1", 0.0).secret
        assert secret is not None
        signatures.add(opened(secret.reveal())[1]["X-Amz-Signature"][0])
    assert len(signatures) == 2


def test_the_operation_is_sts_own() -> None:
    model = botocore.session.Session().get_service_model("sts")
    assert "GetCallerIdentity" in model.operation_names and model.api_version == "2011-06-15"


@pytest.mark.parametrize("cluster", ["", "a b", "x" * 101, "prod/1", "-prod"])
def test_only_a_clusters_name_is_signed_for(cluster: str) -> None:
    with pytest.raises(ValueError, match="no name of an EKS cluster"):
        bearer_token(session(), cluster, "eu-central-1", 0.0)


def test_without_credentials_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = session()
    monkeypatch.setattr(bare, "get_credentials", lambda: None)
    with pytest.raises(UpstreamFault, match="no AWS credentials"):
        bearer_token(bare, "prod", "eu-central-1", 0.0)
