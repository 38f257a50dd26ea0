"""RDS and Aurora authentication tokens: passwords that a signature makes and that open connections for 15 minutes.

A token is a presigned request for ``rds-db:connect`` (Amazon RDS User Guide, "IAM database authentication"). It must be
made for the endpoint that the client connects to, is checked when a connection begins and never again, and cannot be
revoked: what ends access is dropping the database user it is for. The policy that allows it names the DbiResourceId and
the user: ``arn:aws:rds-db:REGION:ACCOUNT:dbuser:DBI_RESOURCE_ID/USER``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from blastwall.errors import UpstreamFault
from blastwall.model import Credential, Secret

#: A token opens connections for this long (seconds).
TOKEN_SECONDS: Final = 900.0
_TIMEOUTS: Final = Config(connect_timeout=3, read_timeout=5, retries={"max_attempts": 2, "mode": "standard"})


class Tokens:
    """Makes tokens with the process's own AWS credentials. Signing is local; only the credentials may be fetched."""

    def __init__(self, client: Callable[[str], Any] | None = None, now: Callable[[], float] = time.time) -> None:
        self._make = client or (lambda region: boto3.client("rds", region_name=region, config=_TIMEOUTS))
        self._now = now
        self._clients: dict[str, Any] = {}

    async def credential(self, host: str, port: int, user: str, region: str) -> Credential:
        """A credential of kind ``iam``. Raises UpstreamFault when there are no AWS credentials to sign with."""
        now = self._now()
        try:
            token = await asyncio.to_thread(self._token, host, port, user, region)
        except (BotoCoreError, ClientError) as fault:
            raise UpstreamFault(
                f"no RDS token for {user}: {fault}; give the task's role rds-db:connect on the database's resource id"
            ) from None
        return Credential(user, Secret(token), "iam", now + TOKEN_SECONDS)

    def _token(self, host: str, port: int, user: str, region: str) -> str:
        client = self._clients.get(region)
        if client is None:
            client = self._clients[region] = self._make(region)
        return str(client.generate_db_auth_token(DBHostname=host, Port=port, DBUsername=user, Region=region))
