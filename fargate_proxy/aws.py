"""All ports on AWS: what a gateway task runs on. Tables and functions are named by its environment."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from blastwall.approvals.flood import Limits
from blastwall.aws.approvals import ApprovalTable, AwsApprovals
from blastwall.aws.capsules import AwsCapsules
from blastwall.aws.clients import client
from blastwall.aws.following import AwsSessions
from blastwall.aws.functions import Functions, beside
from blastwall.aws.recorder import AwsRecorder, compose_recorder
from blastwall.aws.sessions import SessionTable
from blastwall.aws.vendor import AwsVendor, AwsVerifier
from blastwall.config.bundle import Bundle
from blastwall.config.vending import Composer
from blastwall.conversation import TELL, TOLD
from blastwall.local.audit import Follower
from blastwall.local.clock import SystemClock
from blastwall.settings import ProxySettings, RecordingSettings

#: What must be named for these adapters.
REQUIRED = (
    "sessions_table",
    "approvals_table",
    "token_verifier_function",
    "credential_vendor_function",
    "session_revoker_function",
    "approval_request_function",
    "approval_decide_function",
)


#: Where undo capsules go and which KMS key seals them; without both, what must be kept to be changed is not changed.
UNDO_BUCKET, UNDO_KEY = "BLASTWALL_UNDO_BUCKET", "BLASTWALL_UNDO_KEY_ID"


@dataclass(slots=True)
class Parts:
    """One adapter for each port."""

    verifier: AwsVerifier
    vendor: AwsVendor
    people: AwsApprovals
    sessions: AwsSessions
    recorder: AwsRecorder
    clock: SystemClock
    follower: Follower
    capsules: AwsCapsules

    def adopt(self, bundle: Bundle) -> None:
        """Nothing here depends on the configuration: the functions have their own, of the same version."""

    def join(self, protocols: Iterable[str], shared: dict[str, dict[str, Any]]) -> None:
        """Let the protocols of this task and those of others tell each other what only one of them can act on."""

        async def hear(word: str) -> None:
            for memory in shared.values():
                if TOLD in memory:
                    await memory[TOLD](word)

        self.sessions.hear = hear
        for name in protocols:
            shared.setdefault(name, {})[TELL] = self.sessions.tell

    def close(self) -> None:
        """Let what was recorded reach the bucket, and the audit events their sinks."""
        self.recorder.close()
        self.follower.close()


def missing(settings: ProxySettings) -> tuple[str, ...]:
    """The environment variables that these adapters need and do not have."""
    return tuple(f"BLASTWALL_{name.upper()}" for name in REQUIRED if not getattr(settings, name))


def compose(bundle: Bundle, settings: ProxySettings, environ: Mapping[str, str]) -> Parts:
    """Make every adapter, with clients of its own. Raises ValueError naming variables that are missing."""
    if absent := missing(settings):
        raise ValueError(f"set {', '.join(absent)}")
    recording = RecordingSettings.from_env(environ)
    clock = SystemClock()
    limits = Limits(**bundle.config.approvals.limits.model_dump())
    functions = {
        "approval_request": settings.approval_request_function,
        "approval_decide": settings.approval_decide_function,
    }
    invoke = Functions(client("lambda"), functions)
    table = ApprovalTable(client("dynamodb"), settings.approvals_table, clock, limits)
    people = AwsApprovals(table, beside(invoke, "approval_decide"))  # that a wait is over: it was written down before
    sessions = SessionTable(client("dynamodb"), settings.sessions_table, clock, withdraw=people.withdraw_all)
    table.doors = sessions
    # Addresses, and with them names, are used again by later tasks.
    holder = f"{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(4)}"
    return Parts(
        AwsVerifier(invoke, settings.token_verifier_function, clock),
        AwsVendor(
            invoke,
            settings.credential_vendor_function,
            settings.session_revoker_function,
            holder,
            Composer(environ).roles(bundle),
            clock,
        ),
        people,
        AwsSessions(sessions, holder),
        compose_recorder(recording, clock),
        clock,
        Follower(recording.spool_path, "blastwall.aws.audit"),
        AwsCapsules(client("s3"), client("kms"), environ.get(UNDO_BUCKET, ""), environ.get(UNDO_KEY, "")),
    )
