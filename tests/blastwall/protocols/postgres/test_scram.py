"""SCRAM against the RFC's own example, against another implementation, and against servers that cheat."""

from __future__ import annotations

import base64
import datetime
import hashlib

import pytest
import scramp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from blastwall.errors import UpstreamFault
from blastwall.model import Secret
from blastwall.protocols.postgres.scram import PLAIN, PLUS, Scram, endpoint_binding, prepare, verifier

NONCE = "fyko+d2lbbFgONRv9qkxdawL"


def certificate(algorithm: hashes.HashAlgorithm | None) -> bytes:
    """A self-signed certificate in DER; None: Ed25519, which has no hash of its own."""
    key = ec.generate_private_key(ec.SECP256R1()) if algorithm else ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "db")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    built = built.not_valid_before(start).not_valid_after(start + datetime.timedelta(days=1))
    return built.sign(key, algorithm).public_bytes(serialization.Encoding.DER)


CERTIFICATE = certificate(hashes.SHA256())

# RFC 7677, section 3
RFC_NONCE = "rOprNGfwEbeRWgbNEkqO"
RFC_SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
RFC_CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
RFC_SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def rfc() -> Scram:
    return Scram(Secret("pencil"), RFC_NONCE, [PLAIN], user="user")


def test_the_example_of_rfc_7677() -> None:
    scram = rfc()
    assert scram.mechanism == "SCRAM-SHA-256"
    assert scram.first() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    assert scram.answer(RFC_SERVER_FIRST) == RFC_CLIENT_FINAL
    assert not scram.verified
    scram.verify(RFC_SERVER_FINAL)
    assert scram.verified


def converse(scram: Scram, password: str, binding: tuple[str, bytes] | None) -> None:
    """Run the exchange against scramp's server."""
    mechanism = scramp.ScramMechanism(scram.mechanism)
    known = mechanism.make_auth_info(password, iteration_count=4096)
    server = mechanism.make_server(lambda user: known, channel_binding=binding)
    server.set_client_first(scram.first().decode())
    answer = scram.answer(server.get_server_first().encode())
    server.set_client_final(answer.decode())
    scram.verify(server.get_server_final().encode())


@pytest.mark.parametrize(
    "password", ["pencil", "I\u00adX", "\u2168", "pass\u00a0word", "søren", "パスワード", "\u0627\u0644"]
)
def test_another_implementation_agrees(password: str) -> None:
    """Among the passwords are the examples of RFC 4013, section 3."""
    scram = Scram(Secret(password), NONCE, [PLAIN], user="agent")
    converse(scram, password, None)
    assert scram.verified


def test_another_implementation_agrees_on_the_channel() -> None:
    scram = Scram(Secret("pencil"), NONCE, [PLUS, PLAIN], CERTIFICATE, user="a=b,c")
    assert scram.mechanism == PLUS
    assert scram.first() == b"p=tls-server-end-point,,n=a=3Db=2Cc,r=" + NONCE.encode()
    converse(scram, "pencil", ("tls-server-end-point", hashlib.sha256(CERTIFICATE).digest()))
    assert scram.verified


def test_another_channel_does_not_pass() -> None:
    scram = Scram(Secret("pencil"), NONCE, [PLUS, PLAIN], CERTIFICATE, user="agent")
    with pytest.raises(scramp.ScramException):
        converse(scram, "pencil", ("tls-server-end-point", hashlib.sha256(b"somebody in between").digest()))


def test_a_hidden_offer_of_channel_binding_is_told_under_the_key() -> None:
    """RFC 5802, section 6: "y" says that we could have bound the channel; a server that offered it then refuses."""
    scram = Scram(Secret("pencil"), NONCE, [PLAIN], CERTIFICATE)
    assert scram.first().startswith(b"y,,")
    final = scram.answer(b"r=" + NONCE.encode() + b"srv,s=c2FsdA==,i=4096")
    assert base64.b64decode(final.split(b",")[0][2:]) == b"y,,"
    assert Scram(Secret("pencil"), NONCE, [PLAIN]).first().startswith(b"n,,")
    assert Scram(Secret("pencil"), NONCE, [PLUS, PLAIN]).mechanism == PLAIN


def test_the_binding_is_the_hash_the_certificate_was_signed_with() -> None:
    longer = certificate(hashes.SHA384())
    assert endpoint_binding(CERTIFICATE) == hashlib.sha256(CERTIFICATE).digest()
    assert endpoint_binding(longer) == hashlib.sha384(longer).digest()
    assert endpoint_binding(certificate(None)) == b""
    with pytest.raises(UpstreamFault, match="certificate does not read"):
        endpoint_binding(b"not a certificate")


def test_a_certificate_without_a_binding_is_none() -> None:
    assert Scram(Secret("x"), NONCE, [PLUS, PLAIN], certificate(None)).mechanism == PLAIN


@pytest.mark.parametrize("offered", [[], ["SCRAM-SHA-1"], [PLUS]])
def test_a_server_without_a_mechanism_we_speak_is_told_what_to_change(offered: list[str]) -> None:
    with pytest.raises(UpstreamFault, match="set password_encryption = 'scram-sha-256'"):
        Scram(Secret("x"), NONCE, offered)


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (b"", "lacks an attribute"),
        (b"r=" + NONCE.encode(), "lacks an attribute"),
        (b"s=c2FsdA==,r=fyko,i=4096", "attribute 'r' expected"),
        (b"m=x,r=fyko,s=c2FsdA==,i=4096", "attribute 'r' expected"),
        (b"r=other,s=c2FsdA==,i=4096", "nonce does not continue ours"),
        (b"r=" + NONCE.encode() + b",s=c2FsdA==,i=4096", "nonce does not continue ours"),
        (b"r=" + NONCE.encode() + b"\x01,s=c2FsdA==,i=4096", "nonce does not continue ours"),
        (b"r=" + NONCE.encode() + b"x,s=,i=4096", "salt is empty"),
        (b"r=" + NONCE.encode() + b"x,s=***,i=4096", "not base64"),
        (b"r=" + NONCE.encode() + b"x,s=\xc3\xa9,i=4096", "not base64"),
        (b"r=" + NONCE.encode() + b"x,s=c2FsdA==,i=\xff", "not UTF-8"),
        (b"r=" + NONCE.encode() + b"x" * 5000 + b",s=c2FsdA==,i=4096", "a message of"),
    ],
)
def test_a_challenge_out_of_shape_is_a_fault(first: bytes, words: str) -> None:
    with pytest.raises(UpstreamFault, match=words):
        Scram(Secret("pencil"), NONCE, [PLAIN]).answer(first)


@pytest.mark.parametrize(
    "count", ["4095", "0", "-1", "1000001", "99999999999999999999", "4096.0", "", "４０９６", "+4096"]
)
def test_iterations_out_of_bounds_are_a_fault(count: str) -> None:
    """Too few give the password away to guessing; too many stall the gateway."""
    with pytest.raises(UpstreamFault, match="4096 to 1000000 are accepted"):
        Scram(Secret("pencil"), NONCE, [PLAIN]).answer(f"r={NONCE}x,s=c2FsdA==,i={count}".encode())


@pytest.mark.parametrize("count", [4096, 1_000_000])
def test_iterations_at_the_bounds_are_done(count: int) -> None:
    assert Scram(Secret("x"), NONCE, [PLAIN]).answer(f"r={NONCE}x,s=c2FsdA==,i={count}".encode())


def test_a_nonce_may_be_any_printable_ascii() -> None:
    for nonce in ("!" * 18, "~" * 18):
        assert Scram(Secret("x"), nonce, [PLAIN]).answer(f"r={nonce}!,s=c2FsdA==,i=4096".encode())
    for nonce in ("\x20" * 18, "\x7f" * 18, "!" * 17):
        with pytest.raises(ValueError, match="nonce"):
            Scram(Secret("x"), nonce, [PLAIN])


@pytest.mark.parametrize(
    ("final", "words"),
    [
        (b"v=" + base64.b64encode(bytes(32)), "could not prove"),
        (b"v=", "could not prove"),
        (b"v=***", "not base64"),
        (b"e=invalid-proof", "reports an error"),
        (b"", "attribute 'v' expected"),
    ],
)
def test_a_server_that_cannot_prove_itself_is_a_fault(final: bytes, words: str) -> None:
    scram = rfc()
    scram.answer(RFC_SERVER_FIRST)
    with pytest.raises(UpstreamFault, match=words):
        scram.verify(final)
    assert not scram.verified


def test_the_order_is_kept() -> None:
    scram = rfc()
    with pytest.raises(UpstreamFault, match="before its challenge"):
        scram.verify(RFC_SERVER_FINAL)
    scram.answer(RFC_SERVER_FIRST)
    with pytest.raises(UpstreamFault, match="challenged twice"):
        scram.answer(RFC_SERVER_FIRST)


def test_a_poor_nonce_is_refused() -> None:
    for nonce in ("short", "with,comma" * 3, "with space" * 3, "ü" * 20):
        with pytest.raises(ValueError, match="nonce"):
            Scram(Secret("x"), nonce, [PLAIN])


@pytest.mark.parametrize(
    ("password", "prepared"),
    [
        ("pencil", "pencil"),
        ("I\u00adX", "IX"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u3000b", "a b"),
        ("a\x07b", "a\x07b"),  # ASCII is never touched
        ("é\u00ad\x07", "é\u00ad\x07"),  # prohibited: as it is
        ("\u0627\u0031", "\u0627\u0031"),  # right to left, ending with a digit: as it is
        ("\u00ad", "\u00ad"),  # nothing would be left: as it is
        ("\ue000\u00ad", "\ue000\u00ad"),  # private use: as it is
        ("\u0627\u00ad1", "\u0627\u00ad1"),  # right to left at one end only: as it is
        ("1\u00ad\u0627", "1\u00ad\u0627"),
        ("\u0627\u00ada\u0627", "\u0627\u00ada\u0627"),  # both directions: as it is
        ("\u0627\u00ad1\u0627", "\u06271\u0627"),
    ],
)
def test_passwords_are_prepared_as_postgresql_does(password: str, prepared: str) -> None:
    assert prepare(password) == prepared


def test_a_verifier_is_what_the_server_stores() -> None:
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    _, stored_key, server_key, _ = scramp.ScramMechanism().make_auth_info("pencil", 4096, salt)
    stored64, server64 = (base64.b64encode(key).decode() for key in (stored_key, server_key))
    assert verifier("pencil", salt, 4096) == f"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==${stored64}:{server64}"


def test_a_weak_verifier_is_refused() -> None:
    for salt, iterations in ((b"", 4096), (b"salt", 4095), (b"salt", 1_000_001)):
        with pytest.raises(ValueError, match="verifier"):
            verifier("x", salt, iterations)
