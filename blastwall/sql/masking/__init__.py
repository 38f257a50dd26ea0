"""Masking at the source: what a statement over masked columns becomes before it goes upstream, or why it does not."""

from __future__ import annotations

from blastwall.sql.masking.changes import written_back
from blastwall.sql.masking.concern import concerned, goes_around
from blastwall.sql.masking.recognition import is_mask
from blastwall.sql.masking.statements import Outcome, treat
from blastwall.sql.masking.texts import masked_text
from blastwall.sql.masking.views import with_views

__all__ = ["Outcome", "concerned", "goes_around", "is_mask", "masked_text", "treat", "with_views", "written_back"]
