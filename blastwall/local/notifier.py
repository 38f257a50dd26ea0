"""Tells people: signed webhooks, Slack by a bot's token, SNS. What fails is logged, never in the way of a decision."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from blastwall.approvals import Filed
from blastwall.approvals.notices import Channels, Kind, grouped, mail, slack_message, webhook_body
from blastwall.approvals.signatures import SIGNATURE_HEADER, TIMESTAMP_HEADER, sign
from blastwall.errors import UpstreamFault
from blastwall.ports import Clock

#: POST: address, headers, body -> the body of a 2xx answer. Raises UpstreamFault.
Post = Callable[[str, Mapping[str, str], bytes], bytes]
#: SNS: subject, text. Raises UpstreamFault.
Publish = Callable[[str, str], None]

SLACK = "https://slack.com/api"

_log = logging.getLogger("blastwall.notifier")


class Notifier:
    """Tells the configured channels of one request at a time. ``environ`` has the secrets by their variables' names.

    ``page`` is where the approval page is reached; ``slack`` Slack's API.
    """

    def __init__(
        self,
        channels: Channels,
        environ: Mapping[str, str],
        post: Post,
        page: str,
        clock: Clock,
        *,
        publish: Publish | None = None,
        slack: str = SLACK,
    ) -> None:
        self._channels = channels
        self._environ = environ
        self._post = post
        self._page = page
        self._clock = clock
        self._publish = publish
        self._slack = slack

    @property
    def anybody(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self._channels.hooks or self._channels.slack or self._publish)

    def tell(self, filed: Filed, kind: Kind, messages: Mapping[str, Any], live: Sequence[Filed] = ()) -> dict[str, Any]:
        """Tell every channel once. ``messages``: what was sent so far; returns it with what was sent now. Blocks.

        ``live`` are the requests that wait at the same time: of a group only the first is announced.
        """
        sent = dict(messages)
        if str(kind) in sent.get("told", ()):
            return sent
        if kind is Kind.ASKED and grouped(filed, live):
            return sent
        if kind is Kind.DECIDED and not sent.get("told"):
            return sent  # nobody was told that it was asked
        for number, hook in enumerate(self._channels.hooks):
            self._try(f"webhook {number + 1}", self._hook, hook.url, hook.secret_env, filed, kind)
        if self._publish is not None:
            self._try("SNS", self._publish, *mail(filed, kind, self._page, self._clock.now()))
        if self._channels.slack is not None:
            place = self._try("Slack", self._slack_message, filed, kind, sent.get("slack"))
            if place is not None:
                sent["slack"] = place
        sent["told"] = [*sent.get("told", ()), str(kind)]
        return sent

    def _hook(self, url: str, secret_env: str, filed: Filed, kind: Kind) -> None:
        now = self._clock.now()
        body = json.dumps(webhook_body(filed, kind, self._page, now)).encode("ascii")
        signature = sign(self._secret(secret_env), int(now), body)
        headers = {"Content-Type": "application/json", TIMESTAMP_HEADER: str(int(now)), SIGNATURE_HEADER: signature}
        self._post(url, headers, body)

    def _slack_message(self, filed: Filed, kind: Kind, place: Mapping[str, str] | None) -> dict[str, str]:
        slack = self._channels.slack
        assert slack is not None
        message = slack_message(filed, kind, self._page, self._clock.now(), buttons=slack.answers)
        message |= {"channel": slack.channel, "unfurl_links": False, "unfurl_media": False}
        method = "chat.postMessage"
        if place is not None:
            method, message = "chat.update", message | dict(place)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Authorization": f"Bearer {self._secret(slack.token_env).decode()}",
        }
        answer = json.loads(self._post(f"{self._slack}/{method}", headers, json.dumps(message).encode()))
        if not isinstance(answer, dict) or answer.get("ok") is not True:
            reason = answer.get("error") if isinstance(answer, dict) else "not an object"
            raise UpstreamFault(f"Slack refused {method}: {reason}")
        return {"channel": str(answer["channel"]), "ts": str(answer["ts"])}

    def _secret(self, name: str) -> bytes:
        value = self._environ.get(name, "")
        if not value:
            raise UpstreamFault(f"${name} is not set")
        return value.encode()

    def _try(self, channel: str, call: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401  whatever it returns
        try:
            return call(*arguments)
        except (UpstreamFault, KeyError, ValueError) as fault:
            _log.warning("%s could not be told of an approval request: %s", channel, fault)
            return None
