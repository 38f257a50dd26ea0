"""A key for one connection: what is sent fits botocore's own model, and the halves belong together."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key

from blastwall.aws.instance_connect import push_key
from blastwall.errors import UpstreamFault

INSTANCE = "i-0123456789abcdef0"


@pytest.fixture
def client() -> Any:
    return boto3.client(
        "ec2-instance-connect", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b"
    )


async def test_the_public_half_is_pushed_and_the_private_one_is_a_secret(client: Any) -> None:
    expected = {"InstanceId": INSTANCE, "InstanceOSUser": "ec2-user", "SSHPublicKey": ANY}
    with Stubber(client) as stub:
        stub.add_response("send_ssh_public_key", {"RequestId": "r", "Success": True}, expected)
        pushed = await push_key(client, INSTANCE, "ec2-user", "s-abc bot\n", 1000.0)
    private = load_ssh_private_key(pushed.private.reveal().encode(), None)
    assert private.public_key() == load_ssh_public_key(pushed.public.encode())
    assert pushed.public.startswith("ssh-ed25519 ") and pushed.public.endswith(" s-abc-bot-")
    assert pushed.expires_at == 1060.0 and "PRIVATE" not in repr(pushed)


async def test_every_connection_has_a_key_of_its_own(client: Any) -> None:
    with Stubber(client) as stub:
        for _ in range(2):
            stub.add_response("send_ssh_public_key", {"RequestId": "r", "Success": True})
        one, two = [await push_key(client, INSTANCE, "ubuntu", "s-abc", 0.0) for _ in range(2)]
    assert one.public != two.public


async def test_a_refusal_says_what_the_role_needs(client: Any) -> None:
    with Stubber(client) as stub:
        stub.add_client_error("send_ssh_public_key", "AuthException", "no")
        with pytest.raises(UpstreamFault, match="SendSSHPublicKey on the instance"):
            await push_key(client, INSTANCE, "ubuntu", "s-abc", 0.0)
        stub.add_response("send_ssh_public_key", {"RequestId": "r", "Success": False})
        with pytest.raises(UpstreamFault, match="did not push"):
            await push_key(client, INSTANCE, "ubuntu", "s-abc", 0.0)


@pytest.mark.parametrize(("instance", "user"), [("i-1", "root"), (INSTANCE, ""), (INSTANCE, "a b"), ("*", "ubuntu")])
async def test_only_an_account_of_an_instance_is_asked_for(client: Any, instance: str, user: str) -> None:
    with pytest.raises(ValueError, match="no account"):
        await push_key(client, instance, user, "", 0.0)
