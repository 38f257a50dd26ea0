"""EC2 Instance Connect: a key that opens one account of one instance for 60 seconds.

The key pair is made for one connection; its public half is pushed to the instance's metadata, from where sshd reads it
for a minute (EC2 User Guide, "Connect using EC2 Instance Connect"). Whoever pushes needs
``ec2-instance-connect:SendSSHPublicKey`` on the instance; the condition ``ec2:osuser`` limits the account.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from blastwall.errors import UpstreamFault
from blastwall.model import Secret

KEY_SECONDS: Final = 60.0
_INSTANCE: Final = re.compile(r"i-[0-9a-f]{8,17}")  # AWS takes no machine of Systems Manager (mi-) here
_USER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,31}")


@dataclass(frozen=True, slots=True)
class PushedKey:
    """``private`` is an OpenSSH private key; ``public`` its line for authorized_keys."""

    user: str
    private: Secret
    public: str
    expires_at: float


async def push_key(client: Any, instance: str, user: str, comment: str, now: float) -> PushedKey:  # noqa: ANN401
    """Make a key and push it. ``client`` is a boto3 ``ec2-instance-connect`` client; ``comment`` names the session.

    Raises ValueError for what is no instance or account, UpstreamFault when AWS does not take it.
    """
    if not _INSTANCE.fullmatch(instance) or not _USER.fullmatch(user):
        raise ValueError(f"{user!r} at {instance!r} is no account of an EC2 instance")
    key = Ed25519PrivateKey.generate()
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode("ascii")
    public = f"{line} {re.sub(r'[^a-zA-Z0-9_.@-]', '-', comment)[:64]}"
    try:
        answer = await asyncio.to_thread(
            client.send_ssh_public_key, InstanceId=instance, InstanceOSUser=user, SSHPublicKey=public
        )
    except (BotoCoreError, ClientError) as fault:
        raise UpstreamFault(
            f"no key for {user} at {instance}: {fault}; the gateway's role needs "
            "ec2-instance-connect:SendSSHPublicKey on the instance, with ec2:osuser if that is limited"
        ) from None
    if answer.get("Success") is not True:
        raise UpstreamFault(f"EC2 Instance Connect did not push the key for {user} to {instance}")
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode("ascii")
    return PushedKey(user, Secret(private), public, now + KEY_SECONDS)
