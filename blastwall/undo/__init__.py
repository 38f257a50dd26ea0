"""Undo capsules: the rows that an approved change touched, as they were, and the statements that bring them back.

They hold raw values whatever is masked, and so have a store, a key and a right of their own. Pure: whoever captures
(``protocols/postgres/keeping.py``) has the connection, whoever keeps (``ports.Capsules``) the store.
"""

from __future__ import annotations

from blastwall.undo.capsule import Capsule, NoCapsule, Part
from blastwall.undo.capture import Kept, capture, look_again
from blastwall.undo.restore import restoring

__all__ = ["Capsule", "Kept", "NoCapsule", "Part", "capture", "look_again", "restoring"]
