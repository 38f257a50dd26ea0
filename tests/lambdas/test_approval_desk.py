"""The page as its function serves it: events in, events out, the ballot counted by the function that may."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from blastwall.approvals.signatures import sign
from blastwall.approvals.view import view_of
from blastwall.model import ApprovalState
from lambdas import approval_desk, approval_parts
from lambdas.approval_page.handler import handler as page
from tests.lambdas.machine import Machine, machine

ORIGIN = "https://page.example"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POWERTOOLS_TRACE_DISABLED", "1")
        patch.setenv("BLASTWALL_DECIDE_FUNCTION", "approval_decide")
        patch.setenv("SLACK_KEY", "slack key")
        patch.setenv("SLACK_TOKEN", "xoxb")
        with machine(tmp_path_factory.mktemp("page"), patch) as rig:
            file = rig.config / "gateway.yaml"
            slack = (
                "approvals:\n  notify: {slack: {channel: C1, token_env: SLACK_TOKEN, signing_secret_env: SLACK_KEY, "
                "people: {U1: {subject: olga, groups: [owners]}}}}\n"
            )
            file.write_text(file.read_text().replace("approvals:\n", slack))
            patch.setattr("lambdas.approval_parts.post", lambda *_: b'{"ok": true, "channel": "C1", "ts": "1.2"}')
            approval_desk.desk.cache_clear()
            approval_parts.forget()
            yield rig
            approval_desk.desk.cache_clear()


def event(
    method: str, path: str, token: str = "", form: dict[str, str] | None = None, **headers: str
) -> dict[str, Any]:
    body = urlencode(form).encode() if form is not None else b""
    bare, _, query = path.partition("?")
    return {
        "version": "2.0",
        "rawPath": bare,
        "rawQueryString": query,
        "cookies": [f"__Host-blastwall={token}"] if token else [],
        "headers": {"content-type": "application/x-www-form-urlencoded"}
        | {name.replace("_", "-"): value for name, value in headers.items()},
        "requestContext": {"http": {"method": method}},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def asked(rig: Machine, *given: Any, **more: Any) -> tuple[int, str, dict[str, Any]]:
    answer = rig.call(page, event(*given, **more))
    return answer["statusCode"], base64.b64decode(answer["body"]).decode(), answer


def test_a_person_signs_in_reads_and_approves(rig: Machine) -> None:
    request = rig.ask()
    rig.file(request)
    rig.waits(request)
    token = rig.token("olga")
    status, _, answer = asked(rig, "POST", "/sign-in", form={"token": token}, origin=ORIGIN)
    assert status == 200 and answer["cookies"][0].startswith(f"__Host-blastwall={token}; Path=/;")
    status, html, _ = asked(rig, "GET", f"/requests/{request.id}", token)
    assert status == 200 and "DELETE FROM orders WHERE id = 7" in html
    form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', html.split("answer")[-1]))
    assert form["shown"] == view_of(request).shown
    status, _, answer = asked(
        rig, "POST", f"/requests/{request.id}", token, form=form | {"decision": "approve", "note": "ok"}, origin=ORIGIN
    )
    assert (status, answer["headers"]["Location"]) == (303, f"/requests/{request.id}")
    assert rig.over(request)["output"]["state"] == "approved"
    assert rig.status(request).by == ("olga",)
    assert "1 waiting" not in asked(rig, "GET", "/", token)[1]


def test_ok_127_a_link_preview_gets_a_page_and_changes_nothing(rig: Machine) -> None:
    request = rig.ask()
    rig.file(request)
    for path in (f"/requests/{request.id}", f"/requests/{request.id}?here=", "/approve?id=1", "/slack"):
        status, html, _ = asked(rig, "GET", path, user_agent="Slackbot-LinkExpanding 1.0")
        assert status in (200, 401, 404) and "orders" not in html
    assert rig.status(request).state is ApprovalState.REQUESTED


def test_apr_011_a_form_of_another_site_changes_nothing(rig: Machine) -> None:
    request = rig.ask()
    rig.file(request)
    form = {"decision": "approve", "shown": view_of(request).shown}
    for origin in ("https://evil.example", "null"):
        status, _, _ = asked(rig, "POST", f"/requests/{request.id}", rig.token("olga"), form=form, origin=origin)
        assert status == 403
    assert rig.status(request).state is ApprovalState.REQUESTED


def callback(request: Any, user: str, key: bytes, now: int) -> dict[str, Any]:
    payload = {
        "user": {"id": user}, "team": {"id": "T1"},
        "actions": [{"action_id": "approve", "value": f"{request.id} {view_of(request).shown}"}],
    }  # fmt: skip
    form = {"payload": json.dumps(payload)}
    signature = sign(key, now, urlencode(form).encode(), version="v0")
    return event("POST", "/slack", form=form, x_slack_request_timestamp=str(now), x_slack_signature=signature)


def test_slack_answers_through_the_function_that_may_and_forgeries_do_not(rig: Machine) -> None:
    import time

    request = rig.ask()
    rig.file(request)
    rig.waits(request)
    now = int(time.time())
    for forged in (callback(request, "U1", b"guess", now), callback(request, "U1", b"slack key", now - 900)):
        assert rig.call(page, forged)["statusCode"] == 401
    said = json.loads(base64.b64decode(rig.call(page, callback(request, "U2", b"slack key", now))["body"]))
    assert "not in the table" in said["text"]
    assert rig.status(request).state is ApprovalState.REQUESTED
    said = json.loads(base64.b64decode(rig.call(page, callback(request, "U1", b"slack key", now))["body"]))
    assert said["text"] == f"{request.id}: approved"
    assert rig.over(request)["output"]["state"] == "approved"
    assert rig.table.messages(request.id)["slack"] == {"channel": "C1", "ts": "1.2"}


def test_nonsense_is_answered(rig: Machine) -> None:
    assert rig.call(page, {})["statusCode"] == 400
    assert rig.call(page, event("GET", "/") | {"body": "%%%"})["statusCode"] == 400
