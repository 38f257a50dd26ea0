#!/usr/bin/env python3
"""Verify a Blastwall recording without Blastwall.

    verify_recording.py RECORDING.bwr --key recording.pub

A second implementation, written from docs/recording-format.md and from nothing else: it shares no code with the program
that writes recordings. It needs Python 3.11, and the packages `zstandard` and `cryptography`.

It says one of

    intact      every block is what was written, and a key you trust signed the end of it
    unsigned    the same, but nobody signed it, or you gave no key to check the signature with
    truncated   the file just stops, as when its writer was killed: what is there is an intact beginning
    tampered    anything else: block and byte up to which the file still is what was written
    unreadable  this is no recording, or one of a newer format version

and leaves with 0 for intact, 1 for unsigned, truncated and tampered, 2 for unreadable.
"""

import argparse
import base64
import binascii
import hashlib
import json
import struct
import sys
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import zstandard
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

VERSION = 2
MAGIC = bytes.fromhex("8942 5752 0D0A 1A0A")
MIB = 1 << 20
HEADER, MANIFEST, MARK, CHECKPOINT = 1, 7, 8, 9  # record types; the others are not looked into
Keys = list[tuple[str, Any]]  # name and key, as load_key gives them
Place = tuple[int, int, int, bytes]  # blocks, bytes and records before a block, and the chain there
EXIT = {"intact": 0, "unsigned": 1, "truncated": 1, "tampered": 1, "unreadable": 2}


class Answer(Exception):
    """What was found: ``answer``, why, and how far the file is what was written."""

    def __init__(self, answer: str, why: str, block: int = 0, offset: int = 0, records: int = 0) -> None:
        super().__init__(f"{answer}: {why}")
        self.answer, self.why, self.block, self.offset, self.records = answer, why, block, offset, records
        self.completed_by, self.proven = "", 0


class Damage(Exception):
    """A block that is not what was written."""


class Stop(Exception):
    """The file ends inside a block."""


class File:
    """The walk over one file: how far it got, and what has to be remembered on the way."""

    def __init__(self, source: BinaryIO, version: int, keys: Keys) -> None:
        self.source = source
        self.version = version
        self.keys = keys
        self.offset = 16  # where the next block begins
        self.blocks = 0
        self.records = 0
        self.latest = 0  # the time of the last record
        self.header: dict[str, Any] | None = None
        self.session = b""
        self.chain = b""
        self.manifest: bytes | None = None
        self.mark: Place | None = None  # what the next checkpoint speaks of
        self.proven = 0  # bytes that a checkpoint with a trusted signature speaks of

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (more := self.source.read(size - len(data))):
            data += more
        return data

    def next_block(self) -> bool:
        """Walk over one block; False at the end of the file."""
        head = self.read(56)
        if not head:
            return False
        if not any(head) and self.only_zeros_follow():
            raise Stop("zeros that were never written stand at the end")
        if len(head) < 56:
            raise Stop("the file ends inside the head of a block")
        flags, stored, raw, sequence = struct.unpack(">IIIQ", head[:20])
        chain, (check,) = head[20:52], struct.unpack(">I", head[52:])
        if zlib.crc32(head[:52]) != check:
            raise Damage("the head of a block is damaged")
        if flags not in (0, 1) or stored > 64 * MIB or raw > 64 * MIB or (flags == 0 and stored != raw):
            raise Damage("the head of a block says what no writer says")
        payload = self.read(stored)
        if len(payload) < stored:
            raise Stop("the file ends inside a block")
        packed, payload = payload, unpacked(payload, raw) if flags else payload
        if self.header is None:
            self.begin(payload)
        link = hashlib.sha256(self.chain + self.session + head[:20] + packed).digest()
        if link != chain:
            raise Damage("the chain is broken: this is not the block that was written here")
        if sequence != self.records:
            raise Damage("records are missing before this block")
        count, latest = self.walk(payload)
        self.chain = link
        self.blocks += 1
        self.records += count
        self.latest = latest
        self.offset += 56 + stored
        return True

    def begin(self, payload: bytes) -> None:
        """The first record is the header: it says whose recording this is, which the chain begins with."""
        length, kind, body = 0, 0, b""
        if len(payload) >= 18:
            length, kind = struct.unpack(">IB", payload[:5])
            body = payload[18 : 18 + length]
        if kind != HEADER or len(body) < length:
            raise Damage("the first record is not the header")
        header = parsed(body)
        started = header.get("started_at")
        if not all(isinstance(header.get(name), str) for name in ("recording", "session", "protocol")):
            raise Damage("the header is damaged")
        if not all(isinstance(header.get(name), dict) for name in ("principal", "target")):
            raise Damage("the header is damaged")
        if isinstance(started, bool) or not isinstance(started, int | float) or not 0 <= started < 1e11:
            raise Damage("the header is damaged")
        try:
            recording, session = header["recording"].encode(), header["session"].encode()
            header["protocol"].encode()
            self.session = struct.pack(">H", len(session)) + session
        except (UnicodeEncodeError, struct.error) as error:
            raise Damage("the header is damaged") from error
        preamble = MAGIC + struct.pack(">HHI", self.version, 0, 0)
        self.chain = hashlib.sha256(b"blastwall recording chain 1\0" + preamble + recording).digest()
        self.header = header

    def walk(self, payload: bytes) -> tuple[int, int]:
        """Check the heads of a block's records, and remember the manifest. Returns their number and the last's time."""
        position, count, latest = 0, 0, self.latest
        if self.manifest is not None:
            raise Damage("something was added after the end")
        here = (self.blocks, self.offset, self.records, self.chain)
        looked_at: list[tuple[int, bytes]] = []
        while position < len(payload):
            if len(payload) - position < 18:
                raise Damage("the head of a record runs over its block")
            length, kind, flags, statement, at = struct.unpack_from(">IBBIQ", payload, position)
            body = memoryview(payload)[position + 18 : position + 18 + length]
            if len(body) < length:
                raise Damage("a record runs over its block")
            if at < latest:
                raise Damage("a record is older than the one before it")
            if (kind == HEADER) != (self.records + count == 0):
                raise Damage("the header is the first record, and only that")
            if kind == MANIFEST and (length + 18 != len(payload) or flags or statement):
                raise Damage("the manifest is not alone in its block")
            if kind == MANIFEST or (kind in (MARK, CHECKPOINT) and self.version >= 2):
                looked_at.append((kind, bytes(body)))
            position, count, latest = position + 18 + length, count + 1, at
        for kind, said in looked_at:
            if kind == MARK:
                self.mark = here
            elif kind == CHECKPOINT:
                self.check_checkpoint(said)
            else:
                self.compare("manifest", said, here, "format recording session connection protocol started_at")
                self.manifest = said
        return count, latest

    def check_checkpoint(self, body: bytes) -> None:
        """A checkpoint speaks of what stands before the last mark's block; whoever signs one vouches for that."""
        if self.mark is None:
            raise Damage("a checkpoint speaks of no mark")
        self.compare("checkpoint", body, self.mark, "format recording session")
        if self.keys:
            wrong = signed_by(body, self.keys)
            if wrong:
                raise Damage(f"a checkpoint cannot be trusted: {wrong}")
            self.proven = self.mark[1]
        self.mark = None

    def compare(self, what: str, body: bytes, place: Place, names: str) -> None:
        """A manifest or checkpoint says of a place, and of the header's fields, exactly what is there."""
        said = parsed(body)
        if canonical(said) != body:
            raise Damage(f"the {what} is not written the canonical way")
        assert self.header is not None
        expected: dict[str, Any] = {name: self.header.get(name) for name in names.split()}
        expected |= {"blocks": place[0], "length": place[1], "records": place[2], "chain": place[3].hex()}
        for name, value in expected.items():
            if name not in said or canonical(said[name]) != canonical(value):
                raise Damage(f"the {what}'s {name} does not fit the file")

    def only_zeros_follow(self) -> bool:
        while data := self.source.read(MIB):
            if any(data):
                return False
        return True


def parsed(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise Damage("JSON was expected here") from error
    if not isinstance(value, dict):
        raise Damage("a JSON object was expected here")
    return value


def canonical(value: object) -> bytes:
    """Names sorted, no spaces, ASCII; numbers as Python writes them."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def unpacked(stored: bytes, raw: int) -> bytes:
    """One zstd frame that states its own size, and nothing behind it."""
    try:
        if zstandard.get_frame_parameters(stored).content_size != raw:
            raise Damage("a compressed block has another length than its head says")
        return zstandard.ZstdDecompressor().decompress(stored, max_output_size=raw, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Damage("a compressed block does not unpack") from error


def signed_by(body: bytes, keys: Keys) -> str | None:
    """None when one of the keys signed the manifest (or checkpoint), else what is wrong with its signature.

    What was signed is the manifest without its signature: the bytes of the body, with `"signature":"...",` cut out.
    """
    manifest = parsed(body)
    key = dict(keys).get(str(manifest.get("key")))
    if key is None:
        return f"it is signed with the key {manifest.get('key')!r}, which was not given"
    if manifest.get("algorithm") != ("Ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else "ECDSA-P256-SHA256"):
        return "it names another algorithm than its key is for"
    member = b'"signature":' + canonical(manifest.get("signature")) + b","
    signed = body.replace(member, b"", 1)
    try:
        signature = base64.b64decode(str(manifest.get("signature")), validate=True)
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, signed)
        else:
            key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, binascii.Error, ValueError):
        return "its signature does not fit what it says"
    return None


def load_key(pem: bytes) -> tuple[str, Any]:
    """A public key and its name: 16 hexadecimal digits of the SHA-256 of its bytes, 32 (Ed25519) or 65 (P-256)."""
    key = serialization.load_pem_public_key(pem)
    if isinstance(key, ed25519.Ed25519PublicKey):
        raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        raw = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    else:
        raise TypeError("recordings are signed with Ed25519 or ECDSA on P-256; this is another kind of key")
    return hashlib.sha256(raw).hexdigest()[:16], key


def verify(source: BinaryIO, keys: Keys, beside: bytes | None = None, name: str | None = None) -> Answer:
    """What is to be said of the recording in ``source``.

    ``keys`` are from :func:`load_key`; ``beside`` is the manifest in the file beside it, if there is one; ``name`` is
    the id the recording is filed under, if that is known.
    """
    preamble = b""
    while len(preamble) < 16 and (more := source.read(16 - len(preamble))):
        preamble += more
    if not (MAGIC.startswith(preamble) or preamble.startswith(MAGIC)):
        return Answer("unreadable", "this is no recording: it does not begin as one")
    if len(preamble) < 16:
        if beside is not None:
            return Answer("tampered", "the recording was finished, and all of it has been cut off")
        return Answer("truncated", "the file ends before anything was recorded")
    version, *reserved = struct.unpack(">HHI", preamble[8:])
    if version > VERSION:
        return Answer(
            "unreadable", f"its format is version {version}, and this program reads {VERSION}: get a newer one"
        )
    if version < 1 or any(reserved):
        return Answer("unreadable", "its preamble is damaged")

    file = File(source, version, keys)
    stopped = ""
    damaged = ""
    try:
        while file.next_block():
            pass
    except Stop as stop:
        stopped = str(stop)
    except Damage as damage:
        damaged = str(damage)

    def answer(word: str, why: str) -> Answer:
        found = Answer(word, why, file.blocks, file.offset, file.records)
        found.proven = file.offset if word == "intact" else file.proven
        if file.manifest is not None:
            found.completed_by = str(parsed(file.manifest).get("completed_by", ""))
        return found

    recording = file.header["recording"] if file.header else None
    if damaged:
        return answer("tampered", damaged)
    if name is not None and recording is not None and name != recording:
        return answer("tampered", f"this is the recording {recording!r}, filed as {name!r}")
    if file.manifest is None:
        if beside is not None:
            return answer("tampered", "the recording was finished, and its end has been cut off")
        return answer("truncated", stopped or "the file stops without an end")
    if stopped:
        return answer("tampered", "something was added after the end")
    if beside is not None and beside != file.manifest:
        return answer("tampered", "the manifest beside the recording is not the one in it")
    if not parsed(file.manifest).get("signature"):
        return answer("unsigned", "the recording is whole, and nobody signed it")
    if not keys:
        return answer("unsigned", "the recording is whole; its signature was not checked, for want of a key")
    wrong = signed_by(file.manifest, keys)
    if wrong:
        return answer("tampered", f"the manifest cannot be trusted: {wrong}")
    return answer("intact", "every block is what was written, and a key you trust signed its end")


def main() -> int:
    parser = argparse.ArgumentParser(description="Verify a Blastwall recording without Blastwall.")
    parser.add_argument("file", type=Path, help="the recording (ID.bwr)")
    parser.add_argument("--key", type=Path, action="append", default=[], help="a public key to trust (PEM)")
    parser.add_argument("--manifest", type=Path, help="the manifest beside it [default: ID.manifest.json, if there]")
    parser.add_argument("--renamed", action="store_true", help="the file's name is not the recording's id")
    arguments = parser.parse_args()
    path: Path = arguments.file
    try:
        keys = [load_key(file.read_bytes()) for file in arguments.key]
        manifest = arguments.manifest or path.with_name(path.name.removesuffix(".bwr") + ".manifest.json")
        beside = manifest.read_bytes() if arguments.manifest or manifest.exists() else None
        with path.open("rb") as source:
            name = None if arguments.renamed else path.name.removesuffix(".bwr")
            found = verify(source, keys, beside, name)
    except (OSError, TypeError, ValueError, UnsupportedAlgorithm) as error:
        print(f"unreadable: {error}", file=sys.stderr)
        return 2
    print(ascii(f"{path}: {found}")[1:-1])
    if found.answer in ("truncated", "tampered"):
        print(f"  whole up to block {found.block} at byte {found.offset} ({found.records} records)")
    if found.proven and found.answer != "intact":
        print(f"  a key you trust signed the first {found.proven} bytes")
    if found.completed_by:
        print(ascii(f"  its end was written by another: {found.completed_by}")[1:-1])
    return EXIT[found.answer]


if __name__ == "__main__":
    sys.exit(main())
