"""The state machine's side of an approval: started by the request's id, waited for by a sealed task token.

Who holds a task token can end the wait, so it is kept as KMS ciphertext with the request, bound to the request's id,
and never leaves in a message. Ending the wait decides nothing: the machine reads the request again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from blastwall.errors import OurFault
from blastwall.model import ApprovalRequest

VERSION = 1  # of the machine's input: an execution runs to its end by the definition that understands it
OVER = "TaskTimedOut", "TaskDoesNotExist", "InvalidToken"


class Waiting:
    """Clients are boto3's, of Step Functions and KMS. Everything raises OurFault when AWS fails."""

    def __init__(self, machines: Any, keys: Any, machine_arn: str, key_id: str) -> None:  # noqa: ANN401  boto3 has no types
        self._machines = machines
        self._keys = keys
        self._machine_arn = machine_arn
        self._key_id = key_id

    def start(self, request: ApprovalRequest) -> None:
        """Begin to wait. Named by the request's id, so that a second start is the same execution."""
        end = request.expires_at - request.requested_at
        first = min(end, request.escalate_at - request.requested_at) if request.escalate_at else end
        given = {
            "version": VERSION,
            "id": request.id,
            "first_seconds": max(1, math.ceil(first)),
            "then_seconds": max(0, math.ceil(end - first)),
        }
        quiet = ("ExecutionAlreadyExists",)
        self._call(
            self._machines.start_execution,
            quiet,
            stateMachineArn=self._machine_arn,
            name=request.id,
            input=json.dumps(given),
        )

    def seal(self, id: str, token: str) -> bytes:
        """The task token as ciphertext that opens for this request only."""
        answer = self._call(
            self._keys.encrypt, (), KeyId=self._key_id, Plaintext=token.encode(), EncryptionContext={"approval": id}
        )
        return bytes(answer["CiphertextBlob"])

    def answer(self, id: str, sealed: bytes) -> None:
        """End the wait; nothing happens when it has ended. The output is a pointer, not a decision."""
        opened = self._call(
            self._keys.decrypt, (), KeyId=self._key_id, CiphertextBlob=sealed, EncryptionContext={"approval": id}
        )
        token = opened["Plaintext"].decode()
        self._call(self._machines.send_task_success, OVER, taskToken=token, output=json.dumps({"id": id}))

    def _call(self, call: Callable[..., Any], quiet: tuple[str, ...], **arguments: Any) -> Any:  # noqa: ANN401
        try:
            return call(**arguments)
        except ClientError as fault:
            if fault.response["Error"]["Code"] in quiet:
                return {}
            raise OurFault(f"AWS refuses while an approval waits: {fault}") from fault
        except BotoCoreError as fault:
            raise OurFault(f"AWS does not answer while an approval waits: {fault}") from fault
