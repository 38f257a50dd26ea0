"""Values that come in pieces are one value, wherever they are cut and however long what stands around them is."""

from __future__ import annotations

import base64
import random
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from blastwall.masking.detectors import Detectors, Tally, detectors
from blastwall.masking.streams import MOST_HELD, PHRASE, Stream

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nabc/def+x==\n-----END RSA PRIVATE KEY-----"
TOKEN = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
VALUES = [
    "alice@example.com", "müller@exämple.de", "alice%40example.com", "alice\\u0040example.com", "alice&#64;example.com",
    "4111111111111111", "5500-0000-0000-0004", "3782 822463 10005", "4111.1111.1111.1111", "4111\u00a01111\u00a01111\u00a01111",
    "078-05-1120", "DE89370400440532013000", "gb29 nwbk 6016 1331 9268 19", "AKIAIOSFODNN7EXAMPLE", TOKEN, PEM,
    PEM.replace("\n", "\\n"), PEM.partition("-----END")[0], "\\x" + b"alice@example.com".hex(), f"secret_key = {SECRET}",
]  # fmt: skip
NOTED = ["+49 170 1234567", "(415) 555-2671", "sk_live_51H8aZbKq3dP9vXyTgRwUeFmN0qZ"]
HARMLESS = [
    "1541815603606036480",
    "git@github.com:example/project.git",
    "3.4111111111111111",
    "-----BEGIN CERTIFICATE-----\nMIIB\n",
]
FILLER = [" ", "\n", "x", "-", "1", '"', ",", "word ", "4", "@", "\\", "=", "AB12 ", "é", "_", "-----", "key: "]
TEXTS = st.lists(st.sampled_from([*FILLER, *VALUES, *NOTED, *HARMLESS]), max_size=30).map("".join)


@pytest.fixture(scope="module")
def engine() -> Detectors:
    made = detectors()
    assert made is not None
    return made


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[first:last] for first, last in pairwise(places)]


def passed(engine: Detectors, parts: list[bytes], tally: Tally | None = None) -> bytes:
    stream = Stream(engine, tally or Tally())
    return b"".join([stream.feed(part) for part in parts]) + stream.finish()


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.lists(st.integers(0, 10_000), max_size=12))
@example(f"aws_secret_access_key = {SECRET}" + " b" * 72, [])  # cut behind the word by which it is known
@example("x(415) 555-2671 " + "a" * 180, [])  # no telephone number: what is held must begin before the letter
@example(PEM.partition("-----END")[0] + "alice@example.com", [100])  # a value that begins in another's open end
def test_a_value_in_pieces_is_masked_as_if_it_came_whole(text: str, cuts: list[int]) -> None:
    engine = detectors()
    assert engine is not None
    data = text.encode()
    whole, parted = Tally(), Tally()
    assert passed(engine, pieces(data, cuts), parted) == engine.mask(data, whole)
    assert parted == whole


def test_a_value_in_single_bytes_is_masked_as_if_it_came_whole(engine: Detectors) -> None:
    text = " and then ".join([*VALUES, *NOTED, *HARMLESS] * 2).encode()
    parts = [text[place : place + 1] for place in range(len(text))]
    assert passed(engine, parts) == engine.mask(text, Tally())


#: Around these sizes of what stands before a value a stream behaves differently.
SIZES = [0, 1, PHRASE - 60, PHRASE, MOST_HELD - PHRASE, MOST_HELD - 40, MOST_HELD + 40]
BEFORE = [b"word ", b"x", b"x=", b"4111 ", b"-", b"GB82 ", b"\\"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("before", BEFORE)
def test_no_border_lets_a_value_through(engine: Detectors, size: int, before: bytes) -> None:
    """Cut at places near the value, behind so much of something that is looked at, or held back."""
    chance = random.Random(size)
    for value in VALUES:
        secret = value.encode()
        blank = chance.choice((b" ", b"\n", b'"'))
        data = (before * (size // len(before) + 1))[:size] + blank + secret + blank + b"and more " * 30
        cuts = [size + 1 + chance.randint(-3, len(secret) + 3) for _ in range(2)]
        out = passed(engine, pieces(data, cuts))
        assert len(out) == len(data)
        kept = secret[len(secret) // 4 :] if b"cret_" not in secret else secret[-30:]
        assert kept not in out, (value, cuts)


@pytest.mark.parametrize("length", [100, 12_000, 70_000])
@pytest.mark.parametrize("behind", [b"", b"_", b'", "b": 1}', b"\n" + b"word " * 60, b"\\\\\\\\\\\\\\\\\\"])
def test_a_private_key_of_any_length_is_masked_to_its_end(engine: Detectors, length: int, behind: bytes) -> None:
    body = base64.encodebytes(random.Random(length).randbytes(length)).strip()
    head, end = b'"before": "-----BEGIN PRIVATE KEY-----\n', b"\n-----END PRIVATE KEY-----"
    for ending in (end, b""):
        data = head + body + ending + behind
        whole = Tally()
        expected = engine.mask(data, whole)
        assert body[:60] not in expected
        for size in (len(data), 70_001, 5_000):
            parted = Tally()
            parts = [data[place : place + size] for place in range(0, len(data), size)]
            assert passed(engine, parts, parted) == expected, (ending, size)
            assert parted.masked == whole.masked


def test_what_is_held_back_is_bounded(engine: Detectors) -> None:
    stream = Stream(engine, Tally())
    fed = out = most = 0
    for _ in range(300):
        fed += 1000
        out += len(stream.feed(b"x" * 1000))
        most = max(most, fed - out)
    assert most <= MOST_HELD + 1000
    assert out + len(stream.finish()) == fed
    calm = Stream(engine, Tally())
    assert len(calm.feed(b"some words " * 1000)) >= 11_000 - PHRASE - 20


def test_what_is_held_is_not_looked_through_with_every_byte(engine: Detectors, monkeypatch: pytest.MonkeyPatch) -> None:
    """A word of 16 KiB in single bytes, and a key of which nothing needs to be held."""
    looked = 0
    scan = Detectors.scan

    def counted(self: Detectors, text: bytes, before: bytes = b"") -> object:
        nonlocal looked
        looked += len(text)
        return scan(self, text, before)

    monkeypatch.setattr(Detectors, "scan", counted)
    for data in (b"x" * (MOST_HELD - 1), b"-----BEGIN PRIVATE KEY-----\n" + b"GB82 MD24 4111 " * 1000):
        looked = 0
        passed(engine, [data[place : place + 1] for place in range(len(data))])
        assert looked < 4 * len(data)
