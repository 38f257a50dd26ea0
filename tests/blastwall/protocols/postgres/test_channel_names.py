"""Names on both sides of the channel: whatever a server fails or skips, the gateway knows the statements that it has."""

from __future__ import annotations

import asyncio

from hypothesis import example, given, settings
from hypothesis import strategies as st

from blastwall.protocols.postgres import messages
from tests.blastwall.protocols.postgres.playbook import Playbook, frames
from tests.blastwall.protocols.postgres.test_channel_batches import Server

NAMES = (b"", b"a", b"b")
TEXTS = (b"SELECT 1", b"SELECT 2", b"SELECT early", b"DENY")  # the third is failed by the server, the last refused


class Keeper(Server):
    """It knows its prepared statements: text by name."""

    def __init__(self) -> None:
        super().__init__()
        self.statements: dict[bytes, bytes] = {}

    def _one(self, frame: bytes) -> bytes:
        told = super()._one(frame)
        kind, body = frame[:1], frame[5:]
        if kind == b"P" and not self.skipping:
            name, text = body.split(b"\0")[:2]
            self.statements[name] = text
        elif kind == b"C" and not self.skipping and body[:1] == b"S":
            self.statements.pop(body[1:-1], None)
        elif kind == b"P" and told and body.startswith(b"\0"):
            self.statements.pop(b"", None)  # one that fails takes the unnamed one along
        return told


steps = st.one_of(
    st.builds(messages.parse, st.sampled_from(NAMES), st.sampled_from(TEXTS)),
    st.builds(messages.close, st.just(b"S"), st.sampled_from(NAMES)),
    st.builds(lambda name: messages.bind(b"", name), st.sampled_from(NAMES)),
    st.just(messages.execute(b"")),
    st.just(messages.FLUSH),
    st.just(messages.SYNC),
    st.just(messages.SYNC),
)
FAILS = messages.parse(b"", TEXTS[2])
MADE = messages.parse(b"a", TEXTS[0])
GONE = messages.close(b"S", b"a")


@given(st.lists(steps, max_size=14), st.booleans(), st.booleans())
@settings(max_examples=300, deadline=None)
@example([FAILS, MADE, GONE, messages.SYNC], False, False)
@example([messages.parse(b"a", TEXTS[2]), GONE, messages.SYNC], False, False)
@example([MADE, messages.SYNC, FAILS, GONE, messages.parse(b"a", TEXTS[1]), messages.SYNC], False, False)
def test_the_names_that_are_known_are_those_the_server_has(said: list[bytes], at_once: bool, prompt: bool) -> None:
    async def play_it() -> None:
        server = Keeper()
        async with Playbook() as play:
            batches = [b"".join(said) + messages.SYNC] if at_once else [*said, messages.SYNC]
            waiting = b""
            for batch in batches:
                waiting += await play.say(batch)
                if prompt:
                    waiting = await _answered(play, server, waiting)
            await _answered(play, server, waiting)
            assert play.answers.quiescent
            known = {each.upstream.encode(): each.text.encode() for each in play.names.prepared.values()}
            assert {name: text for name, text in server.statements.items() if name} == {
                name: text for name, text in known.items() if name
            }
            # The gateway may forget the unnamed one where the server skipped what replaced it; never the other way.
            assert known.get(b"", server.statements.get(b"")) == server.statements.get(b"")
            told = messages.error_response("ERROR", "XX000", " ".join(f'"{name.decode()}"' for name in known if name))
            shown = await _told(play, told)
            assert all(f'"{each.client}"'.encode() in shown for each in play.names.prepared.values() if each.client)

    asyncio.run(play_it())


async def _answered(play: Playbook, server: Keeper, waiting: bytes) -> bytes:
    """Let the server answer, until nothing more comes of that."""
    while waiting:
        if told := server.answer(waiting):
            await play.answer(told)
        waiting = await play.sent()
    return waiting


async def _told(play: Playbook, error: bytes) -> bytes:
    """How the client is told of an error to a query."""
    await play.say(messages.query(b"SELECT 3"))
    heard = await play.answer(error + messages.ready_for_query(b"I"))
    return frames(heard)[0]
