"""What has the last word on a value that looks like one: check digits, groups, spread."""

from __future__ import annotations

import random
import string

import pytest

from blastwall.masking.checks import CHECKS, luhn


def spans(check: str, text: str) -> list[str]:
    data = text.encode()
    return [data[first:last].decode() for first, last in CHECKS[check](data, 0, len(data))]


def test_luhn() -> None:
    assert luhn(b"79927398713")
    assert not any(luhn(b"7992739871%d" % digit) for digit in range(10) if digit != 3)


@pytest.mark.parametrize(
    ("run", "found"),
    [
        ("12 4111 1111 1111 1111 99", ["4111 1111 1111 1111"]),
        ("4111 1111-1111 1111", []),
        ("41111111 11111111", []),
        ("4111111111111111 5500000000000004", ["4111111111111111", "5500000000000004"]),
        ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", []),
        ("6011000990139424", ["6011000990139424"]),
        ("7111111111111117", []),
        ("4111.1111.1111.1111", ["4111.1111.1111.1111"]),
        ("4111\u20131111\u20131111\u20131111", ["4111\u20131111\u20131111\u20131111"]),
        ("4111\u00a01111 1111\u00a01111", []),
        ("４１１１１１１１１１１１１１１１", ["４１１１１１１１１１１１１１１１"]),
    ],
)
def test_cards_are_grouped_as_people_group_them(run: str, found: list[str]) -> None:
    assert spans("cards", run) == found


def test_few_random_numbers_are_cards() -> None:
    """Luhn lets one in ten pass, the networks' prefixes about four in ten: numbers belong into numeric columns."""
    chance = random.Random(7)
    found = sum(bool(spans("cards", str(chance.randrange(10**15, 10**16)))) for _ in range(5_000))
    assert found < 5_000 * 0.06


def test_most_random_tokens_are_and_no_words_are() -> None:
    chance = random.Random(7)
    alphabet = string.ascii_letters + string.digits
    tokens = ["".join(chance.choices(alphabet, k=40)) for _ in range(500)]
    assert sum(bool(spans("random_token", token)) for token in tokens) > 480
    words = [
        "thisIsALongCamelCaseIdentifierNumber1",
        "Some_Snake_Case_Name_2_With_Words_In",
        "0123456789abcdefABCDEF" * 2,
    ]
    assert not any(spans("random_token", word) for word in words)


def test_an_iban_is_one_modulo_97() -> None:
    assert spans("iban", "DE89 3704 0044 0532 0130 00") == ["DE89 3704 0044 0532 0130 00"]
    assert spans("iban", "gb29\u00a0NWBK60161331926819") == ["gb29\u00a0NWBK60161331926819"]
    assert not spans("iban", "DE88370400440532013000")
