"""Fifty recorders killed under load: no statement ran unrecorded, every prefix verifies and plays, every end is found.

``make soak`` does the same with many more runs (KILLS, SEED).
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from blastwall.aws.finisher import AwsFinisher
from blastwall.aws.objects import Bucket, client
from blastwall.aws.signer import KmsSigner
from blastwall.local.clock import SystemClock
from blastwall.local.finisher import Finisher
from blastwall.local.recordings import Entry, Shelf
from blastwall.local.signer import load_signer
from blastwall.recording.play import json_lines
from blastwall.recording.reader import Reader
from blastwall.recording.records import Intent
from blastwall.recording.shown import decode_opaque
from blastwall.recording.verify import State, verify
from blastwall.settings import RecordingSettings
from tests.blastwall.aws.cloud import patient

RUNS = int(os.environ.get("KILLS", "50"))
SEED = int(os.environ.get("SEED", "0")) or time.time_ns() % 1_000_000
ROOT = Path(__file__).parents[2]
NAME = "recordings-of-kills"


@pytest.fixture(scope="module")
def cloud() -> Iterator[dict[str, str]]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    given = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "KILLS_BUCKET": NAME,
        "KILLS_ENDPOINT": f"http://{host}:{port}",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        patient("s3", given["KILLS_ENDPOINT"]).create_bucket(Bucket=NAME, ObjectLockEnabledForBucket=True)
        kms = patient("kms", given["KILLS_ENDPOINT"])
        key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
        yield given | {"KILLS_KEY": key["KeyMetadata"]["KeyId"]}
    server.stop()


@pytest.fixture(scope="module")
def killed(cloud: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, str]]]:
    root = tmp_path_factory.mktemp("kills")
    done = subprocess.run(
        [sys.executable, "-m", "tests.kills.writers", str(root), str(RUNS), str(SEED)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | cloud,
        timeout=60 + 2 * RUNS,
        check=False,
    )
    assert done.returncode == 0, f"SEED={SEED}\n{done.stderr}"
    return root, [json.loads(line) for line in done.stdout.splitlines()]


def reached(run: Mapping[str, str]) -> dict[str, set[int]]:
    """Recording id to the statements that its database saw. A line that was cut off is none."""
    found: dict[str, set[int]] = defaultdict(set)
    for line in Path(run["log"]).read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            id, number = line.split()
            found[id.decode()].add(int(number))
    return found


def recorded(entry: Entry) -> set[int]:
    with entry.open() as file:
        return {record.statement for record in Reader(file).records() if isinstance(record, Intent)}


def test_kills_at_random_points_leave_prefixes_that_verify_and_play(
    killed: tuple[Path, list[dict[str, str]]], cloud: dict[str, str]
) -> None:
    root, runs = killed
    signers = {
        "local": load_signer(root / "keys"),
        "aws": KmsSigner(client("kms", cloud["KILLS_ENDPOINT"]), cloud["KILLS_KEY"]),
    }
    states: Counter[str] = Counter()
    modes: Counter[str] = Counter()
    statements = 0
    for run in runs:
        assert run["killed"] == "True", f"SEED={SEED}: {run} ended by itself"
        signer = signers["aws" if run["mode"] == "aws" else "local"]
        trusted = {signer.key_id: signer.public}
        state = Path(run["state"])
        there = {entry.id: entry for entry in Shelf(state).entries()}
        for id, numbers in reached(run).items():
            if id not in there:
                assert run["mode"] == "aws", f"SEED={SEED}: {id} has no recording"
                continue  # it ended in order, and only the bucket has it: looked at below
            missing = numbers - recorded(there[id])
            assert not missing, f"SEED={SEED}: {run['mode']} {id}: {sorted(missing)} ran unrecorded"
            statements += len(numbers)
        for entry in there.values():
            if entry.path.stat().st_size < 100:
                continue  # killed before its header: nothing ran
            verdict = entry.verify(trusted)
            assert verdict.state in (State.TRUNCATED, State.INTACT), f"SEED={SEED}: {run['mode']} {verdict}"
            states[verdict.state] += 1
            with entry.open() as file:
                assert list(json_lines(iter(decode_opaque(Reader(file).records(), rows=1))))
        modes[run["mode"]] += 1
    assert statements > RUNS
    assert states[State.TRUNCATED] >= RUNS // 2, "kills that hit nothing prove nothing"
    assert min(modes.values()) >= 1


def test_the_finisher_completes_all_of_them(killed: tuple[Path, list[dict[str, str]]], cloud: dict[str, str]) -> None:
    root, runs = killed
    url = cloud["KILLS_ENDPOINT"]
    kms = KmsSigner(client("kms", url), cloud["KILLS_KEY"])
    own = load_signer(root / "keys")
    bucket = Bucket(client("s3", url), NAME)
    base = RecordingSettings(NAME, cloud["KILLS_KEY"], lease_seconds=0.0, abandoned_seconds=0.0, segment_bytes=250_000)
    shipped: set[str] = set()
    for run in runs:
        state = Path(run["state"])
        if run["mode"] == "aws":
            report = AwsFinisher(replace(base, spool=str(state)), SystemClock(), bucket, kms).run(60)
            assert not report.problems, f"SEED={SEED}: {report.problems}"
            assert not list(state.rglob("*.bwr")), "the spool is empty"
            shipped |= set(reached(run))
            continue
        report = Finisher(Shelf(state), SystemClock(), signer=own, abandoned_seconds=0.0).run(60)
        assert not report.problems, f"SEED={SEED}: {report.problems}"
        for entry in Shelf(state).entries():
            if entry.path.stat().st_size >= 100:
                verdict = entry.verify({own.key_id: own.public})
                assert verdict.state is State.INTACT, f"SEED={SEED}: {verdict}"
    check_the_bucket(bucket, kms, shipped, [run for run in runs if run["mode"] == "aws"])


def check_the_bucket(bucket: Bucket, signer: KmsSigner, ids: set[str], runs: list[dict[str, str]]) -> None:
    """Every recording of a killed task is there whole, with every statement that its database saw."""
    parts: dict[str, list[str]] = defaultdict(list)
    for item in bucket.list("recordings/"):
        if item.key.endswith(".bwr"):
            parts[item.key.split("/")[-2]].append(item.key)
    wanted: dict[str, set[int]] = defaultdict(set)
    for run in runs:
        for id, numbers in reached(run).items():
            wanted[id] |= numbers
    for id in ids:
        data = b"".join(bucket.get(key) for key in parts[id])
        verdict = verify(io.BytesIO(data), trusted={signer.key_id: signer.public}, recording=id)
        assert verdict.state is State.INTACT, f"SEED={SEED}: {verdict}"
        intents = {record.statement for record in Reader(io.BytesIO(data)).records() if isinstance(record, Intent)}
        assert wanted[id] <= intents, f"SEED={SEED}: {id}"
