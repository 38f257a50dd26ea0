"""HTTP as values, from a socket and from a Lambda event."""

from __future__ import annotations

import base64

import pytest

from blastwall.approvals.web import LARGEST_BODY, Request, Response, cookies_of, from_event, make_request, to_event

EVENT = {
    "rawPath": "/requests/a-1",
    "rawQueryString": "here=&x=%20y",
    "headers": {"Origin": "https://page", "content-type": "application/x-www-form-urlencoded; charset=utf-8"},
    "cookies": ["blastwall=abc.def", "other=1"],
    "requestContext": {"http": {"method": "POST"}},
    "body": base64.b64encode(b"note=a+b&note=c").decode(),
    "isBase64Encoded": True,
}


def test_both_ways_in_make_the_same_request() -> None:
    headers = [("Origin", "https://page"), ("Content-Type", EVENT["headers"]["content-type"]),
               ("Cookie", "blastwall=abc.def; other=1")]  # fmt: skip
    there = from_event(EVENT)
    here = make_request("POST", "/requests/a-1?here=&x=%20y", headers, b"note=a+b&note=c")
    assert (there.path, there.query, there.cookies, there.body) == (here.path, here.query, here.cookies, here.body)
    assert there.query == {"here": "", "x": " y"}
    assert there.form() == {"note": "c"}
    assert there.headers["origin"] == "https://page"


@pytest.mark.parametrize(
    "event",
    [
        EVENT | {"body": "%%%"},
        EVENT | {"body": base64.b64encode(b"x" * (LARGEST_BODY + 1)).decode()},
        {name: value for name, value in EVENT.items() if name != "requestContext"},
        EVENT | {"rawQueryString": "&".join(f"a{n}=1" for n in range(40))},
    ],
)
def test_what_is_no_request(event: dict[str, object]) -> None:
    with pytest.raises((ValueError, KeyError)):
        from_event(event)


def test_only_a_form_is_a_form() -> None:
    with pytest.raises(ValueError, match="form"):
        Request("POST", "/", headers={"content-type": "application/json"}, body=b"{}").form()


def test_every_answer_is_closed_to_scripts_frames_and_caches() -> None:
    event = to_event(Response(200, "é".encode(), cookies=("a=b",)))
    policy = event["headers"]["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script" not in policy and "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy and "form-action 'self'" in policy
    assert event["headers"]["Cache-Control"] == "no-store"
    assert event["headers"]["Referrer-Policy"] == "same-origin"
    assert base64.b64decode(event["body"]).decode() == "é" and event["cookies"] == ["a=b"]


def test_a_malformed_cookie_is_none() -> None:
    assert cookies_of("a=1; b=2") == {"a": "1", "b": "2"}
    assert cookies_of("a=1; \x00") in ({}, {"a": "1"})
