"""Risk: a score from 0 to 100 with its reasons, from a table of weights that operators own. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from blastwall.model import Facts, Risk


@dataclass(frozen=True, slots=True)
class RiskTable:
    """The weights, as ``risk.toml`` gives them."""

    @classmethod
    def load(cls, text: str, file: str) -> RiskTable:
        """Raises ConfigFault with every problem in ``text``."""
        raise NotImplementedError

    def score(self, facts: Facts, *, environment: str, hour: int) -> Risk:
        """Add up what applies, clamp to 0..100."""
        raise NotImplementedError
