"""Two verifiers, written apart, say the same of every file: so the format is what its document says."""

from __future__ import annotations

import ast
import base64
import hashlib
import importlib.util
import io
import json
import random
import struct
import subprocess
import sys
import tomllib
import zlib
from pathlib import Path

import pytest

from blastwall.local.clock import ManualClock
from blastwall.local.finisher import Finisher
from blastwall.local.recorder import LocalRecorder
from blastwall.local.recordings import Shelf
from blastwall.local.signer import load_signer, trusted_keys
from blastwall.model import Effect, Facts, Masked, Permit, Principal, Session, Statement, Target
from blastwall.recording.codec import FormatFault
from blastwall.recording.verify import State, verify

HERE = Path(__file__).parent
VECTORS = HERE / "recordings"
TOOL = HERE.parents[1] / "tools" / "verify_recording.py"
VERDICTS = tomllib.loads((VECTORS / "verdicts.toml").read_text())
ID = "00112233445566aa"


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = load(TOOL)
made = load(HERE / "make_recordings.py")
PEMS = [VECTORS / "key.pem", VECTORS / "key-p256.pem"]
TRUSTED = trusted_keys(*PEMS)
KEYS = [tool.load_key(pem.read_bytes()) for pem in PEMS]


def ours(data, beside=None, name=ID, trusted=TRUSTED):
    try:
        verdict = verify(io.BytesIO(data), trusted=trusted, beside=beside, recording=name)
    except FormatFault:
        return ("unreadable", 0, 0, 0, 0)
    return (str(verdict.state), verdict.block, verdict.offset, verdict.records, verdict.proven)


def theirs(data, beside=None, name=ID, keys=KEYS):
    found = tool.verify(io.BytesIO(data), keys, beside, name)
    return (found.answer, found.block, found.offset, found.records, found.proven)


def vector(name):
    beside = VECTORS / f"{name}.manifest.json"
    return (VECTORS / f"{name}.bwr").read_bytes(), beside.read_bytes() if beside.exists() else None


def test_the_tool_needs_nothing_of_ours():
    imported = set()
    for node in ast.walk(ast.parse(TOOL.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(node.module.split(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"zstandard", "cryptography"}


def test_the_vectors_are_what_their_maker_makes():
    found = {name: (data, beside) for name, data, beside, *_ in made.vectors()}
    assert found == {name: vector(name) for name in VERDICTS}


@pytest.mark.parametrize("name", VERDICTS)
def test_every_vector_has_its_verdict_from_both(name):
    data, beside = vector(name)
    expected = VERDICTS[name]
    for verifier in (ours, theirs):
        assert verifier(data, beside)[:3] == (expected["answer"], expected["block"], expected["offset"]), verifier


def test_without_a_key_a_signature_counts_for_nothing():
    data, beside = vector("intact")
    assert ours(data, beside, trusted={})[0] == theirs(data, beside, keys=[])[0] == "unsigned"


def test_both_tell_who_completed_a_recording():
    data, beside = vector("completed-by-another")
    assert tool.verify(io.BytesIO(data), KEYS, beside, ID).completed_by == "finisher"
    assert verify(io.BytesIO(data), trusted=TRUSTED, beside=beside).completed_by == "finisher"
    assert verify(io.BytesIO(vector("intact")[0]), trusted=TRUSTED).completed_by == ""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["intact.bwr", "--renamed", "--key", "key.pem"], 0, "intact"),
        (["intact.bwr", "--renamed"], 1, "unsigned"),
        (["intact.bwr", "--key", "key.pem"], 1, "filed as"),
        (["dropped.bwr", "--renamed", "--key", "key.pem"], 1, "whole up to block 2 at byte"),
        (["completed-by-another.bwr", "--renamed", "--key", "key.pem"], 0, "written by another: finisher"),
        (["newer-version.bwr", "--renamed"], 2, "version 3"),
        (
            ["truncated-behind-a-checkpoint.bwr", "--renamed", "--key", "key-p256.pem"],
            1,
            "signed the first ",
        ),
        (["intact.bwr", "--key", "intact.bwr"], 2, "unreadable"),
        (["nothing.bwr"], 2, "No such file"),
    ],
)
def test_the_tool_as_a_stranger_calls_it(arguments, code, said):
    command = [sys.executable, "-I", str(TOOL), *arguments]
    done = subprocess.run(command, cwd=VECTORS, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done


# The property: whatever is done to a recording, by whoever knows the format and lacks the key, both say the same of it.


def blocks_of(data):
    found, at = [], 16
    while at < len(data):
        end = at + 56 + struct.unpack_from(">I", data, at + 4)[0]
        found.append(data[at:end])
        at = end
    return found


def rechained(preamble, payloads, dice):
    """Blocks with a right chain around any payloads: what a forger can always make."""
    name = b"session-golden"
    session = struct.pack(">H", len(name)) + name
    value = hashlib.sha256(b"blastwall recording chain 1\0" + preamble + ID.encode()).digest()
    data, count = preamble, 0
    for flags, payload, records in payloads:
        raw = len(payload) if not flags else dice.choice([len(payload) * 3, 300, 1, 0])
        sealed = struct.pack(">IIIQ", flags, len(payload), raw, count)
        value = hashlib.sha256(value + session + sealed + payload).digest()
        head = sealed + value
        data += head + struct.pack(">I", zlib.crc32(head)) + payload
        count += records
    return data


def forge(dice, whole):
    payloads = []
    for block in blocks_of(whole):
        payload = bytearray(block[56:])
        if dice.random() < 0.3:
            payload[dice.randrange(len(payload))] = dice.randrange(256)
        count, at = 0, 0
        while at + 18 <= len(payload):
            at += 18 + struct.unpack_from(">I", payload, at)[0]
            count += 1
        payloads.append((int(dice.random() < 0.05), bytes(payload), count))
    if dice.random() < 0.3:
        payloads.insert(dice.randrange(len(payloads) + 1), dice.choice(payloads))
    if dice.random() < 0.2:
        payloads.append((0, b"", 0))
    if dice.random() < 0.2:
        payloads.append((0, made.record(dice.randrange(12), 9999, b"{}"), 1))
    return rechained(whole[:16], payloads, dice)


def refit(dice, sign):
    """A whole new end, signed with the right key or not, with some fields changed."""
    body = made.body_of(pack=dice.random() < 0.3)
    if dice.random() < 0.5:
        what = dice.choice(["records", "chain", "format", "signed_at", "session", "algorithm"])
        wrong = {what: dice.choice([1, 2.0, "x", None])} if dice.random() < 0.5 else {}
        body.checkpoint(dice.choice([made.KEY, made.P256, made.OTHER]), **wrong)
    changes = {}
    fields = ["records", "blocks", "length", "chain", "session", "started_at", "connection", "format", "note"]
    if dice.random() < 0.7:
        changes[dice.choice(fields)] = dice.choice([True, 1, 5.0, "x", None, [], float("nan"), "\ud800", 1 << 70])
    manifest = bytearray(body.manifest(made.KEY if sign else None, **changes))
    if dice.random() < 0.3:
        twisted = json.loads(manifest)
        twisted["signature"] = dice.choice(["", "====", 7, None, base64.b64encode(bytes(64)).decode(), "A" * 88])
        manifest = bytearray(made.canonical(twisted))
    if dice.random() < 0.2:
        manifest[dice.randrange(len(manifest))] = dice.choice(b' "x\xff0')
    manifest = bytes(manifest)
    body.add(made.record(7, 9000, manifest, dice.choice([0, 0, 0, 1]), dice.choice([0, 0, 0, 2])))
    return body.data(), dice.choice([manifest, None])


def mutated(dice, whole, manifest):
    kind = dice.randrange(8)
    if kind == 0:
        data = bytearray(whole)
        for _ in range(dice.choice([1, 1, 1, 3])):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        return bytes(data), dice.choice([manifest, None])
    if kind == 1:
        return whole[: dice.randrange(len(whole) + 1)], dice.choice([manifest, None])
    if kind == 2:
        cut = whole[: dice.randrange(len(whole))]
        return cut + bytes(dice.randrange(200)) + dice.choice([b"", b"", b"\1"]), None
    if kind == 3:
        blocks = blocks_of(whole)
        for _ in range(dice.randrange(1, 4)):
            at, block = dice.randrange(len(blocks)), dice.choice(blocks)
            blocks[at : at + 1] = dice.choice([[], [block], [blocks[at], block]])
            blocks = blocks or [b""]
        return whole[:16] + b"".join(blocks), dice.choice([manifest, None])
    if kind == 4:
        at = dice.randrange(len(whole))
        return whole[:at] + dice.randbytes(dice.randrange(40)) + whole[at:], manifest
    if kind == 5:
        return forge(dice, whole), dice.choice([manifest, None])
    if kind == 6:
        return refit(dice, dice.random() < 0.8)
    return whole, dice.choice([None, manifest, (manifest or b"") + b" ", b""])


@pytest.mark.parametrize("seed", range(4))
def test_both_verifiers_agree_on_every_mutation(seed):
    dice = random.Random(seed)
    names = ("intact", "compressed", "unsigned", "completed-by-another", "truncated-behind-a-checkpoint", "version-1")
    bases = [vector(name) for name in names]
    said = dict.fromkeys((*State, "unreadable"), 0)
    for round_ in range(2_500):
        data, beside = mutated(dice, *bases[dice.randrange(len(bases))])
        name = dice.choice([ID, ID, ID, None, "another"])
        one, two = ours(data, beside, name), theirs(data, beside, name)
        assert one == two, (seed, round_, data.hex(), beside, name)
        said[one[0]] += 1
    assert all(count >= 3 for count in said.values()), said


# And what the program writes is what the document says.


def test_the_golden_recordings_of_both_versions_are_intact():
    for name in ("golden.bwr", "golden-1.bwr"):
        data = (HERE.parent / "blastwall" / "recording" / name).read_bytes()
        assert theirs(data)[0] == ours(data)[0] == "intact", name


@pytest.mark.parametrize("end", ["closed", "killed", "completed"])
def test_what_is_written_today_is_what_the_tool_reads(tmp_path, end):
    """A session with checkpoints and compressed blocks: closed, killed, or completed by the finisher."""
    signer = load_signer(tmp_path / "keys")
    keys = [tool.load_key((tmp_path / "keys" / "recording.pub").read_bytes())]
    clock = ManualClock()
    recorder = LocalRecorder(tmp_path, clock, signer=signer, compress=True, checkpoint_seconds=0.0)
    session = Session("s-1", Principal("i", "s", "agent"), "shop", 0.0, 1.0)
    recording = recorder.open(session, Target("shop", "postgres", "db", 5432), "c", {})
    for number in range(1, 30):
        recording.intent(Statement(f"SELECT {number}", number=number), Facts(Effect.READ, "select"), Permit("x"))
        recording.relayed(Masked(b"row " * 2_000 * (number % 3), number, 1, "SELECT 1"))
        recording.commit()
        recording.flush()
    shelf = Shelf(tmp_path)
    entry = shelf.find(recording.id)
    if end == "closed":
        recording.close("the client left")
    else:
        recording._blocks.close()
        with entry.path.open("ab") as file:
            file.write(b"\0\0\0\1torn")
    if end == "completed":
        Finisher(shelf, clock, signer=signer, abandoned_seconds=-1e12).run()
    recorder.close()
    found = tool.verify(io.BytesIO(entry.path.read_bytes()), keys, entry.beside(), recording.id)
    verdict = entry.verify(trusted_keys(tmp_path / "keys" / "recording.pub"))
    assert (found.answer, found.block, found.offset, found.records, found.proven, found.completed_by) == (
        str(verdict.state),
        verdict.block,
        verdict.offset,
        verdict.records,
        verdict.proven,
        verdict.completed_by,
    )
    assert found.answer == ("truncated" if end == "killed" else "intact")
    assert found.proven > 1000
    assert bool(found.completed_by) == (end == "completed")
