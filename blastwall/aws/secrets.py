"""Passwords kept in Secrets Manager: read when needed, never kept."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from blastwall.errors import UpstreamFault
from blastwall.model import Credential, Secret

MOST_CHARACTERS: Final = 4096
_TIMEOUTS: Final = Config(connect_timeout=3, read_timeout=5, retries={"max_attempts": 3, "mode": "standard"})


class SecretsManager:
    """Secrets by ARN: a plain password, or the JSON object that RDS keeps (``username``, ``password``, ...)."""

    def __init__(self, client: Any = None) -> None:  # noqa: ANN401  boto3's clients have no type
        self._client = client

    async def credential(self, arn: str, user: str) -> Credential:
        """A credential of kind ``static``. Raises UpstreamFault, which never quotes the secret."""
        try:
            text = await asyncio.to_thread(self._read, arn)
        except (BotoCoreError, ClientError) as fault:
            raise UpstreamFault(f"the secret {arn} cannot be read: {fault}; check its policy and its KMS key") from None
        return Credential(user, Secret(_password(arn, text, user)), "static")

    def _read(self, arn: str) -> str:
        if self._client is None:
            self._client = boto3.client("secretsmanager", region_name=arn.split(":")[3], config=_TIMEOUTS)
        return str(self._client.get_secret_value(SecretId=arn).get("SecretString", ""))


def _password(arn: str, text: str, user: str) -> str:
    password: object = text
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except ValueError:
            raise UpstreamFault(
                f"the secret {arn} is not the JSON that it begins to be; its operator checks it"
            ) from None
        password = found.get("password")
        if found.get("username", user) != user:
            raise UpstreamFault(f"the secret {arn} is another user's; the target's credential must name that user")
    if not isinstance(password, str) or not 0 < len(password) <= MOST_CHARACTERS or not password.isprintable():
        raise UpstreamFault(f"the secret {arn} holds no password of 1 to {MOST_CHARACTERS} printable characters")
    return password
