"""One DynamoDB table, spoken to strictly: consistent reads, conditional writes, AWS's failures as ours."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from blastwall.aws.conflicts import in_the_way, persistent
from blastwall.errors import OurFault

Item = dict[str, Any]

LOST = "ConditionalCheckFailedException", "TransactionCanceledException"


class Items:
    """``client`` is a boto3 DynamoDB client. Items are DynamoDB's own JSON. Everything raises OurFault."""

    def __init__(self, client: Any, name: str, sleep: Callable[[float], None] = time.sleep) -> None:  # noqa: ANN401
        self.client = client
        self.name = name
        self._sleep = sleep

    def get(self, id: str) -> Item | None:
        """The item as of now."""
        answer = self._call(self.client.get_item, Key={"id": {"S": id}}, ConsistentRead=True)
        item: Item | None = answer.get("Item")
        return item

    def put(self, item: Item) -> None:
        """Write the item, whatever was there."""
        self._call(self.client.put_item, Item=item)

    def put_together(self, *puts: Item) -> bool:
        """All of them (``Item``, and perhaps a condition) or none; False when a condition did not hold."""
        writes = [{"Put": {"TableName": self.name, **put}} for put in puts]
        return bool(self._quietly(self.client.transact_write_items, TransactItems=writes))

    def change(self, item: Item, values: Item) -> Item | None:
        """Write ``values`` if nobody has changed the item's ``version`` since it was read. None: somebody has."""
        values = values | {"version": number(int(item["version"]["N"]) + 1)}
        answer = self._call(
            self.client.update_item,
            quiet=LOST,
            Key={"id": item["id"]},
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
            ConditionExpression="#version = :seen",
            ExpressionAttributeNames={f"#{name}": name for name in values},
            ExpressionAttributeValues={f":{name}": value for name, value in values.items()}
            | {":seen": item["version"]},
            ReturnValues="ALL_NEW",
        )
        changed: Item | None = answer.get("Attributes")
        return changed

    def set(self, id: str, name: str, value: Item | None, *, where: Item | None = None) -> bool:
        """Set (None: remove) one attribute of an item that exists and has the attributes ``where``; False: not so."""
        wanted = where or {}
        conditions = ["attribute_exists(id)", *(f"#{key} = :{key}" for key in wanted)]
        arguments: Item = {
            "UpdateExpression": "REMOVE #set" if value is None else "SET #set = :set",
            "ConditionExpression": " AND ".join(conditions),
            "ExpressionAttributeNames": {"#set": name} | {f"#{key}": key for key in wanted},
        }
        values = {f":{key}": one for key, one in wanted.items()} | ({} if value is None else {":set": value})
        if values:
            arguments["ExpressionAttributeValues"] = values
        answer = self._call(
            self.client.update_item, quiet=LOST, Key={"id": {"S": id}}, ReturnValues="UPDATED_NEW", **arguments
        )
        return bool(answer)

    def query(self, index: str, key: str, value: str, since: float, limit: int = 1000) -> Iterator[Item]:
        """At most ``limit`` items of an index by ``key`` whose ``requested_at`` is ``since`` or later, newest first."""
        start: Item = {}
        while limit > 0:
            answer = self._call(
                self.client.query,
                IndexName=index,
                KeyConditionExpression="#key = :value AND requested_at >= :since",
                ExpressionAttributeNames={"#key": key},
                ExpressionAttributeValues={":value": {"S": value}, ":since": number(since)},
                ScanIndexForward=False,
                Limit=limit,
                **start,
            )
            yield from answer["Items"]
            limit -= len(answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def _quietly(self, call: Callable[..., Any], **arguments: Any) -> Item:  # noqa: ANN401  boto3 has no types
        return self._guarded(call, LOST, arguments)

    def _call(self, call: Callable[..., Any], *, quiet: tuple[str, ...] = (), **arguments: Any) -> Item:  # noqa: ANN401
        return self._guarded(call, quiet, {"TableName": self.name, **arguments})

    def _guarded(self, call: Callable[..., Any], quiet: tuple[str, ...], arguments: Item) -> Item:
        """{} when it failed in a way that was reckoned with."""
        try:
            return persistent(call, arguments, self._sleep)
        except ClientError as fault:
            if fault.response["Error"]["Code"] in quiet and not in_the_way(fault):
                return {}
            raise OurFault(f"the table {self.name} fails: {fault}") from fault
        except BotoCoreError as fault:
            raise OurFault(f"the table {self.name} does not answer: {fault}") from fault


def number(value: float) -> Item:
    """A number in DynamoDB's JSON."""
    return {"N": repr(value)}


def real(item: Item, name: str) -> float:
    """A number of an item."""
    return float(item[name]["N"])
