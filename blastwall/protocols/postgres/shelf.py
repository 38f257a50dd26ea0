"""Catalogues of one gateway process, shared between its sessions."""

from __future__ import annotations

from blastwall.sql.catalogue import Catalogue

MOST = 64  # databases whose catalogues are kept


class Shelf:
    """Catalogues by target and database, loaded once per version."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[str, Catalogue]] = {}
        self.system: dict[tuple[str, str, str], str] = {}  # (target, server version, section): what initdb made
        # When the freshness was asked for last, and the answer.
        self.looked: dict[tuple[str, str], tuple[float, str]] = {}

    def find(self, target: str, database: str, freshness: str) -> Catalogue | None:
        """The catalogue, if it was loaded at this freshness."""
        kept = self._kept.get((target, database))
        return kept[1] if kept is not None and kept[0] == freshness else None

    def keep(self, target: str, database: str, freshness: str, catalogue: Catalogue) -> None:
        if len(self._kept) >= MOST and (target, database) not in self._kept:
            self._kept.pop(next(iter(self._kept)))
        self._kept[(target, database)] = (freshness, catalogue)
