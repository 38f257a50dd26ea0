"""Approvals: the life of a request, what binds it, what a person sees of it, and how a person answers.

Pure: the stores (``blastwall/local``, ``blastwall/aws``) keep what these functions decide, and follow the table.
"""

from __future__ import annotations

from blastwall.approvals.documents import from_document, to_document
from blastwall.approvals.fingerprints import binding, request_id, shape, shape_text
from blastwall.approvals.rules import (
    LIVE,
    MAX_GRANT_SECONDS,
    MAX_GRANT_USES,
    MAX_NOTE,
    TRANSITIONS,
    Ballot,
    Event,
    Filed,
    Vote,
    as_of,
    decidable,
    end_reason,
    ends_session,
    granted,
    judge_vote,
    next_state,
    opens_until,
    routed_to,
)

__all__ = [
    "LIVE",
    "MAX_GRANT_SECONDS",
    "MAX_GRANT_USES",
    "MAX_NOTE",
    "TRANSITIONS",
    "Ballot",
    "Event",
    "Filed",
    "Vote",
    "as_of",
    "binding",
    "decidable",
    "end_reason",
    "ends_session",
    "from_document",
    "granted",
    "judge_vote",
    "next_state",
    "opens_until",
    "request_id",
    "routed_to",
    "shape",
    "shape_text",
    "to_document",
]
