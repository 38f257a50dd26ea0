"""The end of a session: its credential is taken back once, what showed that it is dead is recorded, failures alarm."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from blastwall.errors import OurFault, RecordingFault, UpstreamFault
from blastwall.model import Credential, Principal, Revocation, Session, Target
from fargate_proxy.endings import Endings

TARGET = Target("shop", "postgres", "h", 1)
SESSION = Session("s-1", Principal("iss", "sub", "bot"), "shop", 0.0, 100.0)
ROLE = Credential("bw_s_1", None, "role")
DEAD = Revocation("bw_s_1", "role", True, "the target refuses it", 0.0321, 2, ("1 objects in shop belong to x now",))


@dataclass
class World:
    ends: asyncio.Future[str]
    answer: Sequence[Revocation] | Exception = (DEAD,)
    revoked: list[str] = field(default_factory=list)
    events: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    headers: list[Mapping[str, object]] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    recorder_fails: bool = False
    targets: dict[str, Target] = field(default_factory=lambda: {"shop": TARGET})

    def ended(self, session: Session) -> asyncio.Future[str]:
        return asyncio.shield(self.ends)

    async def revoke(self, session: Session) -> Sequence[Revocation]:
        self.revoked.append(session.id)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def open(self, session: Session, target: Target, connection: str, header: Mapping[str, object]) -> Any:
        if self.recorder_fails:
            raise RecordingFault("full")
        self.headers.append(header)
        return SimpleNamespace(
            event=lambda name, fields: self.events.append((name, fields)),
            close=lambda reason: self.closed.append(reason),
        )

    def endings(self) -> Endings:
        port: Any = self
        return Endings(port, port, port, lambda: self.targets)


@pytest.fixture
async def world() -> World:
    return World(asyncio.get_running_loop().create_future())


async def settled(endings: Endings) -> None:
    tasks = [following.task for following in endings._followed.values() if following.task is not None]
    await asyncio.wait(tasks, timeout=30)
    assert endings._followed == {}


def follow(endings: Endings, credential: Credential) -> None:
    with endings.vending(SESSION) as vended:
        vended(credential)


async def test_however_many_connections_it_is_taken_back_once_and_told(world: World) -> None:
    endings = world.endings()
    for _ in range(3):
        follow(endings, ROLE)
    await asyncio.sleep(0)
    assert world.revoked == []
    world.ends.set_result("killed by carol: enough")
    await settled(endings)
    assert world.revoked == ["s-1"]
    ((name, fields),) = world.events
    assert name == "revocation_verified"
    assert fields == {
        "user": "bw_s_1",
        "kind": "role",
        "verified": True,
        "proof": "revocation verified at T+0.032 s: the target refuses it",
        "seconds": 0.0321,
        "connections": 2,
        "left": ["1 objects in shop belong to x now"],
        "reason": "killed by carol: enough",
    }
    assert world.headers[0]["purpose"] == "revocation" and world.closed == ["killed by carol: enough"]


@pytest.mark.parametrize(
    "answer",
    [
        UpstreamFault("cannot reach the database"),
        OurFault("the function session-revoker cannot be reached"),
        (Revocation("bw_s_1", "role", False, "it still opens", 1.0),),
    ],
)
async def test_what_may_still_work_is_an_alarm(world: World, answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    world.answer = answer
    endings = world.endings()
    follow(endings, ROLE)
    world.ends.set_result("over")
    await settled(endings)
    assert [name for name, _ in world.events] == ["revocation_failed"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_what_cannot_be_revoked_is_said_to_expire(world: World) -> None:
    world.answer = ()
    endings = world.endings()
    follow(endings, Credential("app", None, "iam", 1_800_000_000.0))
    world.ends.set_result("over")
    await settled(endings)
    ((name, fields),) = world.events
    assert name == "credential_expires"
    assert fields["proof"] == "it cannot be revoked: it expires at 2027-01-15 08:00:00 UTC"


async def test_what_expires_by_itself_is_said_to_although_nobody_could_be_asked(world: World) -> None:
    world.answer = OurFault("the function session-revoker cannot be reached")
    endings = world.endings()
    follow(endings, Credential("reader", None, "iam", expires_at=1_800_000_000.0))
    world.ends.set_result("over")
    await settled(endings)
    assert [(name, fields["user"]) for name, fields in world.events] == [("credential_expires", "reader")]


@pytest.mark.parametrize("kind", ["static", "none"])
async def test_what_outlives_every_session_is_not_followed(world: World, kind: str) -> None:
    endings = world.endings()
    follow(endings, Credential("app", None, kind))
    assert endings._followed == {}


async def test_a_store_that_does_not_answer_is_asked_again_and_ends_nothing(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fargate_proxy.endings.AGAIN_SECONDS", 0.0)
    endings = world.endings()
    first = world.ends
    follow(endings, ROLE)
    await asyncio.sleep(0)
    world.ends = asyncio.get_running_loop().create_future()
    first.set_exception(OurFault("the store is gone"))
    world.ends.set_result("over")
    await settled(endings)
    assert "the store is gone" in caplog.text and world.revoked == ["s-1"]
    assert [fields["reason"] for _, fields in world.events] == ["over"]


async def test_a_recorder_that_fails_is_logged_and_ends_nothing_else(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    endings = world.endings()
    world.recorder_fails = True
    endings._record(SESSION, "over", (DEAD,))
    assert "could not be recorded" in caplog.text
    world.targets.clear()
    endings._record(SESSION, "over", (DEAD,))


async def test_a_session_that_ends_while_its_credential_is_made_is_ended_all_the_same(world: World) -> None:
    """Whoever waited for the credential went away: nobody will ever say that it is there."""
    endings = world.endings()
    with pytest.raises(asyncio.CancelledError), endings.vending(SESSION):
        await asyncio.sleep(0)
        raise asyncio.CancelledError
    assert SESSION.id in endings._followed
    world.ends.set_result("killed by carol: enough")
    await settled(endings)
    assert world.revoked == ["s-1"] and [name for name, _ in world.events] == ["revocation_verified"]


async def test_both_kinds_of_one_session_are_told(world: World) -> None:
    endings = world.endings()
    follow(endings, Credential("app", None, "iam", 1_800_000_000.0))
    follow(endings, ROLE)
    follow(endings, Credential("kept", None, "static"))
    world.ends.set_result("over")
    await settled(endings)
    assert [name for name, _ in world.events] == ["revocation_verified", "credential_expires"]


async def test_another_connection_that_needs_none_takes_nothing_away_from_one_that_waits(world: World) -> None:
    endings = world.endings()
    with endings.vending(SESSION) as vended:
        follow(endings, Credential("kept", None, "static"))
        assert SESSION.id in endings._followed, "one is being made"
        vended(ROLE)
    assert SESSION.id in endings._followed
    world.ends.set_result("over")
    await settled(endings)
    assert world.revoked == ["s-1"]


async def test_reclaiming_goes_on_and_tells_a_failure_once(world: World) -> None:
    failing = SimpleNamespace(session=SESSION, revocation=Revocation("bw_s_1", "role", False, "away", 0.0))
    done = SimpleNamespace(session=SESSION, revocation=DEAD)
    unknown = SimpleNamespace(session=None, revocation=DEAD)
    answers: list[Any] = [[failing], [failing], OurFault("busy"), [done], [unknown], [failing]]
    looks: list[int] = []

    async def reclaim() -> Any:
        looks.append(1)
        if not answers:
            raise asyncio.CancelledError
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fargate_proxy.endings.RECLAIM_SECONDS", 0)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(world.endings().reclaim_for_ever(reclaim), 5)
    assert [name for name, _ in world.events] == ["revocation_failed", "revocation_verified", "revocation_failed"]


async def test_what_ends_while_it_looks_is_looked_for_at_once(world: World) -> None:
    news, looks = asyncio.Event(), []

    async def wait(seconds: float) -> None:
        assert seconds >= 5
        news.clear()
        await news.wait()

    async def reclaim() -> Any:
        looks.append(1)
        if len(looks) == 1:
            news.set()  # another session ends just now
        if len(looks) == 2:
            raise asyncio.CancelledError
        return []

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(world.endings().reclaim_for_ever(reclaim, wait), 30)
    assert len(looks) == 2


async def test_the_gateways_own_end_takes_back_what_it_holds(world: World) -> None:
    endings = world.endings()
    follow(endings, ROLE)

    async def surrender() -> Any:
        return [SimpleNamespace(session=SESSION, revocation=DEAD)]

    await endings.finish(surrender)
    assert [name for name, _ in world.events] == ["revocation_verified"] and endings._followed == {}
    assert world.revoked == []


async def test_what_is_being_taken_back_when_the_gateway_ends_is_finished_first(world: World) -> None:
    """It was begun at the target: nobody else could go on with it, and it would wait for the next gateway."""
    endings = world.endings()
    begun, let = asyncio.Event(), asyncio.Event()

    async def slow(session: Session) -> Sequence[Revocation]:
        begun.set()
        await let.wait()
        return (DEAD,)

    world.revoke = slow  # type: ignore[method-assign]  # this one is slow
    follow(endings, ROLE)
    world.ends.set_result("over")
    await asyncio.wait_for(begun.wait(), 30)

    async def surrender() -> Any:
        assert [name for name, _ in world.events] == ["revocation_verified"]
        return []

    ending = asyncio.create_task(endings.finish(surrender))
    await asyncio.sleep(0)
    let.set()
    await asyncio.wait_for(ending, 30)
    assert [fields["reason"] for _, fields in world.events] == ["over"]
