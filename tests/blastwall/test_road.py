"""Both ways of asking what a text means come to one answer, and one of them is not taken by accident."""

from __future__ import annotations

import pytest

from blastwall.conversation import Conversation, Lettered
from blastwall.model import Chunk
from blastwall.protocols.postgres.conversation import PostgresConversation
from blastwall.protocols.postgres.reading import SessionReader
from blastwall.protocols.ssh.conversation import SshConversation
from blastwall.road import Road, Texts, Waiting
from fargate_proxy import pipeline


def test_the_road_and_the_reader_are_what_channels_and_the_road_call() -> None:
    assert issubclass(pipeline.Road, Road)
    assert issubclass(SessionReader, Texts)


def test_only_a_conversation_that_says_so_is_asked_through_its_texts() -> None:
    assert hasattr(PostgresConversation, "texts")
    assert not hasattr(SshConversation, "texts")
    assert hasattr(Lettered, "texts") and not hasattr(Conversation, "texts")


async def test_what_is_waited_for_brings_what_would_have_been_returned() -> None:
    async def rest() -> str:
        return "permit"

    assert await Waiting(rest()).rest == "permit"


def test_a_base_answers_nothing_by_itself() -> None:
    with pytest.raises(AssertionError):
        Road().pass_on(Chunk(b""))
