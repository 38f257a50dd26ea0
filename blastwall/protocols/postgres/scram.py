"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the client's side (RFC 5802, RFC 7677; channel binding RFC 5929), as
PostgreSQL speaks it.

Pure: the nonce and the server's certificate are arguments.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import stringprep
import unicodedata
from collections.abc import Sequence

from cryptography import x509

from blastwall.errors import UpstreamFault
from blastwall.model import Secret

PLAIN = "SCRAM-SHA-256"
PLUS = "SCRAM-SHA-256-PLUS"

LEAST_ITERATIONS = 4096  # RFC 7677, section 4; PostgreSQL's default
MOST_ITERATIONS = 1_000_000  # about half a second of CPU: more is a server that wants to stall its client
LONGEST_MESSAGE = 4096  # bytes of one server message

_NONCE = frozenset(map(chr, range(0x21, 0x7F))) - {","}
_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


class Scram:
    """One authentication: ``first()``, ``answer(server_first)``, ``verify(server_final)``, in this order.

    ``nonce`` is printable ASCII without commas, at least 18 random bytes' worth. ``offered`` are the server's
    mechanisms; with the server's ``certificate`` (DER) the channel is bound if the server offers it, and if it does
    not, the exchange says so under the server's own key, so that nobody in between can have hidden the offer.
    ``user`` stays empty: PostgreSQL takes the name from the startup packet.

    Raises UpstreamFault when the server offers neither mechanism or breaks the exchange, ValueError on a bad nonce.
    """

    def __init__(
        self, secret: Secret, nonce: str, offered: Sequence[str], certificate: bytes | None = None, user: str = ""
    ) -> None:
        if len(nonce) < 18 or not _NONCE.issuperset(nonce):
            raise ValueError("a SCRAM nonce has at least 18 printable ASCII characters and no comma")
        binding = endpoint_binding(certificate) if certificate else b""
        if binding and PLUS in offered:
            self.mechanism, self._header = PLUS, b"p=tls-server-end-point,,"
        elif PLAIN in offered:
            self.mechanism, self._header = PLAIN, b"y,," if binding else b"n,,"
            binding = b""
        else:
            raise UpstreamFault(
                f"the target offers none of the SASL mechanisms spoken here ({PLAIN}, {PLUS}): "
                "set password_encryption = 'scram-sha-256' there and give the user a new password"
            )
        self._binding = binding
        self._secret = secret
        self._nonce = nonce
        self._first_bare = f"n={user.replace('=', '=3D').replace(',', '=2C')},r={nonce}".encode()
        self._server_signature: bytes | None = None
        self.verified = False

    def first(self) -> bytes:
        """The client-first-message."""
        return self._header + self._first_bare

    def answer(self, server_first: bytes) -> bytes:
        """The client-final-message. Computes the key: up to half a second at the highest iteration count."""
        if self._server_signature is not None:
            raise _broken("it challenged twice")
        attributes = _attributes(server_first, "rsi")
        nonce, salt = attributes["r"], _decode(attributes["s"])
        if not nonce.startswith(self._nonce) or len(nonce) == len(self._nonce) or not _NONCE.issuperset(nonce):
            raise _broken("its nonce does not continue ours")
        if not salt:
            raise _broken("its salt is empty")
        digits = attributes["i"]
        iterations = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else 0
        if not LEAST_ITERATIONS <= iterations <= MOST_ITERATIONS:
            raise UpstreamFault(
                f"the target asks for {digits[:12]!r} SCRAM iterations, {LEAST_ITERATIONS} to {MOST_ITERATIONS} are "
                "accepted: set scram_iterations there and give the user a new password"
            )
        salted = salt_password(self._secret.reveal(), salt, iterations)
        client_key = _mac(salted, b"Client Key")
        bound = base64.b64encode(self._header + self._binding).decode("ascii")
        without_proof = f"c={bound},r={nonce}".encode("ascii")
        message = b",".join((self._first_bare, server_first, without_proof))
        signature = _mac(hashlib.sha256(client_key).digest(), message)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._server_signature = _mac(_mac(salted, b"Server Key"), message)
        return without_proof + b",p=" + base64.b64encode(proof)

    def verify(self, server_final: bytes) -> None:
        """Check that the server knows the password too; sets ``verified``."""
        if self._server_signature is None:
            raise _broken("it finished before its challenge")
        if server_final.startswith(b"e="):
            raise _broken("it reports an error")
        claimed = _decode(_attributes(server_final, "v")["v"])
        if not hmac.compare_digest(claimed, self._server_signature):
            raise UpstreamFault(
                "the target could not prove that it knows the user's password: it may not be the server it claims to be"
            )
        self.verified = True


def verifier(password: str, salt: bytes, iterations: int) -> str:
    """Return what PostgreSQL stores (and takes in ALTER ROLE ... PASSWORD) instead of the password."""
    if not LEAST_ITERATIONS <= iterations <= MOST_ITERATIONS or not salt:
        raise ValueError(f"a verifier needs a salt and {LEAST_ITERATIONS} to {MOST_ITERATIONS} iterations")
    salted = salt_password(password, salt, iterations)
    stored = hashlib.sha256(_mac(salted, b"Client Key")).digest()
    salt64, stored64, server64 = (
        base64.b64encode(part).decode("ascii") for part in (salt, stored, _mac(salted, b"Server Key"))
    )
    return f"SCRAM-SHA-256${iterations}:{salt64}${stored64}:{server64}"


def salt_password(password: str, salt: bytes, iterations: int) -> bytes:
    """RFC 5802's SaltedPassword."""
    return hashlib.pbkdf2_hmac("sha256", prepare(password).encode(), salt, iterations)


def prepare(password: str) -> str:
    """SASLprep (RFC 4013) as PostgreSQL applies it: ASCII stays as it is, and so does what SASLprep prohibits."""
    if password.isascii():
        return password
    mapped = "".join(
        " " if stringprep.in_table_c12(letter) else letter for letter in password if not stringprep.in_table_b1(letter)
    )
    prepared = unicodedata.normalize("NFKC", mapped)
    if not mapped or any(prohibits(letter) for letter in prepared for prohibits in _PROHIBITED):
        return password
    if any(map(stringprep.in_table_d1, prepared)) and (
        any(map(stringprep.in_table_d2, prepared))
        or not (stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1]))
    ):
        return password
    return prepared


def endpoint_binding(certificate: bytes) -> bytes:
    """RFC 5929's tls-server-end-point of a certificate in DER; empty where the RFC defines none (Ed25519).

    Raises UpstreamFault when the certificate does not read.
    """
    try:
        algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    except ValueError as fault:
        raise UpstreamFault("the target's certificate does not read") from fault
    if algorithm is None:
        return b""
    name = "sha256" if algorithm.name in ("md5", "sha1") else algorithm.name
    return hashlib.new(name, certificate).digest()


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _broken(what: str) -> UpstreamFault:
    return UpstreamFault(f"the target broke the SCRAM exchange: {what}", code="08P01")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as fault:
        raise _broken("a value is not base64") from fault


def _attributes(message: bytes, required: str) -> dict[str, str]:
    """Read ``required`` attributes, in this order and first; later ones are optional extensions and ignored."""
    if len(message) > LONGEST_MESSAGE:
        raise _broken(f"a message of {len(message)} bytes")
    try:
        parts = message.decode("utf-8").split(",")
    except UnicodeDecodeError as fault:
        raise _broken("a message is not UTF-8") from fault
    if len(parts) < len(required):
        raise _broken("a message lacks an attribute")
    attributes: dict[str, str] = {}
    for part, name in zip(parts, required, strict=False):
        if not part.startswith(f"{name}="):
            raise _broken(f"attribute {name!r} expected")  # "m=", a mandatory extension, ends here too
        attributes[name] = part[2:]
    return attributes
