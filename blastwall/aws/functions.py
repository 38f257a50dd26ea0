"""Functions called by name, JSON in and JSON out: once, and answered, or not begun.

A call that was begun and lost must not be made again: the function may have made a login, or taken one back, and its
answer would be lost with the first call. So the client waits longer than any function runs, tries once, and only what
AWS says was never begun (too many at once, no connection) is asked again here.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError

from blastwall.errors import Fault, OurFault

log = logging.getLogger("blastwall.functions")

#: Longer than any function that is waited for runs (stacks/functions.toml; a test compares), in seconds.
ANSWER_SECONDS: Final = 90.0
ATTEMPTS: Final = 4
PAUSE_SECONDS: Final = 0.2  # before the second attempt; twice as long before each further one
#: Error codes of Invoke after which nothing has run (Lambda API reference).
NOT_BEGUN: Final = frozenset(
    {
        "TooManyRequestsException",
        "EC2ThrottledException",
        "ENILimitReachedException",
        "EFSMountConnectivityException",
        "EFSMountTimeoutException",
        "ResourceNotReadyException",
        "ThrottlingException",
    }
)

Invoke = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]

#: Of every Lambda client.
PATIENCE: Final = Config(
    connect_timeout=3,
    read_timeout=ANSWER_SECONDS,
    retries={"mode": "standard", "total_max_attempts": 1},
    max_pool_connections=64,
)


class Functions:
    """Invokes functions by name. ``client`` is a boto3 Lambda client with :data:`PATIENCE`; it blocks.

    ``names``: the house's names to AWS's; a name that is not there is AWS's own.
    """

    def __init__(
        self,
        client: Any,  # noqa: ANN401  boto3 has no types
        names: Mapping[str, str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._names = names or {}
        self._sleep = sleep

    def __call__(self, name: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The function's answer. Raises OurFault when it did not answer; neither question nor answer is quoted."""
        answer = self._invoke(name, json.dumps(dict(request)).encode())
        if answer.get("FunctionError"):
            raise OurFault(f"the function {name} failed; its log says why")
        try:
            found = json.loads(answer["Payload"].read())
        except BotoCoreError as fault:
            raise OurFault(f"the function {name} broke off in its answer: {type(fault).__name__}") from None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise OurFault(f"the function {name} did not answer with an object; its log says why")
        return found

    def _invoke(self, name: str, payload: bytes) -> Mapping[str, Any]:
        left, pause = ATTEMPTS, PAUSE_SECONDS
        while True:
            left -= 1
            try:
                answer: Mapping[str, Any] = self._client.invoke(
                    FunctionName=self._names.get(name, name), Payload=payload
                )
                return answer
            except (BotoCoreError, ClientError) as fault:
                if not left or not _not_begun(fault):
                    raise OurFault(f"the function {name} cannot be reached: {fault}") from None
            self._sleep(pause * (0.5 + random.random()))  # noqa: S311  not all callers at the same moment
            pause *= 2


def beside(invoke: Invoke, *names: str) -> Invoke:
    """The same, but for these functions nobody waits: they are called on a thread of their own, and a fault is logged.

    For word of what has happened already: whoever looks after sessions must not wait for a function to start.
    """

    def call(name: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if name not in names:
            return invoke(name, request)
        threading.Thread(target=_quietly, args=(invoke, name, request), name=f"telling {name}", daemon=True).start()
        return {}

    return call


def _quietly(invoke: Invoke, name: str, request: Mapping[str, Any]) -> None:
    try:
        invoke(name, request)
    except Fault as fault:
        log.warning("not told: %s", fault)


def _not_begun(fault: BotoCoreError | ClientError) -> bool:
    if isinstance(fault, ClientError):
        return fault.response.get("Error", {}).get("Code") in NOT_BEGUN
    return isinstance(fault, ConnectTimeoutError | EndpointConnectionError)
