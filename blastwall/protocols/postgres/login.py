"""Start-up at the target, the client's side, until its first ReadyForQuery (PostgreSQL, section 53.2.1)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from blastwall.errors import Unreachable, UpstreamFault
from blastwall.model import Secret
from blastwall.protocols.postgres import messages, replies
from blastwall.protocols.postgres.scram import Scram

MOST_PARAMETERS: Final = 200  # a server reports about 15

#: Refusals that pass: too_many_connections, admin_shutdown, crash_shutdown, cannot_connect_now (it starts).
_NOT_NOW: Final = frozenset({"53300", "57P01", "57P02", "57P03"})
#: Authentication requests that are not spoken here -> their names.
UNSPOKEN: Final = {
    2: "Kerberos V5",
    6: "SCM credentials",
    7: "GSSAPI",
    8: "GSSAPI",
    9: "SSPI",
}


@dataclass(slots=True)
class Ready:
    """Start-up is over. ``status`` is ``b"I"``; ``secret`` (4 to 256 bytes) and ``pid`` make the cancel key (0, b"":
    none).

    ``minor`` is the protocol's minor version in force.
    """

    status: bytes
    parameters: dict[str, str]
    pid: int = 0
    secret: bytes = field(default=b"", repr=False)
    minor: int = 0


class Login:
    """Takes start-up frames one by one; what it wants sent piles up in ``outgoing``."""

    def __init__(
        self,
        user: str,
        secret: Secret | None,
        *,
        nonce: str,
        allow_cleartext: bool = False,
        certificate: bytes | None = None,
        minor: int = 0,
    ) -> None:
        self.outgoing = b""
        self._user = user
        self._secret = secret
        self._nonce = nonce
        self._allow_cleartext = allow_cleartext
        self._certificate = certificate
        self._scram: Scram | None = None
        self._answered = False  # a method was chosen; a server asks for one only
        self._accepted = False
        self._negotiated = False
        self._ready = Ready(b"", {}, minor=minor)

    def take(self, frame: bytes) -> Ready | None:
        """Take one whole frame of a type in ``frames.STARTUP``; Ready ends start-up. Raises UpstreamFault."""
        kind = frame[:1]
        if kind == b"E":
            raise self._refusal(frame)
        if kind == b"N":
            replies.error_fields(frame)
        elif kind == b"v":
            self._negotiate(frame)
        elif kind == b"R":
            self._authenticate(frame)
        elif not self._accepted:
            raise UpstreamFault("the target speaks before it has authenticated the gateway", code=replies.VIOLATION)
        elif kind == b"S":
            name, value = replies.parameter_status(frame)
            self._ready.parameters[name] = value
            if len(self._ready.parameters) > MOST_PARAMETERS:
                raise UpstreamFault(
                    f"the target reports more than {MOST_PARAMETERS} parameters", code=replies.VIOLATION
                )
        elif kind == b"K":
            self._ready.pid, self._ready.secret = replies.backend_key_data(frame)
        else:
            self._ready.status = replies.ready_status(frame)
            return self._ready
        return None

    def _negotiate(self, frame: bytes) -> None:
        minor, unknown = replies.negotiation(frame)
        if self._negotiated or self._answered or self._accepted or minor > self._ready.minor or unknown:
            raise UpstreamFault(
                "the target negotiates a protocol version that was not asked for", code=replies.VIOLATION
            )
        self._negotiated = True
        self._ready.minor = minor

    def _authenticate(self, frame: bytes) -> None:
        if self._accepted:
            raise UpstreamFault("the target asks for authentication twice", code=replies.VIOLATION)
        method = int.from_bytes(frame[5:9], "big")
        body = frame[9:]
        if method == 0:
            if body:
                raise replies.malformed("AuthenticationOk has bytes too many")
            if self._scram is not None and not self._scram.verified:
                raise UpstreamFault("the target accepted the gateway without proving that it knows the user's password")
            self._accepted = True
        elif method in (11, 12):
            self._continue(method, body)
        elif method in (3, 5, 10):
            self._begin(method, body)
        else:
            name = UNSPOKEN.get(method, f"number {method}")
            raise UpstreamFault(
                f"the target asks for the authentication method {name}, which is not spoken here: "
                f'let "{self._user}" in by scram-sha-256 in its pg_hba.conf'
            )

    def _begin(self, method: int, body: bytes) -> None:
        if self._answered:
            raise UpstreamFault("the target asks for a second authentication method", code=replies.VIOLATION)
        self._answered = True
        if self._secret is None:
            raise UpstreamFault(f'the target wants a password for "{self._user}" and the credential has none')
        if method == 3:
            if body:
                raise replies.malformed("AuthenticationCleartextPassword has bytes too many")
            if not self._allow_cleartext:
                raise UpstreamFault(
                    "the target asks for the password in the clear on a connection without TLS: "
                    "turn TLS on for this target, or use scram-sha-256 in its pg_hba.conf"
                )
            self._send(self._secret.reveal().encode())
        elif method == 5:
            if len(body) != 4:
                raise replies.malformed("AuthenticationMD5Password has no 4-byte salt")
            self._send(md5_answer(self._user, self._secret, body))
        else:
            self._scram = Scram(self._secret, self._nonce, _mechanisms(body), self._certificate)
            self.outgoing += messages.sasl_initial(self._scram.mechanism, self._scram.first())

    def _send(self, password: bytes) -> None:
        try:
            self.outgoing += messages.password(password)
        except ValueError as fault:
            raise UpstreamFault(f'the password of "{self._user}" cannot be sent: {fault}') from fault

    def _continue(self, method: int, body: bytes) -> None:
        if self._scram is None:
            raise UpstreamFault("the target continues a SASL exchange that was not begun", code=replies.VIOLATION)
        if method == 11:
            self.outgoing += messages.sasl_response(self._scram.answer(body))
        elif self._scram.verified:
            raise UpstreamFault("the target finishes its SASL exchange twice", code=replies.VIOLATION)
        else:
            self._scram.verify(body)

    def _refusal(self, frame: bytes) -> UpstreamFault:
        """The server's own words, made safe to show: no control characters, bounded, and never the password."""
        fields = replies.error_fields(frame)
        words = fields.get("M", "no reason given")
        if self._secret is not None and self._secret.reveal():
            words = words.replace(self._secret.reveal(), "***")
        words = "".join(letter if letter.isprintable() else " " for letter in words[:500])
        code = fields.get("C", "")[:5]
        kind = Unreachable if code in _NOT_NOW else UpstreamFault
        return kind(f"the target refused the connection: {words}", code=code)


def md5_answer(user: str, secret: Secret, salt: bytes) -> bytes:
    """PostgreSQL's MD5 answer to a 4-byte salt: weak, and still what some servers ask for."""
    inner = hashlib.md5(secret.reveal().encode() + user.encode(), usedforsecurity=False).hexdigest()
    return b"md5" + hashlib.md5(inner.encode() + salt, usedforsecurity=False).hexdigest().encode()


def _mechanisms(body: bytes) -> list[str]:
    """Read AuthenticationSASL's list: strings, then an empty one, exactly."""
    if not body.endswith(b"\0") or (len(body) > 1 and not body.endswith(b"\0\0")) or not body.isascii():
        raise replies.malformed("AuthenticationSASL's list has no end")
    return body[:-2].decode("ascii").split("\0") if len(body) > 1 else []
