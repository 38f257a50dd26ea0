"""Calls to one DynamoDB table: what was reckoned with is an answer, AWS's other failures are ours."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from blastwall.aws.conflicts import failed, persistent
from blastwall.errors import OurFault

Item = dict[str, Any]
_LOST: Final = ("ConditionalCheckFailedException", "TransactionCanceledException")

BATCH: Final = 100  # keys that BatchGetItem takes
ATTEMPTS: Final = 7  # at a batch of which AWS leaves items out
PAUSE_SECONDS: Final = 0.05  # before the second attempt; twice as long before each further one


class Lost(Exception):
    """A condition did not hold. ``reasons``: for each part of a transaction whether it was that part's condition.

    All False: somebody else was at the same items at that moment; try again.
    """

    def __init__(self, reasons: tuple[bool, ...]) -> None:
        super().__init__("a condition did not hold")
        self.reasons = reasons


class Calls:
    """``client`` is a boto3 DynamoDB client. Raises Lost, and OurFault for everything else that fails."""

    def __init__(self, client: Any, table: str, sleep: Callable[[float], None] = time.sleep) -> None:  # noqa: ANN401
        self._client = client
        self.table = table
        self._sleep = sleep

    def get(self, key: Item) -> Item | None:
        """The item as of now."""
        item: Item | None = self._do("get_item", Key=key, ConsistentRead=True).get("Item")
        return item

    def get_many(self, keys: Sequence[Item], *, consistent: bool = False) -> list[Item]:
        """Those of the items that exist: as of now, or (not ``consistent``) of a moment ago, at half the price."""
        found: list[Item] = []
        for start in range(0, len(keys), BATCH):
            found += self._batch({"Keys": list(keys[start : start + BATCH]), "ConsistentRead": consistent})
        return found

    def _batch(self, asked: Item) -> list[Item]:
        """A batch may be answered in part (throttling, 16 MB): the rest is asked for again, a few times and not at
        once."""
        wanted: Item = {self.table: asked}
        found: list[Item] = []
        for attempt in range(ATTEMPTS):
            if attempt:
                self._sleep(PAUSE_SECONDS * 2**attempt * (0.5 + random.random()))  # noqa: S311  not all at one moment
            answer = self._do("batch_get_item", named=False, RequestItems=wanted)
            found += answer["Responses"].get(self.table, [])
            wanted = answer.get("UnprocessedKeys") or {}
            if not wanted:
                return found
        raise OurFault(f"the table {self.table} does not answer whole batches at present: it is asked for too much")

    def update(self, key: Item, expression: str, values: Item, condition: str = "") -> Item:
        """Change one item; returns it as it is then. ``values`` by their ``:name``."""
        more: Item = {"ConditionExpression": condition} if condition else {}
        if values:
            more["ExpressionAttributeValues"] = values
        names = _names(f"{expression} {condition}")
        if names:
            more["ExpressionAttributeNames"] = names
        answer = self._do("update_item", Key=key, UpdateExpression=expression, ReturnValues="ALL_NEW", **more)
        item: Item = answer["Attributes"]
        return item

    def delete(self, key: Item, values: Item, condition: str) -> Item:
        """Remove one item, if the condition holds; returns what it was."""
        more: Item = {"ConditionExpression": condition, "ExpressionAttributeValues": values}
        names = _names(condition)
        if names:
            more["ExpressionAttributeNames"] = names
        answer = self._do("delete_item", Key=key, ReturnValues="ALL_OLD", **more)
        item: Item = answer["Attributes"]
        return item

    def together(self, *parts: Item) -> None:
        """All parts (Put, Update, ConditionCheck ...) or none."""
        for part in parts:
            for body in part.values():
                body["TableName"] = body.get("TableName", self.table)
                names = _names(f"{body.get('UpdateExpression', '')} {body.get('ConditionExpression', '')}")
                if names:
                    body["ExpressionAttributeNames"] = names
        self._do("transact_write_items", named=False, TransactItems=list(parts))

    def query(self, condition: str, values: Item, *, index: str = "", chosen: str = "") -> Iterator[Item]:
        """Every item under a key; ``chosen`` filters further. Consistent unless an index is asked."""
        arguments: Item = {"KeyConditionExpression": condition, "ExpressionAttributeValues": values}
        arguments |= {"IndexName": index} if index else {"ConsistentRead": True}
        if chosen:
            arguments["FilterExpression"] = chosen
        names = _names(f"{condition} {chosen}")
        if names:
            arguments["ExpressionAttributeNames"] = names
        yield from self._pages("query", arguments)

    def scan(self, chosen: str, values: Item | None = None) -> Iterator[Item]:
        """Every item of the table that is chosen, as of a moment ago: for people who look, never for what decides."""
        arguments: Item = {"FilterExpression": chosen}
        if values:
            arguments["ExpressionAttributeValues"] = values
        names = _names(chosen)
        if names:
            arguments["ExpressionAttributeNames"] = names
        yield from self._pages("scan", arguments)

    def _pages(self, operation: str, arguments: Item) -> Iterator[Item]:
        while True:
            answer = self._do(operation, **arguments)
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _do(self, operation: str, *, named: bool = True, **arguments: Any) -> Item:  # noqa: ANN401  boto3 has no types
        if named:
            arguments["TableName"] = self.table
        try:
            return persistent(getattr(self._client, operation), arguments, self._sleep)
        except ClientError as fault:
            if fault.response["Error"]["Code"] in _LOST:
                raise Lost(tuple(map(failed, fault.response.get("CancellationReasons", ())))) from None
            raise OurFault(f"the table {self.table} fails: {fault}") from fault
        except BotoCoreError as fault:
            raise OurFault(f"the table {self.table} does not answer: {fault}") from fault


def _names(expression: str) -> dict[str, str]:
    """Every ``#name`` of an expression stands for the attribute ``name``: no reserved word gets in the way."""
    words = expression.replace("(", " ").replace(")", " ").replace(",", " ").split()
    return {word: word[1:] for word in words if word.startswith("#")}


def text(value: str) -> Item:
    return {"S": value}


def number(value: float) -> Item:
    return {"N": repr(value)}


def string_of(item: Item, name: str, otherwise: str = "") -> str:
    """A text attribute."""
    found = item.get(name)
    return str(found["S"]) if found else otherwise


def real_of(item: Item, name: str, otherwise: float = 0.0) -> float:
    """A number attribute."""
    found = item.get(name)
    return float(found["N"]) if found else otherwise
