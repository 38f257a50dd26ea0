"""Batches that AWS answers in part; the rest of the calls is proved by those who make them."""

from __future__ import annotations

from typing import Any

import pytest

from blastwall.aws.tables import ATTEMPTS, BATCH, Calls, text
from blastwall.errors import OurFault


class Client:
    """DynamoDB, which hands out at most ``most`` items a call."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.asked: list[int] = []

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:
        about = RequestItems["t"]
        keys = about["Keys"]
        assert len(keys) <= BATCH and about["ConsistentRead"] is True
        self.asked.append(len(keys))
        rest = keys[self.most :]
        return {
            "Responses": {"t": keys[: self.most]},
            "UnprocessedKeys": {"t": {**about, "Keys": rest}} if rest else {},
        }


def keys(count: int) -> list[dict[str, Any]]:
    return [{"id": text(str(number))} for number in range(count)]


def test_what_a_batch_leaves_out_is_asked_for_again_after_a_pause() -> None:
    client, pauses = Client(40), list[float]()
    assert Calls(client, "t", pauses.append).get_many(keys(100), consistent=True) == keys(100)
    assert client.asked == [100, 60, 20] and len(pauses) == 2 and all(0 < pause < 1 for pause in pauses)


def test_more_keys_than_a_batch_takes_are_several_batches() -> None:
    client = Client(BATCH)
    assert len(Calls(client, "t").get_many(keys(250), consistent=True)) == 250
    assert client.asked == [100, 100, 50]


def test_a_table_that_answers_nothing_is_given_up() -> None:
    client, pauses = Client(0), list[float]()
    with pytest.raises(OurFault, match="asked for too much"):
        Calls(client, "t", pauses.append).get_many(keys(3), consistent=True)
    assert len(client.asked) == ATTEMPTS and sum(pauses) < 10
