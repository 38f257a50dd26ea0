"""Signed messages: of this body, made now, with this key."""

from __future__ import annotations

import pytest

from blastwall.approvals.signatures import WINDOW, sign, verify

KEY, BODY, NOW = b"8f742231b10e8888abcd99yyyzzz85a5", b"payload=1", 1_531_420_618


def test_slacks_own_example_verifies() -> None:
    """From Slack's documentation of request signing."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
        b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack"
        b".com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a"
        b"0bc887a14d10d2c447fce8b6703c"
    )
    signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    assert sign(KEY, NOW, body, version="v0") == signature
    assert verify(KEY, str(NOW), body, signature, NOW + 10, version="v0")
    assert not verify(KEY, str(NOW), body, signature, NOW + 10)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"secret": b"another"}, "another key"),
        ({"secret": b""}, "no key"),
        ({"timestamp": str(NOW + 1)}, "another time"),
        ({"timestamp": "now"}, "no time"),
        ({"timestamp": f"-{NOW}"}, "no time either"),
        ({"timestamp": "١٢٣"}, "digits of another script"),
        ({"body": BODY + b" "}, "another body"),
        ({"signature": ""}, "no signature"),
        ({"signature": "v1=é"}, "no ASCII"),
        ({"now": NOW + WINDOW + 1}, "too old"),
        ({"now": NOW - WINDOW - 1}, "from the future"),
    ],
)
def test_apr_012_nothing_else_verifies(changes: dict[str, object], why: str) -> None:
    given = {"secret": KEY, "timestamp": str(NOW), "body": BODY, "signature": sign(KEY, NOW, BODY), "now": float(NOW)}
    assert verify(**given)  # type: ignore[arg-type]
    assert not verify(**given | changes), why  # type: ignore[arg-type]
