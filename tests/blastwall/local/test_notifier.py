"""Telling people: signed, once, updated after the decision; who cannot be told is in nobody's way."""

from __future__ import annotations

import json

import pytest

from blastwall.approvals import Filed
from blastwall.approvals.notices import Channels, Hook, Kind, SlackChannel
from blastwall.approvals.signatures import verify
from blastwall.errors import UpstreamFault
from blastwall.local.clock import ManualClock
from blastwall.local.notifier import Notifier
from blastwall.model import ApprovalState, ApprovalStatus
from tests.blastwall.approvals.asking import REQUEST, ask

NOW = 1_800_000_000.0
ENVIRON = {"HOOK": "hook key", "SLACK": "xoxb-1"}
EVERYBODY = Channels((Hook("https://hook.example/in", "HOOK"),), SlackChannel("C1", "SLACK", answers=True))


class Rig:
    """The world outside: what was posted and published."""

    def __init__(self, channels: Channels = EVERYBODY, broken: str = "") -> None:
        self.posts: list[tuple[str, dict[str, str], dict[str, object]]] = []
        self.published: list[str] = []
        self.broken = broken
        self.notifier = Notifier(
            channels, ENVIRON, self.post, "https://page.example", ManualClock(NOW),
            publish=lambda subject, text: self.published.append(subject), slack="https://slack.example",
        )  # fmt: skip

    def post(self, address, headers, body):
        if self.broken and self.broken in address:
            raise UpstreamFault("down")
        self.posts.append((address, dict(headers), json.loads(body)))
        if "X-Blastwall-Signature" in headers:
            now = headers["X-Blastwall-Timestamp"]
            assert verify(b"hook key", now, body, headers["X-Blastwall-Signature"], NOW + 5)
        return json.dumps({"ok": True, "channel": "C1", "ts": "17.1"}).encode()

    def addresses(self) -> list[str]:
        return [address.removeprefix("https://") for address, _, _ in self.posts]


def filed(state=ApprovalState.REQUESTED, request=REQUEST, **about) -> Filed:
    return Filed(request, ApprovalStatus(request.id, state, **about))


def test_everybody_is_told_once_and_the_message_is_updated() -> None:
    rig = Rig()
    sent = rig.notifier.tell(filed(), Kind.ASKED, {})
    assert sent == {"slack": {"channel": "C1", "ts": "17.1"}, "told": ["asked"]}
    assert rig.notifier.tell(filed(), Kind.ASKED, sent) == sent
    done = rig.notifier.tell(filed(ApprovalState.DENIED, by=("olga",)), Kind.DECIDED, sent)
    assert done["told"] == ["asked", "decided"]
    assert rig.addresses() == [
        "hook.example/in", "slack.example/chat.postMessage", "hook.example/in", "slack.example/chat.update",
    ]  # fmt: skip
    update = rig.posts[-1][2]
    assert (update["ts"], update["unfurl_links"]) == ("17.1", False) and "denied by olga" in str(update["text"])
    assert rig.posts[1][1]["Authorization"] == "Bearer xoxb-1"
    assert [subject.split(" ")[0] for subject in rig.published] == ["reporter", "denied"]


def test_of_a_flood_the_first_is_told_and_the_others_are_on_the_page() -> None:
    rig = Rig()
    live = [filed(request=ask(id=f"a-{number}", requested_at=120.0 + number)) for number in range(5)]
    for one in live:
        rig.notifier.tell(one, Kind.ASKED, {}, live)
    assert len(rig.published) == 1


def test_nobody_hears_of_the_end_of_what_they_never_heard_of() -> None:
    rig = Rig()
    assert rig.notifier.tell(filed(ApprovalState.DENIED), Kind.DECIDED, {}) == {}
    assert rig.posts == [] and rig.published == []


@pytest.mark.parametrize("broken", ["hook", "slack"])
def test_who_cannot_be_told_is_in_nobodys_way(broken: str, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(broken=broken)
    sent = rig.notifier.tell(filed(), Kind.ASKED, {})
    assert sent["told"] == ["asked"] and rig.published and "could not be told" in caplog.text
    assert "xoxb-1" not in caplog.text and "hook key" not in caplog.text


def test_a_missing_secret_and_slacks_refusal_are_said_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(Channels((Hook("https://hook.example", "NONE"),), SlackChannel("C1", "SLACK")))
    rig.post = lambda *_: b'{"ok": false, "error": "channel_not_found"}'
    rig.notifier._post = rig.post
    rig.notifier.tell(filed(), Kind.ASKED, {})
    assert "$NONE is not set" in caplog.text and "channel_not_found" in caplog.text


def test_whether_there_is_anybody() -> None:
    clock = ManualClock(NOW)
    assert not Notifier(Channels(), {}, lambda *_: b"", "", clock).anybody
    assert Notifier(EVERYBODY, {}, lambda *_: b"", "", clock).anybody
