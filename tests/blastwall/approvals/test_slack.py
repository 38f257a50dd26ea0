"""Slack's callbacks: signed, fresh, of somebody in the table (the corpus' APR-012)."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

from blastwall.approvals.signatures import sign
from blastwall.approvals.slack import SlackDoor, answer_document, callback_answer, callback_document, callback_of
from blastwall.approvals.web import Request, Response

KEY, NOW = b"slack signing secret", 1_800_000_000
PEOPLE = {"U1": ("olga@example.com", ("owners",))}


class Counting:
    def __init__(self) -> None:
        self.ballots = []
        self.answer = {"status": {"state": "approved"}}
        self.door = SlackDoor(KEY, PEOPLE, self.count, lambda: float(NOW))

    async def count(self, id, person, ballot):
        self.ballots.append((id, person, ballot))
        return self.answer


def callback(user: str = "U1", action: str = "approve", value: str = f"a-1 {'5' * 64}", **headers: str) -> Request:
    payload = {"user": {"id": user}, "team": {"id": "T1"}, "actions": [{"action_id": action, "value": value}]}
    body = urlencode({"payload": json.dumps(payload)}).encode()
    given = {
        "content-type": "application/x-www-form-urlencoded",
        "x-slack-request-timestamp": str(NOW),
        "x-slack-signature": sign(KEY, NOW, body, version="v0"),
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("POST", "/slack", headers=given, body=body)


@pytest.mark.parametrize("approve", [True, False])
async def test_a_signed_answer_of_somebody_in_the_table_counts(approve: bool) -> None:
    rig = Counting()
    done = await rig.door.handle(callback(action="approve" if approve else "deny"))
    ((id, who, ballot),) = rig.ballots
    assert (id, who.subject, who.groups, ballot.approve, ballot.shown) == (
        "a-1", "olga@example.com", frozenset({"owners"}), approve, "5" * 64,
    )  # fmt: skip
    assert json.loads(done.body)["text"] == "a-1: approved"


@pytest.mark.parametrize(
    "headers",
    [
        {"x_slack_signature": ""},
        {"x_slack_signature": "v0=" + "0" * 64},
        {"x_slack_request_timestamp": str(NOW - 301)},
        {"x_slack_request_timestamp": ""},
    ],
)
async def test_apr_012_a_forged_or_old_callback_decides_nothing(headers: dict[str, str]) -> None:
    rig = Counting()
    assert (await rig.door.handle(callback(**headers))).status == 401
    assert rig.ballots == []


async def test_a_replayed_old_callback_decides_nothing() -> None:
    rig = Counting()
    old = callback(
        x_slack_request_timestamp=str(NOW - 400), x_slack_signature=sign(KEY, NOW - 400, callback().body, version="v0")
    )
    assert (await rig.door.handle(old)).status == 401


async def test_strangers_and_nonsense_decide_nothing() -> None:
    rig = Counting()
    assert "not in the table" in json.loads((await rig.door.handle(callback("U2"))).body)["text"]
    assert (await rig.door.handle(callback(action="explode"))).status == 400
    assert (await rig.door.handle(callback(value="a-1"))).status == 400
    assert (await rig.door.handle(callback(action="open"))).status == 200
    assert rig.ballots == []


async def test_what_was_not_counted_is_said_to_whoever_pressed() -> None:
    rig = Counting()
    rig.answer = {"refused": {"reason": "what you were shown is not what is stored\u202e"}}
    said = json.loads((await rig.door.handle(callback())).body)
    assert said["response_type"] == "ephemeral" and said["text"].endswith("stored⟨U+202E⟩")


async def test_a_callback_handed_on_still_verifies() -> None:
    rig = Counting()
    document = json.loads(json.dumps(callback_document(callback())))
    assert (await rig.door.handle(callback_of(document))).status == 200
    assert (await rig.door.handle(callback_of(document | {"body": document["body"] + "x"}))).status == 401
    answer = Response(200, "é".encode(), "text/plain")
    assert callback_answer(json.loads(json.dumps(answer_document(answer)))) == answer
