"""What a doctor says: of this machine (``cli/checks.py``), or of an AWS account (``blastwall/aws/doctor.py``)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """``warn`` does not keep the gateway from working today; ``unknown``: nobody let us look."""

    OK = "ok"
    WARN = "warn"
    UNKNOWN = "unknown"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """``about`` is what was looked at, where a check looks at several things.

    ``advice`` says what to do; it is never empty unless the verdict is OK.
    """

    check: str
    verdict: Verdict
    found: str
    advice: str = ""
    about: str = ""

    @property
    def title(self) -> str:
        return f"{self.check} ({self.about})" if self.about else self.check
