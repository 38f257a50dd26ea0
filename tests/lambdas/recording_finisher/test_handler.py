"""The scheduled function on moto: it completes what a killed task left, and its metric names what it could not."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from blastwall.aws.objects import Bucket, client
from blastwall.aws.recorder import compose_recorder
from blastwall.aws.signer import KmsSigner
from blastwall.local.clock import SystemClock
from blastwall.model import Effect, Facts, Permit, Principal, Session, Statement, Target
from blastwall.recording.verify import State, verify
from blastwall.settings import RecordingSettings
from lambdas.recording_finisher import handler as module
from tests.blastwall.aws.cloud import patient

CONTEXT = SimpleNamespace(
    function_name="recording_finisher", memory_limit_in_mb=512, invoked_function_arn="arn", aws_request_id="1",
    get_remaining_time_in_millis=lambda: 60_000,
)  # fmt: skip


@pytest.fixture
def settings(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingSettings]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("POWERTOOLS_TRACE_DISABLED", "true")
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    patient("s3", url).create_bucket(Bucket="recordings-of-function")
    key = patient("kms", url).create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    made = RecordingSettings("recordings-of-function", key, str(tmp_path), endpoint_url=url)
    for name, value in made.to_env().items():
        monkeypatch.setenv(name, value)
    module.finisher.cache_clear()
    yield made
    module.finisher.cache_clear()
    server.stop()


def abandon(settings: RecordingSettings) -> str:
    recorder = compose_recorder(settings, SystemClock())
    session = Session("s-1", Principal("iss", "sub", "robot"), "shop", 0.0, 1.0)
    recording = recorder.open(session, Target("shop", "postgres", "h", 1), "c-1", {})
    recording.intent(Statement("SELECT 1", number=1), Facts(Effect.READ, "select"), Permit("SELECT 1"))
    recording.flush()
    recording._blocks.close()
    recorder.close()
    for path in settings.spool_path.rglob("*.bwr"):
        os.utime(path, (time.time() - 600,) * 2)
    return recording.id


def test_it_completes_what_a_task_left(settings: RecordingSettings, capsys: pytest.CaptureFixture[str]) -> None:
    id = abandon(settings)
    answer = module.handler({}, CONTEXT)
    assert answer == {"completed": [id], "problems": {}, "unfinished": False}
    bucket = Bucket(client("s3", settings.endpoint_url), settings.recordings_bucket)
    signer = KmsSigner(client("kms", settings.endpoint_url), settings.manifest_key_id)
    data = b"".join(bucket.get(item.key) for item in bucket.list("recordings/") if item.key.endswith(".bwr"))
    verdict = verify(io.BytesIO(data), trusted={signer.key_id: signer.public}, recording=id)
    assert (verdict.state, verdict.completed_by) == (State.INTACT, "finisher")
    assert module.handler({}, CONTEXT)["completed"] == [], "once"


def test_what_it_cannot_complete_is_counted_where_the_alarm_looks(
    settings: RecordingSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    id = abandon(settings)
    (path,) = settings.spool_path.rglob("*.bwr")
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    os.utime(path, (time.time() - 600,) * 2)
    capsys.readouterr()
    assert list(module.handler({}, CONTEXT)["problems"]) == [id]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    (metric,) = [line for line in lines if "_aws" in line]
    assert metric["RecordingFailed"] == [1.0]
    assert metric["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Blastwall"
    assert metric["service"] == "recording_finisher"
