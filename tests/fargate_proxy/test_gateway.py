"""One connection's life with a played conversation: who is let in, and how everything ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from blastwall.config.bundle import Bundle, load_bundle
from blastwall.conversation import Hello
from blastwall.errors import ClientFault, OurFault, RecordingFault, TokenFault, Unreachable, UpstreamFault
from blastwall.local.clock import SystemClock
from blastwall.model import (
    Chunk,
    Credential,
    Denial,
    DenialCode,
    Effect,
    Facts,
    Permit,
    Principal,
    Secret,
    Session,
    Statement,
)
from fargate_proxy import gateway as module
from fargate_proxy.gateway import Gateway, Ports

CONFIG = Path(__file__).parents[2] / "config"
AGENT = Principal("issuer", "robot", "robot", frozenset({"agents"}), token_id="t")

OUTLIVES = "the secret outlives the session: prefer a login for each session"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(CONFIG)


class Exchange:
    more = False
    interactive = False
    statement = Statement("SELECT 1", number=1)

    def __init__(self, play: Play) -> None:
        self._play = play

    async def forward(self, permit: Permit | None) -> AsyncIterator[Chunk]:
        self._play.forwarded.append(permit)
        yield Chunk(b"answer", 1, self._play.rows)

    async def relay(self, masked: Any) -> None: ...

    async def refuse(self, denial: Denial) -> None:
        self._play.denials.append(denial)


class Play:
    """Conversation and every port in one; what may go wrong is set by the test."""

    def __init__(self) -> None:
        self.hello: Hello | None = Hello(Secret("token"), "shop", None, {"database": "shop"})
        self.denials: list[Denial] = []
        self.forwarded: list[Permit | None] = []
        self.events: list[tuple[str, Mapping[str, object]]] = []
        self.intents: list[Permit | Denial] = []
        self.closed: list[Denial | None] = []
        self.finished: list[str] = []
        self.protected: list[Secret] = []
        self.told: list[str] = []
        self.usage_told: list[Mapping[str, int]] = []
        self.rows = 1
        self.killed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.waits = asyncio.Event()
        self.stays = False
        self.fail: dict[str, Exception] = {}
        self.principal = AGENT

    def protect(self, *secrets: Secret) -> None:
        self.protected += secrets
        self.told += [secret.reveal() for secret in secrets]

    def _may_fail(self, step: str) -> None:
        if step in self.fail:
            raise self.fail[step]

    # conversation
    async def greet(self) -> Hello | None:
        self._may_fail("greet")
        return self.hello

    async def connect(self, target: Any, credential: Credential) -> None:
        self._may_fail("connect")

    async def channels(self) -> AsyncIterator[Any]:
        yield self

    async def exchanges(self) -> AsyncIterator[Any]:
        yield Exchange(self)
        self.waits.set()
        if self.stays:
            await asyncio.Event().wait()

    def noting(self, note: Callable[..., None]) -> None: ...

    def classify(self, statement: Statement) -> Facts:
        self._may_fail("classify")
        return Facts(Effect.READ, "select")

    def rewrite(self, statement: Statement, facts: Facts) -> str:
        return statement.text

    async def close(self, denial: Denial | None = None) -> None:
        if not self.closed:
            self.closed.append(denial)

    async def refuse(self, denial: Denial) -> None:
        await self.close(denial)

    # ports
    async def verify(self, token: Secret) -> Principal:
        self._may_fail("verify")
        return self.principal

    async def vend(self, *_: Any) -> Credential:
        self._may_fail("vend")
        return Credential("u", Secret("p"), "static")

    async def open_session(self, principal: Principal, target: Any, glass: str | None) -> Session:
        self._may_fail("session")
        return Session("s-1", principal, target.name, 0.0, 1e12, glass)

    async def attach(self, *_: Any) -> None: ...

    async def detach(self, session: Session, connection: str, usage: Mapping[str, int]) -> None:
        self.usage_told.append(usage)

    async def usage(self, session: Session) -> Mapping[str, int]:
        self._may_fail("usage")
        return {}

    def ended(self, session: Session) -> Any:
        return self.killed

    # recording
    def open_recording(self, *_: Any) -> Play:
        self._may_fail("open")
        return self

    def intent(self, statement: Statement, facts: Facts, decision: Permit | Denial) -> None:
        self._may_fail("intent")
        self.intents.append(decision)

    def relayed(self, masked: Any) -> None: ...

    def commit(self) -> None: ...

    def flush(self) -> None:
        self._may_fail("flush")

    def event(self, name: str, fields: Mapping[str, object]) -> None:
        self.events.append((name, fields))

    def finish(self, reason: str) -> None:
        self.finished.append(reason)


class Recording(SimpleNamespace):
    __hash__ = object.__hash__


def serve(play: Play, bundle: Bundle) -> tuple[Gateway, asyncio.Task[None]]:
    sessions = SimpleNamespace(
        open=play.open_session, attach=play.attach, detach=play.detach, usage=play.usage, ended=play.ended
    )
    recording = Recording(
        intent=play.intent,
        relayed=play.relayed,
        commit=play.commit,
        flush=play.flush,
        event=play.event,
        close=play.finish,
        protect=play.protect,
        id="r",
    )

    def open_recording(*args: Any) -> Any:
        play.open_recording(*args)
        return recording

    recorder = SimpleNamespace(open=open_recording)
    ports = Ports(play, play, None, sessions, recorder, SystemClock())  # type: ignore[arg-type]
    gateway = Gateway(bundle, ports)
    spec = SimpleNamespace(manifest=SimpleNamespace(name="postgres"), converse=lambda sock, host: play)
    ours, theirs = socket.socketpair()
    theirs.close()
    ours.close()
    return gateway, asyncio.create_task(gateway.serve(ours, spec))  # type: ignore[arg-type]


async def finish(task: asyncio.Task[None]) -> None:
    async with asyncio.timeout(5):
        await task


async def test_a_good_agent_is_let_in_recorded_and_counted(bundle: Bundle) -> None:
    play = Play()
    _, task = serve(play, bundle)
    await finish(task)
    assert [type(decision) for decision in play.intents] == [Permit, Permit], "connect, then the statement"
    assert len(play.forwarded) == 1
    assert play.usage_told == [{"rows": 1, "bytes": 6, "statements": 1}]
    assert play.finished == ["the client left"]
    assert ("credential", {"kind": "static", "user": "u", "note": OUTLIVES}) in play.events
    assert play.told == ["token", "p"], "neither may ever stand in the recording"
    assert all(secret.wiped for secret in play.protected), "and neither is kept once it has served"


async def test_a_recording_of_a_session_that_could_not_be_joined_is_closed(bundle: Bundle) -> None:
    """Else its lease would be kept for as long as the process lives, and nobody could complete it."""
    play = Play()
    play.fail["usage"] = OurFault("the table does not answer")
    gateway, task = serve(play, bundle)
    await finish(task)
    assert play.finished == ["the session could not be joined"] and play.usage_told == [] and gateway.ledgers == {}
    assert [denial.code for denial in play.closed if denial] == [DenialCode.FAULT]


async def test_a_session_that_ends_is_closed_although_its_work_does_not_stop(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.05)
    play, let = Play(), asyncio.Event()

    async def stubborn(*_: object) -> None:
        while not let.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await let.wait()

    monkeypatch.setattr(module, "drive_all", stubborn)
    play.killed.set_result("killed by carol")
    _, task = serve(play, bundle)
    try:
        await finish(task)
        assert [denial.reason for denial in play.closed if denial] == ["killed by carol"]
    finally:
        let.set()


@pytest.mark.parametrize("step", ["verify", "session", "open", "intent", "vend", "connect", "classify"])
async def test_whatever_goes_wrong_no_secret_is_kept(bundle: Bundle, step: str) -> None:
    play = Play()
    faults = {"verify": TokenFault("no"), "session": TokenFault("no"), "open": RecordingFault("full")}
    play.fail[step] = faults.get(step, UpstreamFault("away"))
    assert play.hello is not None
    token = play.hello.token
    _, task = serve(play, bundle)
    await finish(task)
    assert token.wiped and all(secret.wiped for secret in play.protected)


@pytest.mark.parametrize("step", ["verify", "session"])
async def test_a_token_that_opens_nothing_is_told_why(bundle: Bundle, step: str) -> None:
    play = Play()
    play.fail[step] = TokenFault("it has expired")
    _, task = serve(play, bundle)
    await finish(task)
    (denial,) = play.closed
    assert denial is not None
    assert denial.code is DenialCode.IDENTITY
    assert "expired" in denial.reason
    assert not play.intents
    ((name, fields),) = play.events
    assert (name, fields["target"], fields["reason"]) == ("login_failed", "shop", "it has expired")


async def test_a_refused_login_that_cannot_be_recorded_is_refused_all_the_same(bundle: Bundle) -> None:
    play = Play()
    play.fail |= {"verify": TokenFault("it has expired"), "open": RecordingFault("the disk is full")}
    _, task = serve(play, bundle)
    await finish(task)
    (denial,) = play.closed
    assert denial is not None
    assert denial.code is DenialCode.IDENTITY


async def test_an_unknown_target_names_the_known_ones(bundle: Bundle) -> None:
    play = Play()
    assert play.hello is not None
    play.hello = replace(play.hello, target="nowhere")
    _, task = serve(play, bundle)
    await finish(task)
    (denial,) = play.closed
    assert denial is not None
    assert "nowhere" in denial.reason
    assert "shop" in denial.hint


async def test_policy_decides_about_connecting_and_the_refusal_is_recorded(bundle: Bundle) -> None:
    play = Play()
    play.principal = replace(AGENT, groups=frozenset())
    _, task = serve(play, bundle)
    await finish(task)
    assert [type(decision) for decision in play.intents] == [Denial]
    assert play.closed == play.intents
    assert not play.forwarded
    assert play.finished == ["refused"]


@pytest.mark.parametrize(("step", "kind"), [("vend", UpstreamFault), ("connect", Unreachable)])
async def test_a_target_that_fails_ends_the_session_with_the_reason(bundle: Bundle, step: str, kind: type) -> None:
    play = Play()
    play.fail[step] = kind("the database is away")
    _, task = serve(play, bundle)
    await finish(task)
    (denial,) = play.closed
    code = {UpstreamFault: DenialCode.FAULT, Unreachable: DenialCode.UNREACHABLE}[kind]
    assert denial is not None and (denial.code, denial.reason) == (code, "the database is away")
    assert play.finished == ["the database is away"]


@pytest.mark.parametrize("step", ["open", "intent"])
async def test_what_cannot_be_recorded_ends_the_session_before_anything_runs(bundle: Bundle, step: str) -> None:
    play = Play()
    play.fail[step] = RecordingFault("the disk is full")
    _, task = serve(play, bundle)
    await finish(task)
    (denial,) = play.closed
    assert denial is not None
    assert denial.code is DenialCode.FAULT
    assert not play.forwarded


async def test_a_killed_session_ends_at_once_and_says_so(bundle: Bundle) -> None:
    play = Play()
    play.stays = True
    _, task = serve(play, bundle)
    await asyncio.wait_for(play.waits.wait(), 5)
    play.killed.set_result("killed by the owner")
    await finish(task)
    (denial,) = play.closed
    assert denial is not None
    assert denial.reason == "killed by the owner"
    assert play.finished == ["killed by the owner"]


async def test_the_drain_ends_a_session_that_stays(bundle: Bundle) -> None:
    play = Play()
    play.stays = True
    gateway, task = serve(play, bundle)
    await asyncio.wait_for(play.waits.wait(), 5)
    gateway.watch.drain()
    await finish(task)
    assert play.finished == ["the gateway is shutting down"]
    (denial,) = play.closed
    assert denial is not None and denial.code is DenialCode.SHUTDOWN


async def test_a_result_past_the_budget_ends_the_session(bundle: Bundle) -> None:
    play = Play()
    play.rows = bundle.targets["shop"].budgets["rows"] + 1
    _, task = serve(play, bundle)
    await finish(task)
    (denial,) = play.closed
    assert denial is not None
    assert denial.code is DenialCode.BUDGET


async def test_a_defect_of_ours_closes_the_one_connection(bundle: Bundle) -> None:
    play = Play()
    play.fail["classify"] = AssertionError("never")
    _, task = serve(play, bundle)
    await finish(task)
    (denial,) = play.closed
    assert denial is not None
    assert denial.code is DenialCode.FAULT
    assert not play.forwarded


async def test_a_client_fault_while_greeting_ends_quietly(bundle: Bundle) -> None:
    play = Play()
    play.fail["greet"] = ClientFault("it spoke HTTP")
    _, task = serve(play, bundle)
    await finish(task)
    assert play.closed == [None]


@pytest.mark.parametrize(
    ("groups", "name", "broken"),
    [
        ({"agents", "break-glass"}, "break-glass: the site is down", "the site is down"),
        ({"agents"}, "break-glass: let me", None),
        ({"agents", "break-glass"}, "break-glass:", None),
        ({"agents", "break-glass"}, "psql", None),
    ],
)
async def test_the_glass_is_broken_only_by_its_group_and_with_a_reason(
    bundle: Bundle, groups: set[str], name: str, broken: str | None
) -> None:
    play = Play()
    assert play.hello is not None
    play.hello = replace(play.hello, attributes={"application_name": name})
    play.principal = replace(AGENT, groups=frozenset(groups))
    _, task = serve(play, bundle)
    await finish(task)
    assert [given["reason"] for event, given in play.events if event == "break_glass"] == ([broken] if broken else [])
    assert ([type(one) for one in play.closed] == [Denial]) == (name != "psql" and not broken)


async def test_an_idle_session_whose_recording_fails_ends_and_an_audit_event_says_so(bundle: Bundle) -> None:
    """A sink may fail while nobody asks anything: nobody would be told by the next statement."""
    play = Play()
    play.stays = True
    gateway, task = serve(play, bundle)
    flushing = asyncio.create_task(gateway.watch.flush_lazily())
    await asyncio.wait_for(play.waits.wait(), 5)
    play.fail["flush"] = RecordingFault("the bucket does not take it")
    await finish(task)
    flushing.cancel()
    (denial,) = play.closed
    assert denial is not None
    assert denial.code is DenialCode.FAULT
    assert "cannot be recorded" in denial.reason
    (fields,) = [fields for name, fields in play.events if name == "recording_failed"]
    assert (fields["recording"], fields["recording_mode"]) == ("r", "strict")
    assert "bucket" in str(fields["reason"])


async def test_a_best_effort_session_goes_on_and_the_failure_is_told_once(bundle: Bundle) -> None:
    play = Play()
    play.stays = True
    target = replace(bundle.targets["shop"], recording="best_effort")
    gateway, task = serve(play, replace(bundle, targets={**bundle.targets, "shop": target}))
    flushing = asyncio.create_task(gateway.watch.flush_lazily())
    play.fail["flush"] = play.fail["intent"] = RecordingFault("the disk is full")
    await asyncio.wait_for(play.waits.wait(), 5)
    assert len(play.forwarded) == 1, "it ran all the same"
    assert not play.closed
    play.killed.set_result("over")
    await finish(task)
    flushing.cancel()
    told = [fields for name, fields in play.events if name == "recording_failed"]
    assert [fields["recording_mode"] for fields in told] == ["best_effort"]
