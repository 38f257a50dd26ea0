"""What each kind of message is on the road: how long it may wait, what it stages, and how it is refused."""

from __future__ import annotations

import pytest

from blastwall.model import Permit
from blastwall.protocols.postgres import messages, requests
from blastwall.protocols.postgres.handlers import Handlers
from blastwall.protocols.postgres.statements import BindExchange, ParseExchange, QueryExchange, SyncExchange
from tests.blastwall.protocols.postgres.playbook import Playbook, types, written

RUN = Permit("SELECT 1")


async def test_only_what_runs_something_may_wait_for_a_person() -> None:
    async with Playbook() as play:
        handlers = Handlers(play.legs, play.reader)
        query = handlers.handle(requests.Query(b"SELECT 1"))
        parse = handlers.handle(requests.Parse(b"", b"SELECT 1", ()))
        assert isinstance(query, QueryExchange) and isinstance(parse, ParseExchange)
        assert query.interactive and not parse.interactive
        assert not parse.send(RUN, False)
        bind = handlers.handle(requests.Bind(b"", b"", (), (), (), bytes(6)))
        assert isinstance(bind, BindExchange)
        assert bind.interactive, "nothing but naming a text is on its way"


@pytest.mark.parametrize(("ending", "sent"), [(True, "PBDES"), (False, "PB")])
async def test_a_bind_takes_the_end_of_its_batch_along_only_where_it_is_told_to(ending: bool, sent: str) -> None:
    async with Playbook() as play:
        handlers = Handlers(play.legs, play.reader)
        parse = handlers.handle(requests.Parse(b"", b"SELECT 1", ()))
        assert parse is not None and not parse.send(RUN, False)
        play.down.receive(messages.END_DESCRIBED)
        bind = handlers.handle(requests.Bind(b"", b"", (), (), (), bytes(6)))
        assert bind is not None and bind.more
        assert not bind.send(RUN, ending) and bind.ended is ending
        play.legs.send()
        assert types(written(play.up_wire)) in (sent, sent[1:]), "the Parse was sent already"
        assert play.down.buffered == (0 if ending else len(messages.END_DESCRIBED))


async def test_a_sync_is_followed_to_its_answer() -> None:
    async with Playbook() as play:
        sync = Handlers(play.legs, play.reader).handle(requests.Sync())
        assert isinstance(sync, SyncExchange) and sync.statement is None
        assert sync.send(None, True)
        assert written(play.up_wire) == messages.SYNC and play.answers.ready_owed == 1
