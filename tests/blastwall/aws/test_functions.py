"""Functions are called once, however slow they are, and again only when nothing has run."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from blastwall.aws.functions import ANSWER_SECONDS, ATTEMPTS, Functions, beside
from blastwall.errors import OurFault
from stacks.functions import TABLE, read_functions

THROTTLED = ClientError({"Error": {"Code": "TooManyRequestsException", "Message": "slow down"}}, "Invoke")
DENIED = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "Invoke")
UNREACHED = EndpointConnectionError(endpoint_url="https://lambda")
UNANSWERED = ReadTimeoutError(endpoint_url="https://lambda")


class Client:
    """boto3's, as far as it is used: each call takes the next of ``answers``."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.called: list[tuple[str, Any]] = []

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Any]:
        self.called.append((FunctionName, json.loads(Payload)))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def answered(value: object, **more: object) -> dict[str, Any]:
    return {"Payload": BytesIO(json.dumps(value).encode()), **more}


def functions(client: Client) -> Functions:
    return Functions(client, {"vend": "real-vend"}, lambda seconds: None)


@pytest.mark.parametrize("fault", [THROTTLED, UNREACHED])
def test_what_was_not_begun_is_asked_again_a_few_times(fault: Exception) -> None:
    client = Client(fault, fault, answered({"got": 1}))
    assert functions(client)("vend", {"a": 1}) == {"got": 1}
    assert client.called == [("real-vend", {"a": 1})] * 3
    client = Client(*[fault] * ATTEMPTS)
    with pytest.raises(OurFault, match="vend cannot be reached"):
        functions(client)("vend", {})
    assert len(client.called) == ATTEMPTS


@pytest.mark.parametrize("fault", [UNANSWERED, DENIED])
def test_what_may_have_run_is_not_asked_again(fault: Exception) -> None:
    client = Client(fault)
    with pytest.raises(OurFault, match="cannot be reached"):
        functions(client)("vend", {})
    assert len(client.called) == 1


def test_a_name_that_is_not_the_houses_is_awss_own() -> None:
    client = Client(answered({}))
    functions(client)("arn:aws:lambda:eu-central-1:1:function:f", {})
    assert client.called[0][0] == "arn:aws:lambda:eu-central-1:1:function:f"


@pytest.mark.parametrize("answer", [answered({"e": "s3cret"}, FunctionError="Unhandled"), answered(["s3cret"])])
def test_a_function_that_fails_is_ours_and_is_not_quoted(answer: dict[str, Any]) -> None:
    with pytest.raises(OurFault, match="vend") as caught:
        functions(Client(answer))("vend", {"token": "s3cret"})
    assert "s3cret" not in str(caught.value)


def test_no_function_runs_for_longer_than_its_caller_waits() -> None:
    rows = read_functions(TABLE.read_text(), Path(__file__).parents[3])
    waited_for = [row for row in rows.values() if row.name != "recording_finisher"]  # only its schedule calls that
    assert max(row.timeout for row in waited_for) < ANSWER_SECONDS


def test_what_is_only_told_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    let, told = threading.Event(), threading.Event()

    def invoke(name: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if name == "decide":
            assert let.wait(30)
            told.set()
            raise OurFault("the function decide failed")
        return {"got": dict(request)}

    call = beside(invoke, "decide")
    assert call("request", {"a": 1}) == {"got": {"a": 1}}
    assert call("decide", {"answer": "a-1"}) == {} and not told.is_set()
    let.set()
    assert told.wait(30)
    for thread in [thread for thread in threading.enumerate() if thread.name == "telling decide"]:
        thread.join(30)
    assert "decide failed" in caplog.text
