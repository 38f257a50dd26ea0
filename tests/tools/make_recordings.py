"""Writes ``recordings/``: golden vectors for verifiers, and ``recordings/verdicts.toml`` with what each must be called.

Run it only together with a new format version: ``python tests/tools/make_recordings.py``. The files are made of fixed
values; the damage is done on their bytes, with nothing but the offsets of docs/recording-format.md.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import zlib
from pathlib import Path

import zstandard
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HERE = Path(__file__).with_name("recordings")
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
P256 = ec.derive_private_key(20261122, ec.SECP256R1())
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PREAMBLE = bytes.fromhex("894257520d0a1a0a0002000000000000")
VERSION_1 = bytes.fromhex("894257520d0a1a0a0001000000000000")


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def signed(statement, key):
    if isinstance(key, Ed25519PrivateKey):
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        whole = {**statement, "algorithm": "Ed25519", "key": hashlib.sha256(raw).hexdigest()[:16]}
        signature = key.sign(canonical(whole))
    else:
        raw = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        whole = {**statement, "algorithm": "ECDSA-P256-SHA256", "key": hashlib.sha256(raw).hexdigest()[:16]}
        signature = key.sign(canonical(whole), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    return canonical({**whole, "signature": base64.b64encode(signature).decode()})


def record(kind, at, body, statement=0, flags=0):
    return struct.pack(">IBBIQ", len(body), kind, flags, statement, at) + body


def intent(number, at, text):
    body = struct.pack(">IBHHII", 1, 2, 0, 0, len(text), 0) + text.encode()
    return record(3, at, body, number)


def relayed(number, at, data, tag):
    body = struct.pack(">IIBB", 1, 0, len(tag), 0) + tag.encode() + data
    return record(4, at, body, number)


def header(recording, session):
    return {
        "break_glass": None,
        "connection": "c-1",
        "durability": "kernel",
        "format": 1,
        "masking_version": "m1",
        "mode": "enforce",
        "monotonic_origin": 5,
        "policy_version": "p1",
        "principal": {
            "agent": "reporter",
            "expires_at": 0.0,
            "groups": ["agents"],
            "issuer": "https://idp.example",
            "on_behalf_of": "ana@example.com",
            "subject": "a-1",
            "token_id": "0f" * 32,
        },
        "protocol": "postgres",
        "recording": recording,
        "recording_mode": "strict",
        "session": session,
        "started_at": 1800000000.25,
        "target": {"host": "db.example", "labels": {}, "name": "shop", "port": 5432},
    }


JUDGEMENT = {
    "decision": {"policies": ["reads"], "risk": {"reasons": [], "score": 0}, "verdict": "permit"},
    "facts": {"effect": "read", "objects": [], "verb": "select"},
    "surroundings": "shop/public",
}


class Made:
    """A recording block by block, as the document says; ``blocks`` are the bytes of each."""

    def __init__(self, recording, session, version=2):
        self.preamble = PREAMBLE if version == 2 else VERSION_1
        self.head = header(recording, session) | {"format": version}
        name = session.encode()
        self.session = struct.pack(">H", len(name)) + name
        self.chain = hashlib.sha256(b"blastwall recording chain 1\0" + self.preamble + recording.encode()).digest()
        self.blocks = []
        self.records = 0

    def add(self, *records, pack=False):
        raw = b"".join(records)
        payload = zstandard.ZstdCompressor(level=1).compress(raw) if pack else raw
        sealed = struct.pack(">IIIQ", int(pack), len(payload), len(raw), self.records)
        self.chain = hashlib.sha256(self.chain + self.session + sealed + payload).digest()
        head = sealed + self.chain
        self.blocks.append(head + struct.pack(">I", zlib.crc32(head)) + payload)
        self.records += len(records)
        return self

    def manifest(self, key=KEY, **changes):
        names = ("connection", "format", "protocol", "recording", "session", "started_at")
        manifest = {
            **{name: self.head[name] for name in names},
            "agent": "reporter",
            "blocks": len(self.blocks),
            "chain": self.chain.hex(),
            "duration_ns": 9_000,
            "ended_at": 1800000001.5,
            "length": len(self.data()),
            "reason": "the client left",
            "records": self.records,
            "target": "shop",
            "totals": {"denied": 0, "relayed_bytes": 12, "rows": 3, "statements": 3},
            **changes,
        }
        return canonical(manifest) if key is None else signed(manifest, key)

    def checkpoint(self, key=KEY, **changes):
        """A mark, and in the next block what is signed of what stands before the mark's."""
        place = {
            "blocks": len(self.blocks),
            "chain": self.chain.hex(),
            "length": len(self.data()),
            "records": self.records,
        }
        identity = {name: self.head[name] for name in ("format", "recording", "session")}
        statement = {**place, **identity, "signed_at": 1800000000.75, **changes}
        self.add(record(8, 4000, b""))
        return self.add(record(9, 4100, signed(statement, key)))

    def data(self):
        return self.preamble + b"".join(self.blocks)


def body_of(recording="00112233445566aa", session="session-golden", pack=False, version=2):
    """Header, three statements and their answers, and the end: five blocks."""
    made = Made(recording, session, version)
    made.add(record(1, 0, canonical(made.head)), pack=pack)
    for number in (1, 2, 3):
        judgement = [record(2, 1000 * number, canonical(JUDGEMENT), 1)] if number == 1 else []
        text = f"SELECT {number}" + " " * (200 if pack else 0)
        made.add(
            *judgement,
            intent(number, 1000 * number, text),
            relayed(number, 1000 * number + 500, b"row\n", "SELECT 1"),
            pack=pack,
        )
    totals = {"denied": 0, "relayed_bytes": 12, "rows": 3, "statements": 3}
    return made.add(
        record(6, 8000, canonical({"ended_at": 1800000001.5, "reason": "the client left", "totals": totals}))
    )


def whole(key=KEY, **options):
    made = body_of(**options)
    manifest = made.manifest(key)
    return made.add(record(7, 9000, manifest)), manifest


def vectors():
    """Yield name, bytes, the manifest beside (or None), and the verdict: answer, block, offset."""
    made, manifest = whole()
    blocks = made.blocks
    starts = [len(PREAMBLE) + sum(map(len, blocks[:n])) for n in range(len(blocks) + 1)]
    end = (len(blocks), starts[-1])
    yield "intact", made.data(), manifest, "intact", *end
    yield "intact-alone", made.data(), None, "intact", *end
    packed, its_manifest = whole(pack=True)
    yield "compressed", packed.data(), its_manifest, "intact", 6, len(packed.data())
    unsigned, plain = whole(key=None)
    yield "unsigned", unsigned.data(), plain, "unsigned", 6, len(unsigned.data())

    older, its_manifest = whole(version=1)
    yield "version-1", older.data(), its_manifest, "intact", 6, len(older.data())
    far, its_manifest = whole(key=P256)
    yield "signed-with-p256", far.data(), its_manifest, "intact", 6, len(far.data())

    marked = Made("00112233445566aa", "session-golden")
    marked.add(record(1, 0, canonical(marked.head)))
    marked.add(record(2, 1000, canonical(JUDGEMENT), 1), intent(1, 1000, "SELECT 1"))
    marked.checkpoint(P256).add(intent(2, 5000, "SELECT 2"))
    yield "truncated-behind-a-checkpoint", marked.data(), None, "truncated", 5, len(marked.data())
    strange = Made("00112233445566aa", "session-golden")
    strange.add(record(1, 0, canonical(strange.head))).checkpoint(OTHER)
    until = len(PREAMBLE) + sum(map(len, strange.blocks[:2]))
    yield "checkpoint-of-another-key", strange.data(), None, "tampered", 2, until
    lying = Made("00112233445566aa", "session-golden")
    lying.add(record(1, 0, canonical(lying.head))).checkpoint(records=7)
    yield "checkpoint-that-does-not-fit", lying.data(), None, "tampered", 2, until

    yield "truncated-in-a-block", made.data()[: starts[3] + 70], None, "truncated", 3, starts[3]
    yield "truncated-between-blocks", made.data()[: starts[4]], None, "truncated", 4, starts[4]
    yield "truncated-zeros", made.data()[: starts[3]] + bytes(300), None, "truncated", 3, starts[3]
    yield "truncated-preamble", PREAMBLE[:11], None, "truncated", 0, 0
    yield "cut-off", made.data()[: starts[5]], manifest, "tampered", 5, starts[5]

    flipped = bytearray(made.data())
    flipped[starts[2] + 80] ^= 1
    yield "flipped-in-a-payload", bytes(flipped), manifest, "tampered", 2, starts[2]
    flipped = bytearray(made.data())
    flipped[starts[3] + 5] ^= 1
    yield "flipped-in-a-head", bytes(flipped), manifest, "tampered", 3, starts[3]

    def glued(*numbers):
        return PREAMBLE + b"".join(blocks[number] for number in numbers)

    yield "dropped", glued(0, 1, 3, 4, 5), manifest, "tampered", 2, starts[2]
    yield "reordered", glued(0, 1, 3, 2, 4, 5), manifest, "tampered", 2, starts[2]
    yield "repeated", glued(0, 1, 1, 2, 3, 4, 5), manifest, "tampered", 2, starts[2]
    elsewhere, _ = whole(recording="ffeeddccbbaa0099", session="session-other")
    spliced = PREAMBLE + b"".join(blocks[:2] + elsewhere.blocks[2:])
    yield "spliced-across-sessions", spliced, manifest, "tampered", 2, starts[2]
    sibling, _ = whole(recording="ffeeddccbbaa0099")
    spliced = PREAMBLE + b"".join(blocks[:3] + sibling.blocks[3:])
    yield "spliced-within-a-session", spliced, manifest, "tampered", 3, starts[3]
    yield "filed-under-another-id", sibling.data(), None, "tampered", 6, len(sibling.data())

    resigned, other = whole(key=OTHER)
    yield "resigned", resigned.data(), other, "tampered", 6, len(resigned.data())
    stretched = body_of()
    late = stretched.manifest()
    stretched.add(record(5, 8500, canonical({"fields": {}, "name": "forged"})), record(7, 9000, late))
    yield "forged-in-the-manifests-block", stretched.data(), late, "tampered", 5, starts[5]
    behind, _ = whole()
    behind.add(record(5, 9500, canonical({"fields": {}, "name": "forged"})))
    yield "added-behind-the-end", behind.data(), manifest, "tampered", 6, starts[6]
    respelled = body_of()
    spaced = respelled.manifest().replace(b'"agent":"', b'"agent": "')
    respelled.add(record(7, 9000, spaced))
    yield "respelled-manifest", respelled.data(), None, "tampered", 5, starts[5]
    short = body_of()
    lying = short.manifest(records=short.records - 1)
    yield "manifest-that-does-not-fit", short.add(record(7, 9000, lying)).data(), lying, "tampered", 5, starts[5]

    abandoned = Made("00112233445566aa", "session-golden")
    abandoned.add(record(1, 0, canonical(abandoned.head)))
    abandoned.add(record(2, 1000, canonical(JUDGEMENT), 1), intent(1, 1000, "SELECT 1"))
    totals = {"denied": 0, "relayed_bytes": 0, "rows": 0, "statements": 1}
    done = abandoned.manifest(completed_by="finisher", reason="the writer was lost", totals=totals)
    abandoned.add(record(7, 1000, done))
    yield "completed-by-another", abandoned.data(), done, "intact", 3, len(abandoned.data())

    newer = bytearray(made.data())
    newer[9] = 3
    yield "newer-version", bytes(newer), manifest, "unreadable", 0, 0
    yield "no-recording", b"GIF89a" + bytes(40), None, "unreadable", 0, 0


def main():
    HERE.mkdir(exist_ok=True)
    table = ["# What each file is. Written by tests/tools/make_recordings.py; the keys are key.pem and key-p256.pem.\n"]
    for name, data, beside, answer, block, offset in vectors():
        (HERE / f"{name}.bwr").write_bytes(data)
        if beside is not None:
            (HERE / f"{name}.manifest.json").write_bytes(beside)
        table.append(f'[{name}]\nanswer = "{answer}"\nblock = {block}\noffset = {offset}\n')
    (HERE / "verdicts.toml").write_text("\n".join(table))
    for name, key in (("key", KEY), ("key-p256", P256)):
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (HERE / f"{name}.pem").write_bytes(pem)


if __name__ == "__main__":
    main()
