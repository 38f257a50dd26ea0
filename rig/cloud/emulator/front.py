"""In front of the emulator: what a test or a task asks of the machine itself, not of AWS.

``GET /_rig/unread`` lists the template's properties that nothing read. ``GET /_rig/credentials/ROLE`` answers as the
container credentials endpoint of ECS does, with keys of a role that tasks or functions may take; the caller shows the
token of ``RIG_TOKEN``, as a task shows its own.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from ministack import app as emulator
from ministack.core import lambda_runtime
from ministack.services import iam, sts

from rig.cloud.emulator import gaps, reading, resources

PREFIX = "/_rig/"
CREDENTIAL_SECONDS = 3600.0
RUNNERS = ("ecs-tasks.amazonaws.com", "lambda.amazonaws.com")

Scope = dict[str, Any]
Call = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Front:
    """The ASGI application. ``started`` is set when the emulator's own start-up is complete."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self._token = os.environ["RIG_TOKEN"]

    async def __call__(self, scope: Scope, receive: Call, send: Send) -> None:
        if scope["type"] == "lifespan":
            await emulator.app(scope, receive, self._noticing(send))
        elif scope["type"] == "http" and scope["path"].startswith(PREFIX):
            await self._answer(scope, send)
        else:
            await emulator.app(scope, receive, send)

    def _noticing(self, send: Send) -> Send:
        async def notice(message: dict[str, Any]) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                self.started.set()

        return notice

    async def _answer(self, scope: Scope, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value for name, value in scope["headers"]}
        path = unquote(scope["path"]).removeprefix(PREFIX)
        answer: Mapping[str, Any]
        if not hmac.compare_digest(headers.get("authorization", b""), self._token.encode()):
            status, answer = 403, {"message": "show the rig's token"}
        elif path == "unread":
            status, answer = 200, reading.unread()
        elif path.startswith("credentials/"):
            status, answer = credentials(path.removeprefix("credentials/"))
        else:
            status, answer = 404, {"message": "there is no such thing"}
        body = json.dumps(answer).encode()
        kind = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": kind})
        await send({"type": "http.response.body", "body": body})


def compose() -> Front:
    """The emulator with what it lacks."""
    resources.add()
    gaps.mend()
    reading.watch()
    return Front()


def credentials(arn: str) -> tuple[int, dict[str, Any]]:
    """Fresh keys of a role, which must trust tasks or functions: what AWS gives to each of them."""
    parts = arn.split(":")
    account, name = (parts[4] if len(parts) > 5 else ""), arn.rsplit("/", 1)[-1]
    role = iam._roles.get_scoped(account, None, name)
    trusted = json.dumps(role["AssumeRolePolicyDocument"]) if role is not None and role["Arn"] == arn else ""
    if not any(runner in trusted for runner in RUNNERS):
        return 404, {"message": f"{arn} is no role that tasks or functions may take"}
    session = secrets.token_hex(16)
    key, secret, token = "ASIA" + secrets.token_hex(8).upper(), secrets.token_hex(20), secrets.token_hex(32)
    expires = time.time() + CREDENTIAL_SECONDS
    record = {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{name}/{session}",
        "UserId": f"{role['RoleId']}:{session}",
        "SecretAccessKey": secret,
        "SessionToken": token,
        "Expiration": expires,
    }
    sts.register_session(key, record)
    return 200, {
        "RoleArn": arn,
        "AccessKeyId": key,
        "SecretAccessKey": secret,
        "Token": token,
        "Expiration": datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def end_functions() -> None:
    """End the processes of functions; they keep nothing either."""
    for worker in [worker for pool in lambda_runtime._workers.values() for worker in pool]:
        if worker._proc is not None:
            worker._proc.kill()
