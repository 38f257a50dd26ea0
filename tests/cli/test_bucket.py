"""Recordings come out of a bucket whole, and only for those whom policy lets read them."""

from __future__ import annotations

import itertools

import boto3
import pytest
from moto import mock_aws

from blastwall.local.clock import SystemClock
from blastwall.local.recorder import LocalRecorder
from blastwall.local.recordings import Shelf
from blastwall.local.signer import load_signer
from blastwall.model import Effect, Facts, Permit, Principal, Session, Statement, Target
from blastwall.recording.reader import read_header
from blastwall.recording.segments import Place
from cli.__main__ import run
from rig.issuer import LocalIssuer


@pytest.fixture
def bucket(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("BLASTWALL_RECORDINGS_BUCKET", "recordings-of-tests")
    monkeypatch.delenv("BLASTWALL_TOKEN", raising=False)
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="recordings-of-tests")
        yield client


@pytest.fixture
def here(tmp_path, monkeypatch):
    state = tmp_path / "here"
    state.mkdir(mode=0o700)
    monkeypatch.setenv("BLASTWALL_STATE", str(state))
    return state


@pytest.fixture
def shipped(bucket, tmp_path):
    """A finished recording in three segments, and the public key of the gateway that made it."""
    there = tmp_path / "there"
    recorder = LocalRecorder(there, SystemClock(), signer=load_signer(there / "keys"))
    session = Session("s/1", Principal("i", "s", "agent"), "shop", 0.0, 1.0)
    recording = recorder.open(session, Target("shop", "postgres", "db", 5432), "c", {})
    recording.intent(Statement("SELECT planted_thing", number=1), Facts(Effect.READ, "select"), Permit("x"))
    recording.commit()
    recording.close("the client left")
    entry = Shelf(there).find(recording.id)
    data = entry.path.read_bytes()
    with entry.open() as file:
        place = Place.of_header(read_header(file).raw)
    cuts = [0, len(data) // 2, len(data) - 20, len(data)]
    for number, (start, end) in enumerate(itertools.pairwise(cuts)):
        bucket.put_object(Bucket="recordings-of-tests", Key=place.segment(number), Body=data[start:end])
    bucket.put_object(Bucket="recordings-of-tests", Key=place.manifest, Body=entry.beside())
    return recording.id, data, there / "keys" / "recording.pub"


def call(capsys, *arguments):
    code = run(["recordings", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_what_is_fetched_is_whole_private_and_verifies(shipped, here, capsys):
    id, data, key = shipped
    assert call(capsys, "fetch", id[:8]) == (0, id + "\n", "")
    entry = Shelf(here).find(id)
    assert entry.path.read_bytes() == data
    assert entry.path.stat().st_mode & 0o777 == 0o600
    assert call(capsys, "verify", id, "--key", str(key))[0] == 0
    assert "planted_thing" in call(capsys, "play", id, "--no-wait")[1]
    code, _, err = call(capsys, "fetch", id)
    assert (code, "here already" in err) == (3, True)


def test_who_may_not_read_gets_nothing(shipped, here, capsys, monkeypatch):
    id, _, _ = shipped
    issuer = LocalIssuer.open(here)
    monkeypatch.setenv("BLASTWALL_TOKEN", issuer.mint("mallory", ("agents",), aud=issuer.audience + "/recordings"))
    code, out, err = call(capsys, "fetch", id)
    assert (code, out) == (4, "")
    assert "read-recording" in err
    assert [path.name for path in here.rglob("*.bwr") if not path.name.startswith("read-")] == []
    assert list(here.rglob("read-*.bwr")), "and that it was tried is on record"


def test_a_gateways_own_directory_is_not_mixed_with_what_is_fetched(shipped, here, capsys):
    (here / "blastwall.db").touch()
    code, _, err = call(capsys, "fetch", shipped[0])
    assert (code, "of its own" in err) == (2, True)


def test_what_is_not_there_is_said(bucket, here, capsys):
    code, _, err = call(capsys, "fetch", "0123")
    assert (code, "no recordings" in err) == (3, True)


def test_a_missing_segment_is_said(shipped, bucket, here, capsys):
    id, _, _ = shipped
    (key,) = [
        item["Key"]
        for item in bucket.list_objects_v2(Bucket="recordings-of-tests")["Contents"]
        if item["Key"].endswith("000001.bwr")
    ]
    bucket.delete_object(Bucket="recordings-of-tests", Key=key)
    code, _, err = call(capsys, "fetch", id)
    assert (code, "segment 1" in err) == (3, True)
    assert not list(here.rglob(f"*{id}*"))
