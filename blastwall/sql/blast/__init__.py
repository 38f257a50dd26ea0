"""What a PostgreSQL statement would do, foreseen: rows, cascades, triggers, locks, dependents. Pure."""

from __future__ import annotations

from blastwall.sql.blast.asking import LONGEST, Answer, Failed, Foreseeing, Named, Question, Situation
from blastwall.sql.blast.foreseeing import foresee, needs_asking

__all__ = ["LONGEST", "Answer", "Failed", "Foreseeing", "Named", "Question", "Situation", "foresee", "needs_asking"]
