"""Ending one lease: the login is dropped, then tried. The same steps on one machine and in AWS."""

from __future__ import annotations

import asyncio
from typing import Final

from blastwall.conversation import Admin, Roles
from blastwall.credentials.lease import Lease
from blastwall.errors import UpstreamFault
from blastwall.model import Credential, Revocation, Secret, Target

#: A target has this long to let a login go, and then to refuse it (seconds).
DROP_SECONDS: Final = 20.0
TRY_SECONDS: Final = 10.0


async def end_role(
    lease: Lease, target: Target, admin: Admin, roles: Roles, secret: Secret | None, since: float, now: float
) -> Revocation:
    """Drop a session's login and show that it is dead: by trying ``secret`` if it is known, else by asking the target.

    ``since`` is when the session ended, ``now`` when this began, both wall time; what passes meanwhile is measured.
    Raises UpstreamFault when the target does not answer in time: then the login may still work.
    """
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        async with asyncio.timeout(DROP_SECONDS):
            ended = await roles.drop(target, admin, lease.id, lease.profile)
    except TimeoutError:
        raise UpstreamFault(f"{target.name} did not drop {lease.id} within {DROP_SECONDS:.0f} s") from None
    try:
        async with asyncio.timeout(TRY_SECONDS):
            if secret is not None:
                verified = not await roles.opens(target, Credential(lease.id, secret, lease.kind))
                proof = "the target refuses it" if verified else "it still opens the target"
            else:
                verified = not await roles.present(target, admin, lease.id)
                proof = "the target has no such login" if verified else "the target still has the login"
    except TimeoutError:
        raise UpstreamFault(f"{target.name} did not answer the canary within {TRY_SECONDS:.0f} s") from None
    seconds = max(0.0, now - since) + clock() - began
    return Revocation(lease.id, lease.kind, verified, proof, round(seconds, 3), ended.connections, ended.left)
