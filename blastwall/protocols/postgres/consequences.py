"""What the completion of a statement changes for its session: names that its SQL makes or takes away, the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from blastwall.errors import ProtocolViolation
from blastwall.model import Permit
from blastwall.protocols.postgres.classify import StatementFinding, undoes
from blastwall.protocols.postgres.names import Names, Portal, Prepared, TooMany
from blastwall.sql.rename import Names as Touched


def consequence(
    names: Names,
    part: StatementFinding,
    touched: Touched | None,
    minted: Mapping[str, str],
    text: str,
    masked: str | None,
    permit: Permit,
    number: int,
    soil: Callable[[], None],
) -> Callable[[], None] | None:
    """What is to be called when the server completes one statement of a text; None: it changes nothing here.

    ``minted`` are the upstream names of what the text defines, ``masked`` is the text with the masks in it, and
    ``soil`` says that the catalogue may be another one now, or, of what undoes, the one that was before.
    """
    actions: list[Callable[[], None]] = []
    if part.changes_catalogue or undoes(part):
        actions.append(soil)
    if touched is not None:
        name = touched.defines_statement
        if name is not None and "s" + name in minted:
            prepared = Prepared(name, minted["s" + name], text, part.facts, (), permit.upstream_text)
            prepared.masked, prepared.treatment = masked, part.carried
            actions.append(lambda: _prepare(names, prepared))
        name = touched.defines_cursor
        if name is not None and "c" + name in minted:
            portal = Portal(name, minted["c" + name], part.facts, permit, number, (), part.carried)
            actions.append(lambda: names.open(portal))
        if touched.closes_statement is not None:
            statement = touched.closes_statement
            actions.append(lambda: names.unprepare(statement))
        if touched.closes_cursor is not None:
            cursor = touched.closes_cursor
            actions.append(lambda: names.close(cursor))
        if touched.closes_all_statements:
            actions.append(names.unprepare_all)
        if touched.closes_all_cursors:
            actions.append(names.close_all)
    if not actions:
        return None

    def act() -> None:
        for action in actions:
            action()

    return act


def _prepare(names: Names, prepared: Prepared) -> None:
    """The server has it already: a connection that holds too many ends."""
    try:
        names.prepare(prepared)
    except TooMany as fault:
        raise ProtocolViolation(str(fault), code="53400") from None
