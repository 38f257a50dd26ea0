"""What every ``SignIns`` promises: each step once, assertions remembered, nothing for who has but one of the secrets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from blastwall.aws.sign_ins import AwsSignIns
from blastwall.identity.saml_sign_in import CODE_SECONDS, SIGN_IN_SECONDS, Admitted, SignIn, SignIns, hashed, secret
from blastwall.local.sign_ins import MemorySignIns
from tests.blastwall.aws import stage

NOW = 1_800_000_000.0
ADA = Admitted("corp", "ada", "reporter", ("agents", "é"), None, NOW + 900.5)
BEGUN = SignIn("id-1", "corp", "_request", hashed("verifier"), 40_000, NOW, NOW + SIGN_IN_SECONDS)
CODE = hashed("code")


@pytest.fixture(params=["memory", "dynamodb"])
def book(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[SignIns]:
    if request.param == "memory":
        yield MemorySignIns()
        return
    with stage.aws(monkeypatch):
        dynamodb = stage.client("dynamodb")
        dynamodb.create_table(
            TableName="sign-ins",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        )
        yield AwsSignIns(stage.Atomic(dynamodb), "sign-ins")


async def answer(book: SignIns, id: str = "id-1", *, now: float = NOW + 1, assertion: str = "a1") -> bool:
    return await book.answer(id, ADA, CODE, now, assertion=assertion, remember_until=now + 300)


async def test_a_sign_in_waits_until_it_is_answered(book: SignIns) -> None:
    assert await book.find("id-1", NOW) is None
    await book.begin(BEGUN)
    assert await book.find("id-1", NOW) == BEGUN
    assert await answer(book)
    assert await book.find("id-1", NOW) is None


async def test_the_answer_is_for_who_has_both_secrets_and_once(book: SignIns) -> None:
    await book.begin(BEGUN)
    assert await book.take("id-1", CODE, BEGUN.challenge, NOW) is None
    await answer(book)
    assert await book.take("id-1", hashed("other"), BEGUN.challenge, NOW + 2) is None
    assert await book.take("id-1", CODE, hashed("other"), NOW + 2) is None
    assert await book.take("id-2", CODE, BEGUN.challenge, NOW + 2) is None
    assert await book.take("", "", "", NOW + 2) is None
    assert await book.take("id-1", CODE, BEGUN.challenge, NOW + 2) == ADA
    assert await book.take("id-1", CODE, BEGUN.challenge, NOW + 2) is None


async def test_of_many_at_the_same_moment_one_gets_it(book: SignIns) -> None:
    await book.begin(BEGUN)
    answers = await asyncio.gather(*(answer(book, assertion=f"a{number}") for number in range(6)))
    assert sorted(answers) == [False] * 5 + [True]
    taken = await asyncio.gather(*(book.take("id-1", CODE, BEGUN.challenge, NOW + 2) for _ in range(6)))
    assert [found for found in taken if found is not None] == [ADA]


async def test_an_assertion_answers_one_sign_in_ever(book: SignIns) -> None:
    await book.begin(BEGUN)
    await book.begin(replace(BEGUN, id="id-2"))
    assert await answer(book)
    assert not await answer(book, "id-2")
    assert await book.find("id-2", NOW + 2) is not None
    assert await answer(book, "id-2", assertion="a2")


async def test_what_expired_is_gone(book: SignIns) -> None:
    await book.begin(BEGUN)
    late = NOW + SIGN_IN_SECONDS
    assert await book.find("id-1", late) is None
    assert not await answer(book, now=late)
    await book.begin(replace(BEGUN, id="id-2"))
    assert await answer(book, "id-2", assertion="a2")
    assert await book.take("id-2", CODE, BEGUN.challenge, NOW + 1 + CODE_SECONDS) is None


async def test_what_nobody_began_cannot_be_answered(book: SignIns) -> None:
    assert not await answer(book, "made-up")
    assert not await answer(book, "assertion#a1")
    assert await book.find("assertion#a1", NOW) is None


def test_secrets_have_their_length() -> None:
    assert len(secret(bytes(32))) == 43 == len(hashed("x"))
    with pytest.raises(ValueError, match="32"):
        secret(bytes(31))
