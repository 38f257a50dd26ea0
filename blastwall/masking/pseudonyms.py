"""Strategies at the sink: hash and fake. Pure; the key is an argument and never reaches the database.

Both are deterministic under one key: equal values get equal pseudonyms, in every column of a target, and that is what
they give away (equality; and to whoever can guess a value and has the key, the value). Neither can be turned back.
HMAC: RFC 2104, with SHA-256.
"""

from __future__ import annotations

import hmac
import re
import string
import struct
from collections.abc import Mapping
from hashlib import shake_256
from typing import Final

from blastwall.masking.plan import Mask, Strategy

HASH_MARK: Final = "hash:"
DIGITS: Final = 24  # hexadecimal, of a hashed text: 96 bits

UUID: Final = 2950
INTEGER_DIGITS: Final[Mapping[int, int]] = {21: 4, 23: 9, 20: 18}  # oid of the type to the digits it always holds

_UUID_FORM: Final = re.compile(r"[-{}]")  # how it is written does not matter (uuid_in)
_VERSION_8: Final = 0x8 << 76, 0xF << 76  # RFC 9562: a version for whatever is not one of the others
_VARIANT: Final = 0b10 << 62, 0b11 << 62


def pseudonym(mask: Mask, text: str, key: bytes) -> str:
    """What is shown in place of ``text``, the value as PostgreSQL writes it; of a form that the column's type takes.

    Raises ValueError for a mask that is not at the sink, and for a text that is no value of its type.
    """
    if not mask.at_sink:
        raise ValueError(f"{mask.column} is not masked at the sink")
    if mask.type_oid == UUID:
        digits = _UUID_FORM.sub("", text.strip().lower())
        if len(digits) != 32 or not set(digits) <= set(string.hexdigits):
            raise ValueError("not a UUID")
        return _uuid(mask.strategy, digits, key)
    if mask.type_oid in INTEGER_DIGITS:
        return _integer(mask, int(text), key)
    if mask.strategy is Strategy.HASH:
        return _hashed(text, mask.length, key)
    return _faked(text, key)


def _hashed(text: str, length: int, key: bytes) -> str:
    digest = _digest(key, "hash", text).hex()[:DIGITS]
    whole = HASH_MARK + digest
    return whole if not length or len(whole) <= length else digest[:length]


def _faked(text: str, key: bytes) -> str:
    """Letters for letters, digits for digits, as long as the original; what stands between them stays."""
    stream = shake_256(_digest(key, "fake", text)).digest(4 * len(text))
    draws = struct.unpack(f">{len(text)}I", stream)
    return "".join([_other_character(character, draw) for character, draw in zip(text, draws, strict=True)])


def _other_character(character: str, draw: int) -> str:
    if character.isascii() and not character.isalnum():
        return character
    if character.isdecimal():
        return string.digits[draw % 10]
    if character.isupper():
        return string.ascii_uppercase[draw % 26]
    return string.ascii_lowercase[draw % 26]  # also for letters without case, signs and marks beyond ASCII


def _integer(mask: Mask, value: int, key: bytes) -> str:
    """Within the type's range; a fake has as many digits as the value, and its sign."""
    most = INTEGER_DIGITS[mask.type_oid]
    draw = int.from_bytes(_digest(key, mask.strategy.value, str(value))[:16], "big")
    if mask.strategy is Strategy.HASH:
        return str(draw % 10**most)
    digits = min(len(str(abs(value))), most)
    first = 10 ** (digits - 1) if digits > 1 else 0
    return ("-" if value < 0 else "") + str(first + draw % (10**digits - first))


def _uuid(strategy: Strategy, text: str, key: bytes) -> str:
    number = int.from_bytes(_digest(key, strategy.value, text)[:16], "big")
    for bits, mask in (_VERSION_8, _VARIANT):
        number = number & ~mask | bits
    digits = f"{number:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _digest(key: bytes, purpose: str, text: str) -> bytes:
    return hmac.digest(key, purpose.encode() + b"\0" + text.encode("utf-8", "surrogatepass"), "sha256")
