"""Breaking the glass: who asks for it, and who asks for it in vain.

Whoever means to set the rules aside and is silently given an ordinary session looks for the fault elsewhere, in an
emergency. So asking wrongly is a login that is refused, and on record as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from blastwall.model import Denial, DenialCode, Principal

#: An application name that asks for it, in any spelling; what follows the colon is the reason.
_ASKED: Final = re.compile(r"\s*break[ _-]?glass\s*(?:(?P<colon>:)(?P<reason>.*)|\s.*|)", re.IGNORECASE | re.DOTALL)
_HOW: Final = (
    'Name the application "break-glass: " and then why, for example PGAPPNAME="break-glass: orders are stuck".'
)


def reason_given(application: str, principal: Principal, groups: Iterable[str]) -> str | Denial | None:
    """The reason for which the glass is broken; None: nobody asks for that; or why it is not.

    ``application`` is the name that a client gave itself, ``groups`` are those that may.
    """
    found = _ASKED.fullmatch(application)
    if found is None:
        return None
    may = sorted(groups)
    if principal.groups.isdisjoint(may):
        reason = (
            f"{principal.agent} asks to break the glass and is of no group that may ({', '.join(may) or 'nobody may'})"
        )
        return Denial(DenialCode.POLICY, reason, "Connect under another application name for an ordinary session.")
    reason = (found["reason"] or "").strip()
    if not reason:
        return Denial(DenialCode.POLICY, "breaking the glass needs a reason, and there is none", _HOW)
    return reason
