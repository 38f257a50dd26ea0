"""The live list: a pure screen, and once on a real terminal."""

from __future__ import annotations

import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from fcntl import ioctl
from pathlib import Path

import pytest

from blastwall.approvals import Filed
from blastwall.approvals.view import view_of
from blastwall.model import ApprovalState, ApprovalStatus, Denial, DenialCode
from cli.watching import HELP, Screen, read_keys, word
from tests.blastwall.approvals.asking import ask

ROOT = Path(__file__).parents[2]


def filed(id: str, at: float = 100.0, state: ApprovalState = ApprovalState.REQUESTED, **changes: object) -> Filed:
    return Filed(ask(id=id, requested_at=at, **changes), ApprovalStatus(id, state))


def screen(*requests: Filed, height: int = 40) -> Screen:
    made = Screen(width=80, height=height)
    made.take(requests)
    return made


def test_the_screen_has_the_list_and_all_of_the_selected_request() -> None:
    shown = screen(filed("a-2", 120.0), filed("a-1", 110.0)).render(150.0)
    assert len(shown) == 40 and all(len(line) <= 80 for line in shown)
    assert shown[0] == "2 waiting" and shown[1].startswith("> a-1") and shown[2].startswith("  a-2")
    assert any("1 │ DELETE FROM orders WHERE id = $1" in line for line in shown)
    assert shown[-1] == HELP


@pytest.mark.parametrize("lines", [1, 200])
@pytest.mark.parametrize("width", [45, 60, 80, 120])
def test_the_keys_that_decide_and_leave_are_there_on_any_screen(width: int, lines: int) -> None:
    made = Screen(width=width, height=20)
    made.take([filed("a-1", text="x\n" * lines)])
    foot = made.render(150.0)[-1]
    assert len(foot) <= width
    assert all(key in foot for key in ("a approve", "d deny", "q quit")), foot
    assert ("more" in foot) is bool(made.seen < len(made._lines)), "what is left to read is told too"


def test_one_key_decides_about_what_is_shown() -> None:
    for key, approve in (("approve", True), ("deny", False)):
        made = screen(filed("a-1"))
        made.render(150.0)
        ballot = made.key(key)
        assert ballot is not None and ballot.approve is approve
        assert ballot.shown == view_of(filed("a-1").request).shown


def test_nothing_is_approved_that_was_not_on_the_screen() -> None:
    made = screen(filed("a-1", text="\n".join(f"row {n}" for n in range(100))), height=24)
    made.render(150.0)
    assert made.key("approve") is None and "were not on the screen" in made.message
    assert made.render(150.0)[-1].endswith("scroll to the end first")
    for _ in range(12):
        made.key("page")
        made.render(150.0)
    assert made.key("approve") is not None
    made.key("back")
    assert made.key("approve") is not None, "seen is seen"


def test_denying_needs_no_reading() -> None:
    made = screen(filed("a-1", text="x\n" * 200), height=10)
    made.render(150.0)
    assert made.key("deny") is not None


def test_after_a_decision_nothing_is_selected_so_that_no_second_press_decides_another() -> None:
    first, second = filed("a-1", 110.0), filed("a-2", 120.0)
    made = screen(first, second)
    made.render(150.0)
    assert made.key("approve") is not None
    made.take([filed("a-1", 110.0, ApprovalState.APPROVED), second])
    made.render(150.0)
    assert made.current is None and made.key("approve") is None and made.key("deny") is None
    made.key("down")
    assert made.selected == "a-2"


def test_the_selection_stays_with_its_request() -> None:
    made = screen(filed("a-1", 110.0), filed("a-2", 120.0))
    made.key("down")
    made.take([filed("a-0", 90.0), filed("a-1", 110.0), filed("a-2", 120.0)])
    assert made.selected == "a-2"
    for _ in range(5):
        made.key("up")
    assert made.selected == "a-0"


def test_many_requests_scroll_in_their_third_of_the_screen() -> None:
    made = screen(*(filed(f"a-{n:02}", float(n)) for n in range(50)), height=24)
    for _ in range(30):
        made.key("down")
    shown = made.render(60.0)
    assert len(shown) == 24 and any(line.startswith("> a-30") for line in shown)


def test_another_size_is_laid_out_anew() -> None:
    made = screen(filed("a-1", text="y" * 500))
    made.render(150.0)
    made.resize(40, 20)
    assert all(len(line) <= 40 for line in made.render(150.0)) and made.seen < len(made._lines)


def test_an_agents_characters_do_not_reach_the_terminal() -> None:
    shown = "\n".join(screen(filed("a-1", text="SELECT '\x1b[2J\u202e'")).render(150.0))
    assert "\x1b" not in shown and "\u202e" not in shown and "⟨U+001B⟩" in shown


def test_what_came_of_it_is_said() -> None:
    assert word(ApprovalStatus("a-1", ApprovalState.APPROVED)) == "a-1: approved"
    assert word(Denial(DenialCode.POLICY, "one person\x1b")) == "not counted: one person⟨U+001B⟩"


def test_keys_are_read_by_name() -> None:
    read, write = os.pipe()
    os.write(write, b"\x1b[Bja \x1bzq")
    assert read_keys(read) == ["down", "down", "approve", "page", "quit"]
    os.close(write)
    assert read_keys(read) == ["quit"]
    os.close(read)


PROGRAM = """
import asyncio, sys, time
from pathlib import Path
from blastwall.local.approvals import LocalApprovals
from blastwall.local.clock import SystemClock
from blastwall.local.store import Store
from blastwall.model import Principal
from cli.watching import watch

async def main():
    approvals = LocalApprovals(Store(Path(sys.argv[1])), SystemClock())
    bob = Principal("https://idp", "bob", "bob", token_id="t")
    decide = lambda filed, ballot: approvals.vote(filed.request.id, bob, ballot, lambda *_: None)
    await watch(lambda: approvals.ls(live=True), approvals.changed, decide, time.time)

asyncio.run(main())
"""


@pytest.fixture
def book(tmp_path: Path):
    import asyncio

    from blastwall.approvals import binding
    from blastwall.local.approvals import LocalApprovals
    from blastwall.local.clock import SystemClock
    from blastwall.local.store import Store

    def do(work):
        async def inside():
            store = Store(tmp_path / "blastwall.db")
            try:
                return await work(LocalApprovals(store, SystemClock()))
            finally:
                store.close()

        return asyncio.run(inside())

    now = time.time()
    asked = ask(requested_at=now, expires_at=now + 900, quorum=1)
    about = {name: getattr(asked, name) for name in ("principal", "session", "target", "statement", "policy_version")}
    assert binding(**about) == asked.binding
    do(lambda approvals: approvals.request(asked))
    return do


def test_on_a_real_terminal(book, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 100, 0, 0))
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "blastwall.db")]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, close_fds=True)
    before = termios.tcgetattr(slave)
    said = b""

    def until(text: str) -> None:
        nonlocal said
        deadline = time.monotonic() + 20
        while text.encode() not in said:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([master], [], [], left)[0], said.decode(errors="replace")
            said += os.read(master, 65536)

    until("q quit")
    assert b"delete on public.orders at shop" in said
    os.write(master, b"a")
    until("a-1: approved")
    status = book(lambda approvals: approvals.show("a-1")).status
    assert (status.state, status.by) == (ApprovalState.APPROVED, ("bob",))
    os.write(master, b"q")
    until("\x1b[?1049l")
    assert process.wait(10) == 0
    assert termios.tcgetattr(slave)[3] == before[3] | termios.ICANON | termios.ECHO, "the terminal is as it was"
    os.close(master)
    os.close(slave)
