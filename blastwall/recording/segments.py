"""Where a recording's segments stand in an object store, and what they are called. Pure.

The segments of a recording, one behind the other in the order of their numbers, are its file, byte for byte.

``recordings/<YYYY-MM-DD>/<target>/<session>/<connection>/<recording>/<000000>.bwr``, and ``manifest.json`` beside them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from blastwall.recording.codec import SUFFIX

ROOT: Final = "recordings/"
MANIFEST: Final = "manifest.json"
_NAME = re.compile(r"(\d{6})" + re.escape(SUFFIX) + r"\Z")
MOST_SEGMENTS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """A recording's place. Names are spelled so that none can reach into another's place."""

    prefix: str

    @classmethod
    def of(cls, recording: str, session: str, target: str, connection: str, started_at: float) -> Place:
        """``started_at`` in seconds since the epoch; the date is that of UTC."""
        day = datetime.fromtimestamp(started_at, UTC).date().isoformat()
        parts = [day, *(_plain(part) for part in (target, session, connection, recording))]
        return cls(ROOT + "/".join(parts) + "/")

    @classmethod
    def of_header(cls, header: Mapping[str, Any]) -> Place:
        """As :meth:`of`, from a recording's header."""
        return cls.of(
            str(header["recording"]),
            str(header["session"]),
            str(header["target"]["name"]),
            str(header["connection"]),
            float(header["started_at"]),
        )

    def segment(self, number: int) -> str:
        """The key of a segment; they count from 0. Raises ValueError beyond :data:`MOST_SEGMENTS`."""
        if not 0 <= number < MOST_SEGMENTS:
            raise ValueError(f"a recording has at most {MOST_SEGMENTS:,} segments")
        return f"{self.prefix}{number:06d}{SUFFIX}"

    @property
    def manifest(self) -> str:
        """The key of the manifest: the last thing that is put."""
        return self.prefix + MANIFEST

    def number(self, key: str) -> int | None:
        """The number of a segment; None for any other key."""
        found = _NAME.match(key.removeprefix(self.prefix)) if key.startswith(self.prefix) else None
        return int(found[1]) if found else None


def _plain(part: str) -> str:
    """A part of a key: no slash, and never "." or ".."."""
    spelled = quote(part, safe="")
    return spelled.replace(".", "%2E") if set(part) <= {"."} else spelled
