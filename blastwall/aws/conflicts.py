"""Writes that DynamoDB refuses because a transaction is at the same item at that moment.

Nothing was wrong with them, and nothing happened: they are made again. The SDK does not, and whoever took the refusal
for a condition that did not hold would say that a session had ended, or a request been decided, when neither was so.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from botocore.exceptions import ClientError

ATTEMPTS: Final = 6
PAUSE_SECONDS: Final = 0.02  # before the second attempt; twice as long before each further one
FAILED: Final = "ConditionalCheckFailed"


def persistent(
    call: Callable[..., Any], arguments: Mapping[str, Any], sleep: Callable[[float], None] = time.sleep
) -> dict[str, Any]:
    """The call's answer; what others were in the way of is tried again, a few times. Raises ClientError."""
    for attempt in range(ATTEMPTS):
        try:
            answer: dict[str, Any] = call(**arguments)
            return answer
        except ClientError as fault:
            if not in_the_way(fault) or attempt == ATTEMPTS - 1:
                raise
        sleep(PAUSE_SECONDS * 2**attempt * (0.5 + random.random()))  # noqa: S311  not all at the same moment
    raise AssertionError("the last attempt returns or raises")


def in_the_way(fault: ClientError) -> bool:
    """Whether others were, and no condition failed: a single write's conflict, or a transaction cancelled for reasons
    that are nobody's condition."""
    code = fault.response.get("Error", {}).get("Code")
    if code == "TransactionConflictException":
        return True
    reasons = fault.response.get("CancellationReasons", ())
    return code == "TransactionCanceledException" and bool(reasons) and not any(map(failed, reasons))


def failed(reason: Mapping[str, Any]) -> bool:
    """Whether a part of a transaction was cancelled for its own condition."""
    return reason.get("Code") == FAILED
