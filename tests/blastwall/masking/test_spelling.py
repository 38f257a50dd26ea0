"""Patterns that are made: a form for each country's bank accounts, and signs however they are written."""

from __future__ import annotations

import random
import string

import pytest

from blastwall.masking.checks import TABLE
from blastwall.masking.detectors import Tally, detectors
from blastwall.masking.spelling import pattern

SIGNS = {"n": string.digits, "a": string.ascii_uppercase, "c": string.digits + string.ascii_uppercase}


def iban(country: str, chance: random.Random) -> str:
    """One that ISO 13616 allows there."""
    parts = TABLE["iban"]["structures"][country].split()
    account = "".join(chance.choice(SIGNS[part[-1]]) for part in parts for _ in range(int(part[:-1])))
    worth = int("".join(str(int(sign, 36)) for sign in f"{account}{country}00"))
    return f"{country}{98 - worth % 97:02}{account}"


@pytest.mark.parametrize("country", sorted(TABLE["iban"]["structures"]))
def test_every_countrys_accounts_are_found_however_they_are_grouped(country: str) -> None:
    engine = detectors()
    assert engine is not None
    chance = random.Random(country)
    for _ in range(5):
        plain = iban(country, chance)
        fours = [plain[place : place + 4] for place in range(0, len(plain), 4)]
        for written in (plain, plain.lower(), " ".join(fours), "\u00a0".join(fours), "\u202f".join(fours)):
            text = f"to {written}, now".encode()
            assert engine.suspects(text, flags=False)
            assert engine.mask(text, Tally()) == b"to " + b"*" * len(written.encode()) + b", now"
        wrong = plain[:2] + f"{(int(plain[2:4]) + 1) % 97:02}" + plain[4:]
        assert engine.mask(wrong.encode(), Tally()) == wrong.encode()


@pytest.mark.parametrize("at", ["@", "%40", "\\u0040", "\\\\u0040", "&#64;", "&#x40;", "&#064;", "&commat;"])
def test_an_address_is_found_however_its_at_is_written(at: str) -> None:
    engine = detectors()
    assert engine is not None
    text = f'{{"to": "alice{at}mail.example.com"}}'.encode()
    assert engine.suspects(text, flags=False)
    assert engine.mask(text, Tally()) == b'{"to": "' + b"*" * (len(text) - 10) + b'"}'


def test_names_stand_for_what_the_table_says() -> None:
    assert pattern("a<dash>b") == b"a" + TABLE["spelled"]["dash"].encode("latin-1") + b"b"
    with pytest.raises(KeyError):
        pattern("<unheard>")
