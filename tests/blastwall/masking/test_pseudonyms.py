"""Hash and fake: deterministic, keyed, of the type's form, and without the value in them."""

from __future__ import annotations

import uuid

import pytest

from blastwall.masking.plan import Mask, Predicates, Strategy
from blastwall.masking.pseudonyms import pseudonym

KEY, OTHER = b"k" * 32, b"o" * 32
TEXT, UUID, INT2, INT4, INT8 = 25, 2950, 21, 23, 20


def mask(strategy: Strategy, type_oid: int = TEXT, length: int = 0) -> Mask:
    return Mask("public.t.c", strategy, Predicates.DENY, "", "masking.yaml:1", type_oid, length)


HASH, FAKE = mask(Strategy.HASH), mask(Strategy.FAKE)


@pytest.mark.parametrize("way", [HASH, FAKE])
@pytest.mark.parametrize("text", ["ann@mail.example", "123-45-6789", "Zoë", "x" * 70_000, "\ud800"])
def test_equal_values_stay_equal_and_others_differ(way: Mask, text: str) -> None:
    shown = pseudonym(way, text, KEY)
    assert shown == pseudonym(way, text, KEY) != text
    assert shown != pseudonym(way, text, OTHER)
    assert shown != pseudonym(way, text + "1", KEY)


def test_a_hash_has_a_mark_and_fits_its_column() -> None:
    assert pseudonym(HASH, "ann@mail.example", KEY) == "hash:" + pseudonym(HASH, "ann@mail.example", KEY)[5:]
    assert len(pseudonym(HASH, "", KEY)) == 29
    assert len(pseudonym(mask(Strategy.HASH, 1043, 9), "ann@mail.example", KEY)) == 9
    assert len(pseudonym(mask(Strategy.HASH, 1043, 29), "ann@mail.example", KEY)) == 29


def test_a_fake_has_the_same_form() -> None:
    original = "Ann.O'Neil-07@mail.example (+1 202)"
    fake = pseudonym(FAKE, original, KEY)
    assert len(fake) == len(original)
    for one, other in zip(original, fake, strict=True):
        assert (one.isupper(), one.islower(), one.isdigit()) == (other.isupper(), other.islower(), other.isdigit())
        assert one.isalnum() or one == other
    assert not {part for part in ("Ann", "Neil", "mail", "example") if part in fake}
    beyond = pseudonym(FAKE, "Zoë Ünal ١٢ 山 ®", KEY)
    assert beyond.isascii() and beyond[0].isupper() and beyond[9:11].isdigit() and beyond[12].islower()


def test_the_two_have_nothing_to_do_with_each_other() -> None:
    number = mask(Strategy.FAKE, INT4), mask(Strategy.HASH, INT4)
    assert pseudonym(number[0], "123456789", KEY) != pseudonym(number[1], "123456789", KEY)


@pytest.mark.parametrize(
    ("type_oid", "values"),
    [
        (INT2, (0, 7, -7, 32767, -32768)),
        (INT4, (0, 42, 2147483647, -2147483648)),
        (INT8, (1, 10**18, 9223372036854775807, -9223372036854775808)),
    ],
)
def test_numbers_stay_in_their_type(type_oid: int, values: tuple[int, ...]) -> None:
    most = {INT2: 32767, INT4: 2147483647, INT8: 9223372036854775807}[type_oid]
    for value in values:
        hashed = int(pseudonym(mask(Strategy.HASH, type_oid), str(value), KEY))
        assert 0 <= hashed <= most
        fake = int(pseudonym(mask(Strategy.FAKE, type_oid), str(value), KEY))
        assert -most <= fake <= most and (fake < 0) == (value < 0)
        if abs(value) < most // 10:
            assert len(str(abs(fake))) == len(str(abs(value)))


def test_a_uuid_becomes_one_however_it_is_written() -> None:
    text = "7b4a2c9e-3f0d-4c47-9d2a-4f8f2f0e1a11"
    for strategy in (Strategy.HASH, Strategy.FAKE):
        shown = pseudonym(mask(strategy, UUID), text, KEY)
        assert uuid.UUID(shown).version == 8 and shown != text
        assert pseudonym(mask(strategy, UUID), "{" + text.upper() + "}", KEY) == shown


def test_what_is_no_value_of_the_type_or_not_for_the_sink_is_refused() -> None:
    for type_oid in (UUID, INT4):
        with pytest.raises(ValueError):
            pseudonym(mask(Strategy.HASH, type_oid), "ann", KEY)
    with pytest.raises(ValueError, match="not masked at the sink"):
        pseudonym(mask(Strategy.REDACT), "ann", KEY)


def test_many_values_many_pseudonyms() -> None:
    assert len({pseudonym(FAKE, f"customer{number:04}@mail.example", KEY) for number in range(2000)}) == 2000
    drawn = "".join(pseudonym(FAKE, f"{number:09}", KEY) for number in range(500))
    assert max(drawn.count(digit) for digit in "0123456789") < 550  # 450 expected of each
