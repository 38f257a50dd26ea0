"""Audit events in CloudTrail Lake (``PutAuditEvents``), where the account has a data store and a channel already.

At most 100 events or 1 MB in a call. An event is ``{id, eventData, eventDataChecksum}``: the data is JSON as text, the
checksum the base64 of its SHA-256. An answer of 200 may name events in ``failed``: those were not taken.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from blastwall.audit.sink import chunks, line, send_in_order, uid

log = logging.getLogger("blastwall.audit")

MAX_EVENTS: Final = 100
MAX_BYTES: Final = 1_000_000
ENVELOPE: Final = 256  # bytes that id, checksum and punctuation take beside the data
VERSION: Final = "1.0"  # of our use of Lake's own schema; the OCSF event is its additionalEventData
TAKEN_BEFORE: Final = "DuplicatedAuditEventId"


class LakeSink:
    """``audit.sink.Sink`` over a channel. ``client`` is boto3's for ``cloudtrail-data``, ``account`` the recipient."""

    name = "lake"

    def __init__(self, client: Any, channel: str, account: str) -> None:  # noqa: ANN401  boto3 has no types
        self._client = client
        self._channel = channel
        self._account = account

    def put(self, batch: Sequence[Mapping[str, Any]]) -> set[str]:
        """In calls that the service takes."""
        entries = {uid(event): self._entry(event) for event in batch}
        size = {id: len(json.dumps(entry["eventData"])) + ENVELOPE for id, entry in entries.items()}
        pieces = chunks(batch, most=MAX_EVENTS, size=MAX_BYTES, of=lambda event: size[uid(event)])
        return send_in_order(pieces, lambda piece: self._send([(uid(event), entries[uid(event)]) for event in piece]))

    def _send(self, entries: Sequence[tuple[str, Mapping[str, Any]]]) -> set[str]:
        ours = {entry["id"]: id for id, entry in entries}
        try:
            answer = self._client.put_audit_events(
                channelArn=self._channel, auditEvents=[entry for _, entry in entries]
            )
        except (ClientError, BotoCoreError, OSError) as error:
            log.warning("%d audit events were not put to CloudTrail Lake: %s", len(entries), error)
            return set(ours.values())
        failed = set()
        for item in answer.get("failed", ()):
            if item.get("errorCode") != TAKEN_BEFORE:
                log.warning("CloudTrail Lake refused %s: %s", item.get("id"), item.get("errorCode"))
                failed.add(ours.get(item.get("id"), ""))
        known = {item.get("id") for name in ("successful", "failed") for item in answer.get(name, ())}
        return (failed | {id for lake, id in ours.items() if lake not in known}) - {""}

    def _entry(self, event: Mapping[str, Any]) -> dict[str, Any]:
        data = json.dumps(
            {
                "version": VERSION,
                "eventSource": "blastwall",
                "eventName": _name(event),
                "eventTime": event["time_dt"][:19] + "Z",
                "UID": _lake_id(event),
                "userIdentity": {"type": "agent", "principalId": event.get("actor", {}).get("user", {}).get("uid", "")},
                "recipientAccountId": self._account,
                "additionalEventData": json.loads(line(event)),
            },
            separators=(",", ":"),
            sort_keys=True,
        )
        checksum = base64.b64encode(hashlib.sha256(data.encode()).digest()).decode()
        return {"id": _lake_id(event), "eventData": data, "eventDataChecksum": checksum}


def _lake_id(event: Mapping[str, Any]) -> str:
    """The event's id in the letters that Lake takes (``[-_A-Za-z0-9]``, 128 at most): its own, or its SHA-256."""
    id = uid(event)
    if len(id) <= 128 and all(character.isascii() and (character.isalnum() or character in "-_") for character in id):
        return id
    return hashlib.sha256(id.encode()).hexdigest()


def _name(event: Mapping[str, Any]) -> str:
    own = event.get("unmapped", {}).get("blastwall", {})
    return str(own.get("event") or own.get("verb") or own.get("kind") or event.get("activity_name") or "session")
