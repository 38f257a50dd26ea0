"""SAML sign-ins under way on this machine, in the memory of the process that serves the page.

They live for minutes and belong to that process's own address. When it ends, what was under way is gone, and with it
the requests that a seen assertion could answer: nothing has to be remembered longer than they are.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from hmac import compare_digest
from typing import Final

from blastwall.errors import ClientFault
from blastwall.identity.saml_sign_in import CODE_SECONDS, Admitted, SignIn

MOST: Final = 512  # sign-ins under way at once


@dataclass(slots=True)
class _Kept:
    sign_in: SignIn
    admitted: Admitted | None = None
    code: str = ""


class MemorySignIns:
    """Implements :class:`blastwall.identity.saml_sign_in.SignIns` within one event loop."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._seen: dict[str, float] = {}
        self._forget_at: list[tuple[float, str]] = []

    async def begin(self, sign_in: SignIn) -> None:
        self._drop(sign_in.begun_at)
        if len(self._kept) >= MOST:
            raise ClientFault("too many sign-ins are under way; try again in some minutes")
        self._kept[sign_in.id] = _Kept(sign_in)

    async def find(self, id: str, now: float) -> SignIn | None:
        kept = self._kept.get(id)
        return kept.sign_in if kept is not None and kept.admitted is None and now < kept.sign_in.expires_at else None

    async def answer(
        self, id: str, admitted: Admitted, code: str, now: float, *, assertion: str, remember_until: float
    ) -> bool:
        self._drop(now)
        if await self.find(id, now) is None or assertion in self._seen:
            return False
        kept = self._kept[id]
        kept.admitted, kept.code = admitted, code
        kept.sign_in = replace(kept.sign_in, expires_at=now + CODE_SECONDS)
        self._seen[assertion] = remember_until
        heapq.heappush(self._forget_at, (remember_until, assertion))
        return True

    async def take(self, id: str, code: str, challenge: str, now: float) -> Admitted | None:
        kept = self._kept.get(id)
        if kept is None or kept.admitted is None or now >= kept.sign_in.expires_at:
            return None
        right = compare_digest(kept.code, code) and compare_digest(kept.sign_in.challenge, challenge)
        return self._kept.pop(id).admitted if right else None

    def _drop(self, now: float) -> None:
        for id in [id for id, kept in self._kept.items() if now >= kept.sign_in.expires_at]:
            del self._kept[id]
        while self._forget_at and self._forget_at[0][0] <= now:
            self._seen.pop(heapq.heappop(self._forget_at)[1], None)
