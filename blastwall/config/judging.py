"""Statements to facts without a connection: through the protocol's own ``judge``, with the target's catalogue."""

from __future__ import annotations

from typing import Any

from blastwall import registry
from blastwall.masking.plan import Treatment
from blastwall.model import Facts, Target


class Judge:
    """Judges texts for the targets of one configuration; each target's catalogue is loaded once, when first needed.

    ``catalogue`` (a path, or None) replaces what the targets' ``catalogue_file`` options name.
    """

    def __init__(self, catalogue: str | None = None) -> None:
        self._given = catalogue
        self._loaded: dict[str, Any] = {}

    def use(self, target: Target, catalogue: object) -> None:
        """Judge for this target with a catalogue that is already at hand."""
        self._loaded[target.name] = catalogue

    def judge(self, target: Target, text: str, parameters: tuple[str | None, ...] = ()) -> Facts:
        """What the text would do at the target. Raises ConfigFault when the target's catalogue does not load."""
        catalogue = self.catalogue(target)
        return registry.protocol(target.protocol).judge(text, parameters, catalogue, target.options, target.masking)

    def treatments(self, target: Target, text: str) -> tuple[Treatment, ...]:
        """What masking makes of each statement of the text. Raises as :meth:`judge`."""
        catalogue = self.catalogue(target)
        return registry.protocol(target.protocol).treatments(text, catalogue, target.options, target.masking)

    def catalogue(self, target: Target) -> Any:  # noqa: ANN401  # each protocol has its own
        """What the target's statements are judged in; None without one. Raises ConfigFault when it does not load."""
        if target.name not in self._loaded:
            file = self._given or getattr(target.options, "catalogue_file", None)
            found = None if file is None else registry.protocol(target.protocol).load_catalogue(str(file))
            self._loaded[target.name] = found
        return self._loaded[target.name]
