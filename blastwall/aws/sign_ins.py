"""SAML sign-ins on DynamoDB, and the assertions that were seen.

Items of the table, whose key is ``id`` S. A sign-in, ``sign-in#`` and its id: ``provider``, ``request``,
``challenge`` S, ``port``, ``begun_at``, ``expires_at``, ``ttl`` N; once answered also ``admitted`` (JSON) and ``code``
(a hash) S. A seen assertion, ``assertion#`` and its hash: ``ttl`` N, after it can no longer be delivered. DynamoDB
drops items some time after their ``ttl``; until then every condition looks at the times itself.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Any, Final

from blastwall.aws.tables import Calls, Item, Lost, number, real_of, string_of, text
from blastwall.errors import OurFault
from blastwall.identity.saml_sign_in import CODE_SECONDS, Admitted, SignIn

ATTEMPTS: Final = 4
KEPT_SECONDS: Final = 3600.0  # beyond its end, for DynamoDB's own expiry


class AwsSignIns:
    """Implements :class:`blastwall.identity.saml_sign_in.SignIns`. ``client`` is a boto3 DynamoDB client."""

    def __init__(self, client: Any, table: str) -> None:  # noqa: ANN401  boto3 has no types
        self._calls = Calls(client, table)

    async def begin(self, sign_in: SignIn) -> None:
        item = {
            "id": _id(sign_in.id),
            "provider": text(sign_in.provider),
            "request": text(sign_in.request),
            "challenge": text(sign_in.challenge),
            "port": number(sign_in.port),
            "begun_at": number(sign_in.begun_at),
            "expires_at": number(sign_in.expires_at),
            "ttl": number(int(sign_in.expires_at + KEPT_SECONDS)),
        }
        put = {"Item": item, "ConditionExpression": "attribute_not_exists(id)"}
        try:
            await asyncio.to_thread(self._calls.together, {"Put": put})
        except Lost:
            raise OurFault("a sign-in has the id of another one: the random numbers are not random") from None

    async def find(self, id: str, now: float) -> SignIn | None:
        item = await asyncio.to_thread(self._calls.get, {"id": _id(id)})
        if item is None or "challenge" not in item or "admitted" in item or now >= real_of(item, "expires_at"):
            return None
        return SignIn(
            id=id,
            provider=string_of(item, "provider"),
            request=string_of(item, "request"),
            challenge=string_of(item, "challenge"),
            port=int(real_of(item, "port")),
            begun_at=real_of(item, "begun_at"),
            expires_at=real_of(item, "expires_at"),
        )

    async def answer(
        self, id: str, admitted: Admitted, code: str, now: float, *, assertion: str, remember_until: float
    ) -> bool:
        return await asyncio.to_thread(self._answer, id, admitted, code, now, assertion, remember_until)

    async def take(self, id: str, code: str, challenge: str, now: float) -> Admitted | None:
        return await asyncio.to_thread(self._take, id, code, challenge, now)

    def _answer(
        self, id: str, admitted: Admitted, code: str, now: float, assertion: str, remember_until: float
    ) -> bool:
        for _ in range(ATTEMPTS):
            update: Item = {
                "Key": {"id": _id(id)},
                "UpdateExpression": "SET #admitted = :admitted, #code = :code, #expires_at = :until",
                "ConditionExpression": "attribute_exists(#challenge) AND attribute_not_exists(#admitted) "
                "AND #expires_at > :now",
                "ExpressionAttributeValues": {
                    ":admitted": text(json.dumps(asdict(admitted))),
                    ":code": text(code),
                    ":until": number(now + CODE_SECONDS),
                    ":now": number(now),
                },
            }
            put: Item = {
                "Item": {"id": text(f"assertion#{assertion}"), "ttl": number(int(remember_until + KEPT_SECONDS))},
                "ConditionExpression": "attribute_not_exists(id)",
            }
            try:
                self._calls.together({"Update": update}, {"Put": put})
            except Lost as lost:
                if any(lost.reasons):
                    return False
            else:
                return True
        raise OurFault("the sign-in could not be kept: others changed it all the time")

    def _take(self, id: str, code: str, challenge: str, now: float) -> Admitted | None:
        values = {":code": text(code), ":challenge": text(challenge), ":now": number(now)}
        condition = "#code = :code AND #challenge = :challenge AND #expires_at > :now"
        try:
            item = self._calls.delete({"id": _id(id)}, values, condition)
        except Lost:
            return None
        found = json.loads(string_of(item, "admitted"))
        return Admitted(**{**found, "groups": tuple(found["groups"])})


def _id(sign_in: str) -> Item:
    """Browsers bring ids: none of them can name an item of the other kind."""
    return text(f"sign-in#{sign_in}")
