"""Start-up at the target: every method, every way a server can cheat, and no secret in any message."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import pytest

from blastwall.errors import Unreachable, UpstreamFault
from blastwall.model import Secret
from blastwall.protocols.postgres import messages
from blastwall.protocols.postgres.login import MOST_PARAMETERS, Login, Ready, md5_answer

NONCE = "rOprNGfwEbeRWgbNEkqO"
OK = messages.AUTHENTICATION_OK
IDLE = messages.ready_for_query(b"I")


def request(method: int, body: bytes = b"") -> bytes:
    return messages.frame(b"R", struct.pack(">I", method) + body)


MECHANISMS = request(10, b"SCRAM-SHA-256\0\0")


def login(secret: str | None = "pencil", **options: Any) -> Login:
    return Login("user", None if secret is None else Secret(secret), nonce=NONCE, **options)


def take(engine: Login, *frames: bytes) -> Ready | None:
    ready = None
    for frame in frames:
        ready = engine.take(frame)
    return ready


def test_a_server_that_trusts() -> None:
    key = messages.backend_key_data(77, b"k" * 32)
    status = messages.parameter_status("server_version", "17.10")
    notice = messages.notice_response("NOTICE", "00000", "welcome")
    ready = take(login(None, minor=2), OK, status, notice, key, IDLE)
    assert ready == Ready(b"I", {"server_version": "17.10"}, 77, b"k" * 32, 2)
    assert "kkkk" not in repr(ready)


def test_a_server_without_cancel_keys() -> None:
    assert take(login(None), OK, IDLE) == Ready(b"I", {})


def test_cleartext_only_where_it_is_allowed() -> None:
    engine = login(allow_cleartext=True)
    engine.take(request(3))
    assert engine.outgoing == messages.password(b"pencil")
    with pytest.raises(UpstreamFault, match="turn TLS on for this target, or use scram-sha-256"):
        login().take(request(3))


def test_md5() -> None:
    engine = login()
    engine.take(request(5, b"salt"))
    inner = hashlib.md5(b"penciluser").hexdigest().encode()
    assert engine.outgoing == messages.password(b"md5" + hashlib.md5(inner + b"salt").hexdigest().encode())
    assert md5_answer("user", Secret("pencil"), b"\0\0\0\0").startswith(b"md5")


def test_scram() -> None:
    """Frames around RFC 7677's example; PostgreSQL leaves the user name out of it, so only the shape is the RFC's."""
    engine = login()
    engine.take(MECHANISMS)
    assert engine.outgoing == messages.sasl_initial("SCRAM-SHA-256", b"n,,n=,r=" + NONCE.encode())
    engine.outgoing = b""
    engine.take(request(11, b"r=" + NONCE.encode() + b"%hvYD,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"))
    assert engine.outgoing.startswith(b"p\0\0\0") and b"c=biws,r=" + NONCE.encode() + b"%hvYD,p=" in engine.outgoing


CHALLENGE = request(11, b"r=" + NONCE.encode() + b"x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")

CHEATS: dict[str, tuple[list[bytes], str]] = {
    "skips its proof": ([MECHANISMS, CHALLENGE, OK], "without proving that it knows"),
    "skips the whole exchange once it began": ([MECHANISMS, OK], "without proving that it knows"),
    "proves nothing": ([MECHANISMS, CHALLENGE, request(12, b"v=AAAA")], "could not prove"),
    "falls back to cleartext": ([MECHANISMS, request(3)], "second authentication method"),
    "falls back to md5": ([MECHANISMS, request(5, b"salt")], "second authentication method"),
    "asks for md5 twice": ([request(5, b"salt"), request(5, b"tlas")], "second authentication method"),
    "begins SASL twice": ([MECHANISMS, MECHANISMS], "second authentication method"),
    "continues what was not begun": ([CHALLENGE], "was not begun"),
    "finishes what was not begun": ([request(12, b"v=AAAA")], "was not begun"),
    "authenticates twice": ([OK, OK], "authentication twice"),
    "asks after it accepted": ([OK, request(3)], "authentication twice"),
    "is ready before it has authenticated": ([IDLE], "before it has authenticated"),
    "reports before it has authenticated": ([messages.parameter_status("a", "b")], "before it has authenticated"),
    "gives a key before it has authenticated": ([messages.backend_key_data(1, b"abcd")], "before it has authenticated"),
    "has a short salt": ([request(5, b"sal")], "no 4-byte salt"),
    "has a long salt": ([request(5, b"salty")], "no 4-byte salt"),
    "says more than OK": ([request(0, b"x")], "AuthenticationOk has bytes too many"),
    "says more than cleartext": ([request(3, b"x")], "bytes too many"),
    "lists mechanisms without end": ([request(10, b"SCRAM-SHA-256")], "list has no end"),
    "lists mechanisms with half an end": ([request(10, b"SCRAM-SHA-256\0")], "list has no end"),
    "lists no mechanism": ([request(10, b"\0")], "offers none of the SASL mechanisms"),
    "lists nothing": ([request(10, b"")], "list has no end"),
    "lists strange mechanisms": ([request(10, b"SCRAM-SHA-512\0\0")], "offers none of the SASL mechanisms"),
    "wants Kerberos": ([request(2)], "method Kerberos V5, which is not spoken here: let \"user\" in by scram-sha-256"),
    "wants GSSAPI": ([request(7)], "method GSSAPI"),
    "wants SSPI": ([request(9)], "method SSPI"),
    "wants OAuth": ([request(10, b"OAUTHBEARER\0\0")], "offers none of the SASL mechanisms"),
    "wants something unheard of": ([request(99)], "method number 99"),
    "negotiates a newer version": ([messages.negotiate_protocol_version(3, [])], "not asked for"),
    "negotiates options away that were not asked for": ([messages.negotiate_protocol_version(0, ["_pq_.x"])], "not asked for"),
    "negotiates after it began": ([MECHANISMS, messages.negotiate_protocol_version(0, [])], "not asked for"),
    "negotiates twice": ([messages.negotiate_protocol_version(0, [])] * 2, "not asked for"),
    "reports without end": (
        [OK, *(messages.parameter_status(f"p{number}", "") for number in range(MOST_PARAMETERS + 1))],
        "more than 200 parameters",
    ),
}  # fmt: skip


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_server_that(cheat: str) -> None:
    frames, words = CHEATS[cheat]
    engine = login(allow_cleartext=True)
    with pytest.raises(UpstreamFault, match=words) as caught:
        take(engine, *frames)
    assert "pencil" not in str(caught.value)


def test_a_version_that_is_negotiated_down_is_in_force() -> None:
    ready = take(login(None, minor=2), messages.negotiate_protocol_version(0, []), OK, IDLE)
    assert ready is not None and ready.minor == 0


@pytest.mark.parametrize("method", [request(3), request(5, b"salt"), MECHANISMS])
def test_a_password_that_nobody_vended(method: bytes) -> None:
    with pytest.raises(UpstreamFault, match='wants a password for "user" and the credential has none'):
        login(None, allow_cleartext=True).take(method)


def test_a_password_that_cannot_be_sent() -> None:
    with pytest.raises(UpstreamFault, match="cannot be sent"):
        login("a\0b", allow_cleartext=True).take(request(3))


def test_a_refusal_keeps_its_code_and_shows_no_secret() -> None:
    words = 'password "pencil" is wrong \x1b[31m\n' + "x" * 1000
    with pytest.raises(UpstreamFault) as caught:
        login().take(messages.error_response("FATAL", "28P01", words))
    assert caught.value.code == "28P01"
    told = str(caught.value)
    assert told.startswith('the target refused the connection: password "***" is wrong  [31m')
    assert told.isprintable() and len(told) < 600


@pytest.mark.parametrize(("code", "passes"), [("57P03", True), ("57P01", True), ("53300", True), ("28P01", False)])
def test_a_refusal_that_passes_is_told_from_one_that_does_not(code: str, passes: bool) -> None:
    with pytest.raises(UpstreamFault) as caught:
        login().take(messages.error_response("FATAL", code, "the database system is starting up"))
    assert isinstance(caught.value, Unreachable) == passes


def test_a_secret_cannot_be_pieced_together_from_a_bounded_refusal() -> None:
    """Masked before it is cut: half a secret at the cut would be half a secret."""
    words = "x" * 497 + "pencil"
    with pytest.raises(UpstreamFault) as caught:
        login().take(messages.error_response("FATAL", "28P01", words))
    assert "pen" not in str(caught.value)
