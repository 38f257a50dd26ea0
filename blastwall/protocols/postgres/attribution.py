"""Who did it, for the database's own log: in ``application_name`` and, if wanted, in a comment behind each statement.

The comment has the form of sqlcommenter (google.github.io/sqlcommenter/spec): keys in order, values percent-encoded in
single quotes. It stands behind the text on a line of its own, so that positions in errors stay right and a comment that
ends the text does not swallow it. An unfinished quote or comment stays unfinished: the server refuses it as before.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from blastwall.model import Bearer

LONGEST_NAME: Final = 63  # bytes of application_name that the server keeps (NAMEDATALEN - 1)


def application_name(bearer: Bearer, client: str) -> str:
    """Session, agent and person, then what the client calls itself as far as it fits; printable ASCII, 63 at most."""
    person = f" for {bearer.person}" if bearer.person else ""
    name = f"{bearer.session} {bearer.agent}{person}" + (f": {client}" if client else "")
    return "".join(letter if " " <= letter <= "~" else "?" for letter in name)[:LONGEST_NAME]


def comment(bearer: Bearer) -> bytes:
    """What follows each statement. No name can end it: all but letters, digits and ``_.-~`` is encoded."""
    fields = {"agent": bearer.agent, "person": bearer.person, "session": bearer.session}
    said = ",".join(f"{key}='{quote(value, safe='')}'" for key, value in fields.items() if value)
    return f"\n/*{said}*/".encode("ascii")
