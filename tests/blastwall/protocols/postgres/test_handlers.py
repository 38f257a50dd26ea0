"""What each message asks for: bound values with their formats and types, and what may come during COPY."""

from __future__ import annotations

import pytest

from blastwall.model import Parameter
from blastwall.protocols.postgres import messages, requests
from blastwall.protocols.postgres.statements import parameters
from tests.blastwall.protocols.postgres.playbook import Playbook, types


def bound(formats: tuple[int, ...], *values: bytes | None) -> requests.Bind:
    return requests.Bind(b"", b"", formats, values, (), b"")


@pytest.mark.parametrize(
    ("event", "type_ids", "withheld", "expected"),
    [
        (bound(()), (23,), frozenset(), ()),
        (bound((), b"1", None), (), frozenset(), (Parameter(b"1"), Parameter(None))),
        (bound((1,), b"1", b"2"), (23,), frozenset(), (Parameter(b"1", True, 23), Parameter(b"2", True, 0))),
        (bound((0, 1), b"1", b"2"), (0, 25), frozenset(), (Parameter(b"1"), Parameter(b"2", True, 25))),
        (bound((), b"1", b"2"), (), frozenset({2}), (Parameter(b"1"), Parameter(b"2", withheld=True))),
        (bound((), b"1"), (23, 25, 25), frozenset({1}), (Parameter(b"1", False, 23, True),)),
    ],
)
def test_values_have_the_formats_and_types_that_were_named(
    event: requests.Bind, type_ids: tuple[int, ...], withheld: frozenset[int], expected: tuple[Parameter, ...]
) -> None:
    assert parameters(event, type_ids, withheld) == expected


async def test_every_message_of_a_client_has_a_handler() -> None:
    async with Playbook() as play:
        batch = messages.parse(b"s", b"SELECT 1") + messages.bind(b"p", b"s") + messages.describe(b"S", b"s")
        batch += messages.describe(b"P", b"p") + messages.execute(b"p") + messages.close(b"P", b"p") + messages.FLUSH
        assert types(await play.say(batch)) == "PBDDECH"
        stray = messages.copy_data(b"dropped silently, as the server does") + messages.COPY_DONE
        assert await play.say(stray) == messages.FLUSH, "what was asked may still want it"
        layout = messages.row_description([("n", 0, 0, 23, 4, -1, 0)])
        done = messages.data_row((b"1",)) + messages.command_complete("SELECT 1") + messages.CLOSE_COMPLETE
        first = messages.PARSE_COMPLETE + messages.BIND_COMPLETE + messages.parameter_description(())
        await play.answer(first + layout + layout + done)
        assert await play.say(stray) == b""
        assert types(await play.say(messages.SYNC)) == "S"


async def test_the_patience_is_settled_when_the_statement_comes() -> None:
    async with Playbook() as play:
        await play.say(messages.query(b"DELETE FROM t"))
        assert play.judged[0][1], "it may be held"
        await play.say(messages.query(b"DELETE FROM t"))
        assert len(play.judged) == 1, "the next waits for the answer to the last"
