"""What is called for every statement, as classes.

``blastwall/conversation.py`` says what each is for. These are no Protocols, because compiled code calls a method of a
class that it knows ten times as fast as one that has to be looked up in whatever it was given.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from mypy_extensions import mypyc_attr, trait

from blastwall.model import Chunk, Denial, Facts, Masked, Permit, Statement

if TYPE_CHECKING:
    from blastwall.conversation import Exchange


class Waiting:
    """``rest`` must be awaited before the road goes on; it brings what would have been returned."""

    __slots__ = ("rest",)

    def __init__(self, rest: Awaitable[Any]) -> None:
        self.rest = rest


class Asked:
    """What the road reads of an exchange, as a class: through the protocol each of them is looked up by its name."""

    __slots__ = ("more", "statement")

    def __init__(self, statement: Statement | None, more: bool) -> None:
        self.statement = statement
        self.more = more


@mypyc_attr(allow_interpreted_subclasses=True)
class Road:
    """The one road, for a channel that takes its exchanges down it by itself."""

    def admit(self, exchange: Exchange) -> Permit | Denial | Waiting | None:
        """Judge the exchange's statement and record that: the permit to forward it with, or the denial to refuse it
        with. None: it has no statement, and everything before it is recorded. Raises RecordingFault.
        """
        raise AssertionError("whoever has it says what it does")

    def pass_on(self, chunk: Chunk) -> Masked | Waiting:
        """Mask, count and record what is to be relayed. Raises RecordingFault, UpstreamFault and BudgetSpent."""
        raise AssertionError("whoever has it says what it does")

    async def follow(self, exchange: Exchange, decision: Permit | Denial | None) -> None:
        """Forward or refuse what was admitted, and relay all that comes of it."""
        raise AssertionError("whoever has it says what it does")


@trait
class Texts:
    """Who knows what a conversation's texts mean: its own two answers, without a call into the interpreter between."""

    def classify(self, statement: Statement) -> Facts:
        """As :meth:`blastwall.conversation.Conversation.classify`."""
        raise AssertionError("whoever has it says what it does")

    def rewrite(self, statement: Statement) -> str:
        """As :meth:`blastwall.conversation.Conversation.rewrite`."""
        raise AssertionError("whoever has it says what it does")
