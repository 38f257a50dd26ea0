"""Recordings as they appear: whoever follows a disk looks twice a second, and most of the time nothing has come."""

from __future__ import annotations

from blastwall.local.recordings import Entry, Shelf

DAYS = 2  # a recording stands under the day on which it began, and clocks differ


class Arrivals:
    """Gives each recording of a shelf once. A directory that has not changed is not read again.

    One of an older day that does change (a clock was wrong, and is right again) is given whole once more: whoever
    follows has taken most of it. Not for several threads. Memory: the names that stand in the last two days'
    directories, and in older ones that change.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._names: dict[str, set[str]] = {}
        self._stamps: dict[str, tuple[int, bool]] = {}  # of directories: their time, and whether it stood still since

    def take(self) -> list[Entry]:
        """What was not there the last time, newest first: at first all there is. Raises OSError."""
        days = self._shelf.days()
        came = [entry for day in days for entry in self._come(day)]
        for gone in self._stamps.keys() - set(days):
            self._stamps.pop(gone)
            self._names.pop(gone, None)
        for old in self._names.keys() - set(days[:DAYS]):
            if self._stamps[old][1]:
                del self._names[old]
        return came

    def _come(self, day: str) -> list[Entry]:
        directory = self._shelf.root / day
        try:
            stamp = directory.stat().st_mtime_ns
            before, still = self._stamps.get(day, (-1, False))
            if before == stamp and still:
                return []
            # Times are coarse: what came right after the last look may have the same, so one more look is taken.
            self._stamps[day] = stamp, before == stamp
            known = self._names.get(day, set())
            entries = self._shelf.of_day(day, known)
            self._names[day] = {*known, *(entry.path.name for entry in entries)} & {
                file.name for file in directory.iterdir()
            }
        except FileNotFoundError:
            return []
        return entries
