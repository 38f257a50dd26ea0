"""The record of a credential's end: in a recording of its own, for the connections' have been closed by then."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from blastwall.errors import RecordingFault
from blastwall.model import Credential, Revocation, Session, Target
from blastwall.ports import Recorder

log = logging.getLogger("blastwall.credentials")


def record_revocations(
    recorder: Recorder, session: Session, target: Target | None, reason: str, revocations: Sequence[Revocation]
) -> None:
    """Log and record what became of a session's credentials; it waits for a disk and for who signs.

    ``target`` None: the configuration has it no more, so only the log tells. Never raises: a revocation that could not
    be recorded has happened all the same.
    """
    for revocation in revocations:
        level = logging.INFO if revocation.verified or revocation.kind == "iam" else logging.ERROR
        log.log(level, "%s of session %s: %s", revocation.user, session.id, revocation.proof)
    if target is None or not revocations:
        return
    try:
        header = {"protocol": target.protocol, "mode": target.mode, "purpose": "revocation"}
        recording = recorder.open(session, target, f"r-{secrets.token_hex(8)}", header)
        for revocation in revocations:
            recording.event(_name(revocation), _fields(revocation, reason))
        recording.close(reason)
    except RecordingFault as fault:
        log.error("a revocation could not be recorded: %s", fault)


def outliving(credential: Credential) -> Revocation:
    """What is told of a credential that nothing can take back."""
    at = datetime.fromtimestamp(credential.expires_at or 0, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return Revocation(credential.user, "iam", False, f"it cannot be revoked: it expires at {at}", 0.0)


def _name(revocation: Revocation) -> str:
    if revocation.verified:
        return "revocation_verified"
    return "credential_expires" if revocation.kind == "iam" else "revocation_failed"


def _fields(revocation: Revocation, reason: str) -> dict[str, object]:
    fields: dict[str, object] = {"user": revocation.user, "kind": revocation.kind, "verified": revocation.verified}
    fields["proof"] = revocation.proof
    if revocation.verified:
        fields |= {
            "proof": f"revocation verified at T+{revocation.seconds:.3f} s: {revocation.proof}",
            "seconds": revocation.seconds,
            "connections": revocation.connections,
        }
    if revocation.left:
        fields["left"] = list(revocation.left)
    return fields | {"reason": reason}
