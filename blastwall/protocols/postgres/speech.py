"""What a server says besides rows, reduced to what cannot carry a masked value.

Errors and notices quote what they are about: a failing row, a key, a text that could not be cast. Of those that come
while a statement over masked columns runs, or later in its transaction (constraints may be checked at its end), the
agent is told the SQLSTATE, the severity and one sentence for them (``speech.toml``). Pure.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

from blastwall.protocols.postgres import messages, replies

_TABLE: Final[Any] = tomllib.loads((files(__package__) / "speech.toml").read_text("utf-8"))
_SENTENCES: Final[Mapping[str, str]] = _TABLE["sentences"]
_CODES: Final[frozenset[str]] = frozenset(_TABLE["known"]["codes"])
_SEVERITIES: Final[frozenset[str]] = frozenset(_TABLE["known"]["severities"])
_PARAMETERS: Final[frozenset[str]] = frozenset(_TABLE["known"]["parameters"])
_TAG: Final = re.compile(r"[A-Z][A-Z ]{0,40}(?: \d{1,20}){0,2}")

HINT: Final = "The database's own words are not shown: the statement, or its transaction, touches masked columns."
#: Errors of this class that come while a text is only named are about the text: nothing has been read yet.
_ABOUT_TEXT: Final = "42"


def reduced(fields: Mapping[str, str], *, naming: bool = False) -> bytes:
    """The ErrorResponse or NoticeResponse (by severity) that says no more than which error it was.

    ``naming``: it came while a text was parsed; an error about the text itself keeps its message.
    """
    severity = fields.get("V") or fields.get("S", "")
    code = _code(fields.get("C", ""))
    if severity not in _SEVERITIES:
        severity = "ERROR"
    sentence = _SENTENCES.get(code) or _SENTENCES.get(code[:2]) or _SENTENCES["*"]
    if naming and code.startswith(_ABOUT_TEXT):
        sentence = fields.get("M", sentence)
    build = messages.error_response if severity in ("ERROR", "FATAL", "PANIC") else messages.notice_response
    return build(severity, code, sentence, hint=HINT)


def _code(code: str) -> str:
    if code in _CODES:
        return code
    return code[:2] + "000" if code[:2] + "000" in _CODES else "XX000"


def tells_nothing(name: str) -> bool:
    """Can a setting's reported value be only one of a few?"""
    return name in _PARAMETERS


def plain_tag(tag: str) -> bool:
    """Is it a completion tag as servers write them: words and counts?"""
    return _TAG.fullmatch(tag) is not None


def silent_notification(frame: bytes) -> bytes:
    """A NotificationResponse without its payload: whoever sent it may have put a masked value there."""
    heard = replies.notification(frame)
    body = heard.pid.to_bytes(4, "big") + messages.cstring(heard.channel.encode()) + b"\0"
    return messages.frame(b"A", body)
