"""Content detectors: what they find, what they must let pass, and that pieces of a value are one value."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from blastwall.masking.detectors import MOST_HELD, PHRASE, Detectors, Tally, detectors, kinds

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


# ------------------------------------------------------------ pieces

FILLER = st.sampled_from([" ", "\n", "x", "-", "1", '"', ",", "word ", "4", "@", "\\", "=", "AB12 ", "é"])
SOMETHING = st.sampled_from([value for values in [*VALUES.values(), *FLAGGED.values()] for value in values] + INNOCENT)
TEXTS = st.lists(st.one_of(FILLER, SOMETHING), max_size=30).map("".join)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[first:last] for first, last in pairwise(places)]


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.lists(st.integers(0, 10_000), max_size=12))
@example(f"aws_secret_access_key = {SECRET}" + " b" * 72, [])  # cut behind the word by which it is known
@example("x(415) 555-2671 " + "a" * 180, [])  # no telephone number: what is held must begin before the letter
def test_a_value_in_pieces_is_masked_as_if_it_came_whole(text: str, cuts: list[int]) -> None:
    engine = detectors()
    assert engine is not None
    data = text.encode()
    whole, parted = Tally(), Tally()
    stream = engine.stream(parted)
    out = b"".join([stream.feed(piece) for piece in pieces(data, cuts)]) + stream.finish()
    assert out == engine.mask(data, whole)
    assert parted == whole


def test_a_value_in_single_bytes_is_masked_as_if_it_came_whole(engine: Detectors) -> None:
    text = " and then ".join([*(v for values in VALUES.values() for v in values), *INNOCENT] * 2).encode()
    stream = engine.stream(Tally())
    out = [stream.feed(text[place : place + 1]) for place in range(len(text))]
    assert b"".join(out) + stream.finish() == engine.mask(text, Tally())


def test_what_is_held_back_is_bounded(engine: Detectors) -> None:
    stream = engine.stream(Tally())
    fed = out = most = 0
    for _ in range(300):
        fed += 1000
        out += len(stream.feed(b"x" * 1000))
        most = max(most, fed - out)
    assert most <= MOST_HELD + 1000
    assert out + len(stream.finish()) == fed
    calm = engine.stream(Tally())
    assert len(calm.feed(b"some words " * 1000)) >= 11_000 - PHRASE - 20


def test_a_key_longer_than_may_be_held_back_is_masked_to_its_end(engine: Detectors) -> None:
    body = base64.encodebytes(bytes(range(256)) * 1000).decode()
    text = f"before. -----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY-----".encode()
    stream = engine.stream(Tally())
    out = b"".join(stream.feed(text[place : place + 5000]) for place in range(0, len(text), 5000)) + stream.finish()
    assert out == b"before. " + b"*" * (len(text) - 8)
