"""Content detectors: what they find, and what they must let pass."""

from __future__ import annotations

import hashlib
import json
import sys
import uuid
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from blastwall.masking.detectors import Detectors, Tally, detectors, kinds

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nabc/def+x==\n-----END RSA PRIVATE KEY-----"
TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

VALUES = {
    "email": ["alice@example.com", "a.b+tag@mail.example.co.uk", "müller@exämple.de"],
    "card": ["4111111111111111", "4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005", "3782 822463 10005"],
    "ssn": ["078-05-1120", "899-99-9999"],
    "iban": ["DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19", "NO9386011117947"],
    "aws_access_key": ["AKIAIOSFODNN7EXAMPLE", "ASIAY34FZKBOKMUTVV7A"],
    "jwt": [TOKEN],
    "private_key": [PEM, PEM.replace("\n", "\\n"), PEM.replace("RSA ", "")],
}
FLAGGED = {
    "phone": ["+49 170 1234567", "(415) 555-2671", "+14155552671", "415-555-2671"],
    "high_entropy": ["sk_live_51H8aZbKq3dP9vXyTgRwUeFmN0qZ", "Zm9vYmFyMTIzNDU2Nzg5MGFiY0RlRkdISUprbE1O"],
}
INNOCENT = [
    "550e8400-e29b-41d4-a716-446655440000",  # a UUID
    "d41d8cd98f00b204e9800998ecf8427e",  # MD5
    hashlib.sha256(b"x").hexdigest().upper(),
    "2024-03-05 12:44:59.123456+00",
    "2024-03-05T12:44:59+02:00",
    "1712345678901234",  # microseconds since the epoch
    "1712345678901234567",  # nanoseconds
    "1541815603606036480",  # a snowflake id
    "4111111111111112",  # not by Luhn
    "0000000000000000",
    "123456789012345678901234567890",
    "3.4111111111111111",  # a fraction
    "000-12-3456",
    "666-12-3456",
    "900-12-3456",
    "123-45-67890",
    "1-123-45-6789",
    "DE00370400440532013000",  # not by its check digits
    "git@github.com:example/project.git",
    "logo@2x.png",
    "price @ 3.50 each",
    "10.0.0.1:5432",
    "+00:30",
    "192.168.100.200",
    "978-3-16-148410-0",  # an ISBN
    "/usr/share/doc/postgresql-common/README.Debian",
    "https://example.com/some/long/path/that/goes/on/and/on/for-a-while?page=2&sort=asc",
    "The quick brown fox jumps over the lazy dog near 1600 Pennsylvania Avenue, 20500.",
    "Lorem ipsum, 12.5 kg; order 2024-000123, batch 77-1234-99, 1 234 567 pieces",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "AKIAIOSFODNN7EXAMPL",
    "eyJub3QganNvbg.abcdef.ghijkl",
]


@pytest.fixture(scope="module")
def engine() -> Detectors:
    made = detectors()
    assert made is not None
    return made


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in VALUES.items() for value in values])
@pytest.mark.parametrize("around", ["{}", "see {}, please", '{{"a": "{}"}}', "({})", "a={};b", "\t{}\n"])
def test_a_value_is_masked_and_nothing_beside_it(engine: Detectors, kind: str, value: str, around: str) -> None:
    tally = Tally()
    masked = engine.mask(around.format(value).encode(), tally)
    assert masked == around.format("*" * len(value.encode())).encode()
    assert tally.masked == {kind: 1}


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in FLAGGED.items() for value in values])
def test_a_noisy_kind_is_noted_and_passes(engine: Detectors, kind: str, value: str) -> None:
    tally = Tally()
    text = f"call {value} now".encode()
    assert engine.mask(text, tally) is text
    assert tally.flagged == {kind: 1}
    assert not tally.masked


@pytest.mark.parametrize("text", INNOCENT)
def test_what_only_looks_like_one_passes(engine: Detectors, text: str) -> None:
    tally = Tally()
    assert engine.mask(text.encode(), tally) == text.encode()
    assert not tally.masked
    assert not tally.flagged


def test_generated_uuids_hashes_and_ids_pass(engine: Detectors) -> None:
    """Ten thousand of each: a false positive every some thousand rows would make a table unusable."""
    tally = Tally()
    for number in range(10_000):
        digest = hashlib.sha256(str(number).encode())
        row = f"{uuid.UUID(bytes=digest.digest()[:16])} {digest.hexdigest()} {number * 7919} 2024-01-01T00:{number % 60:02}:00Z"
        engine.mask(row.encode(), tally)
    assert not tally.masked
    assert not tally.flagged


def test_a_secret_key_is_known_by_the_word_before_it(engine: Detectors) -> None:
    tally = Tally()
    text = f'{{"aws_secret_access_key": "{SECRET}", "other": "{SECRET}"}}'.encode()
    masked = engine.mask(text, tally)
    assert masked.count(SECRET.encode()) == 1
    assert masked.startswith(b'{"aws_secret_access_key": "****')
    assert tally.masked == {"aws_secret_key": 1}


@pytest.mark.parametrize("before", ["AWS_SECRET_ACCESS_KEY=", "secret=", 'secret="', "secret: ", "secretAccessKey => "])
def test_a_secret_key_is_known_however_the_word_before_it_is_joined(engine: Detectors, before: str) -> None:
    assert engine.mask(f"{before}{SECRET}\n".encode(), Tally()) == f"{before}{'*' * 40}\n".encode()
    assert engine.mask(f"{before}{SECRET}=\n".encode(), Tally()) == f"{before}{SECRET}=\n".encode()


def test_values_that_stand_side_by_side_are_each_found(engine: Detectors) -> None:
    for values in VALUES.values():
        for one in values:
            for other in values:
                if "\n" not in one + other and not one.startswith("-----"):
                    told = engine.mask(f"{one} {other} .".encode(), Tally()).decode()
                    assert other not in told and one not in told, (one, other, told)


def test_json_stays_json(engine: Detectors) -> None:
    document = json.dumps(
        {"card": 4111111111111111, "text": 'a "4111111111111111" \\', "list": [4111111111111111, 1.5], "key": PEM}
    )
    masked = engine.mask(document.encode(), Tally(), True)
    assert len(masked) == len(document)
    read = json.loads(masked)
    assert read["card"] == "*" * 14
    assert read["list"] == ["*" * 14, 1.5]
    assert read["text"] == 'a "****************" \\'
    assert set(read["key"]) == {"*"}


def test_bytea_as_text_is_looked_into_and_stays_bytea(engine: Detectors) -> None:
    tally = Tally()
    masked = engine.mask(b"\\x" + b"\x00\xff alice@example.com\x01".hex().encode(), tally)
    assert bytes.fromhex(masked[2:].decode()) == b"\x00\xff " + b"*" * 17 + b"\x01"
    assert tally.masked == {"email": 1}


def test_a_value_behind_one_that_only_looks_like_one_is_found(engine: Detectors) -> None:
    text = b"AB12 CDEF GHIJ KL DE89 3704 0044 0532 0130 00"
    assert engine.mask(text, Tally()) == b"AB12 CDEF GHIJ KL " + b"*" * 27


def test_suspicion_misses_nothing_whatever_stands_beside_the_value(engine: Detectors) -> None:
    """The gate reads wire frames: a length byte that is a digit or a letter must not hide what follows it."""
    for values in VALUES.values():
        for value in values:
            for beside in range(256):
                data = b"\0\0\0" + bytes([beside]) + value.encode() + b"\0\0\0" + bytes([beside])
                assert engine.suspects(data), (value, beside)
                assert engine.suspects(data, flags=False)
                assert all(4 <= place < 4 + len(value.encode()) for place in engine.suspects(data, flags=False))


def test_modes() -> None:
    assert detectors("off") is None
    flagging = detectors("flag")
    assert flagging is not None
    assert set(flagging.modes.values()) == {"flag"}
    assert not flagging.suspects(b"alice@example.com", flags=False)
    tally = Tally()
    assert flagging.mask(b"alice@example.com", tally) == b"alice@example.com"
    assert tally.flagged == {"email": 1}
    single = detectors("off", {"phone": "mask"})
    assert single is not None
    assert single.mask(b"+14155552671 a@b.example", Tally()) == b"************ a@b.example"
    assert detectors("mask", {"phone": "mask"}) is not detectors("mask")
    assert detectors("mask") is detectors("mask"), "one automaton for all sessions of a target"
    assert detectors("mask", dict.fromkeys(kinds(), "off")) is None


@pytest.mark.parametrize(
    ("mode", "some", "told"),
    [("maks", {}, "mask, flag or off"), ("mask", {"emial": "mask"}, "emial"), ("mask", {"email": "on"}, "email")],
)
def test_bad_settings_are_told(mode: str, some: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        detectors(mode, some)


#: What there is most to do for: values side by side, what almost is one, and where one kind hides in another.
DENSE = [
    "GB82", "GB82 ", "MD82", "MD82 ", "NO9386011117948", "DE89370400440532013000 ", "AA11", "4111 ", "4111", "4-", "4111111111111111,",
    "4111111111111112 ", "4111.1111.1111.1111 ", "４", "123-45-6789 ", "123-45-6789-", "a@b.co ", "a@a.", "a%40a.", "eyJ", "eyJaaaaaaaa.",
    "eyJhbGciOiJIUzI1NiJ9.aaaa. ", "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----_", "secret=" + "aB1/" * 10 + '"', "secret",
    "+14155552671 ", "415-555-", "aB1/" * 8 + " ", "a@b.co +14155552671 ", "\\x61406162636465 ", '{"a": 4111111111111111} ',
]  # fmt: skip


def lines(work: Callable[[], object]) -> int:
    """How many lines of the detectors and their checks run."""
    count = 0

    def counted(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        if "masking" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return counted

    before = sys.gettrace()
    sys.settrace(counted)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("unit", DENSE)
@pytest.mark.parametrize("document", [False, True])
def test_work_grows_with_the_text_and_no_faster(engine: Detectors, unit: str, document: bool) -> None:
    short = (unit.encode() * 3000)[:3000]
    engine.mask(short, Tally(), document)  # tables are made once
    some = lines(lambda: engine.mask(short, Tally(), document))
    twice = lines(lambda: engine.mask(short * 2, Tally(), document))
    assert twice <= 2.2 * some + 200
    assert twice <= 10 * len(short) * 2
