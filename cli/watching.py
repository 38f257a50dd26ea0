"""``blastwall approvals watch``: a live list, the whole selected request below it, one key to decide.

The screen is a pure function of :class:`Screen`; the loop at the end moves keys and news into it. Approving takes that
everything was on the screen: a request longer than it wants to be scrolled to its end first.
"""

from __future__ import annotations

import asyncio
import os
import select
import sys
import termios
import tty
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TextIO

from blastwall.approvals import Ballot, Filed
from blastwall.approvals.view import lines_of, standing, view_of
from blastwall.approvals.visible import visible
from blastwall.model import ApprovalState, ApprovalStatus, Denial

HELP = "↑↓ select · space/b scroll · a approve · d deny · q quit"
SHORT = "a approve · d deny · q quit"
LOOK_SECONDS = 1.0
KEYS = {b"\x1b[A": "up", b"\x1b[B": "down", b"k": "up", b"j": "down", b" ": "page", b"b": "back", b"\r": "page"}
KEYS |= {b"\x1b[5~": "back", b"\x1b[6~": "page", b"a": "approve", b"d": "deny", b"q": "quit", b"\x03": "quit"}

Decide = Callable[[Filed, Ballot], Awaitable[ApprovalStatus | Denial]]


@dataclass
class Screen:
    """What is on the screen: the requests that wait, which is selected, how far it is scrolled and was seen."""

    filed: Sequence[Filed] = ()
    selected: str = ""
    scroll: int = 0
    seen: int = 0  # lines of the selected request that have been on the screen, from its beginning
    message: str = ""
    width: int = 80
    height: int = 24
    _lines: list[str] = field(default_factory=list)
    _begun: bool = False

    def take(self, filed: Sequence[Filed]) -> None:
        """New facts. The selection stays with its request; when that is over, nothing is selected.

        Another request under the same key would be decided by whoever presses it twice.
        """
        self.filed = sorted(
            (one for one in filed if one.status.state is ApprovalState.REQUESTED),
            key=lambda one: one.request.requested_at,
        )
        if self.current is None and self.selected:
            self._select("")
        if not self.selected and not self._begun and self.filed:
            self._begun = True
            self._select(self.filed[0].request.id)

    @property
    def current(self) -> Filed | None:
        return next((one for one in self.filed if one.request.id == self.selected), None)

    def key(self, key: str) -> Ballot | None:
        """A key's effect; the ballot it casts for the selected request, if it casts one."""
        self.message = ""
        if key in ("up", "down"):
            self._step(-1 if key == "up" else 1)
        elif key in ("page", "back"):
            room = self._room()
            last = max(0, len(self._lines) - room)
            self.scroll = min(last, max(0, self.scroll + (room - 1 if key == "page" else 1 - room)))
        elif key in ("approve", "deny") and self.current is not None:
            if key == "approve" and self.seen < len(self._lines):
                self.message = (
                    f"{len(self._lines) - self.seen} lines were not on the screen yet: scroll to the end first"
                )
                return None
            return Ballot(key == "approve", view_of(self.current.request).shown)
        return None

    def render(self, now: float) -> list[str]:
        """Exactly ``height`` lines of at most ``width`` columns."""
        rows = [self._row(one, now) for one in self._window()]
        head = [f"{len(self.filed)} waiting", *rows, "─" * self.width]
        room = self._room()
        shown = self._lines[self.scroll : self.scroll + room]
        self.seen = max(self.seen, min(len(self._lines), self.scroll + room))
        left = len(self._lines) - self.scroll - len(shown)
        foot = self.message or self._help(left)
        body = shown + [""] * (room - len(shown))
        return [line[: self.width] for line in [*head, *body]] + [foot[: self.width]]

    def _help(self, left: int) -> str:
        """The keys; on a narrow screen those that decide and the one that leaves come before all others."""
        whole = f"⟨{left} more lines: space⟩ {HELP}" if left else HELP
        if len(whole) <= self.width:
            return whole
        return f"{SHORT} ⟨{left} more: space⟩" if left else SHORT

    def _window(self) -> list[Filed]:
        """As many rows of the list as a third of the screen holds, the selected one among them."""
        most = max(1, self.height // 3 - 2)
        index = next((n for n, one in enumerate(self.filed) if one.request.id == self.selected), 0)
        start = max(0, min(index - most // 2, len(self.filed) - most))
        return list(self.filed[start : start + most])

    def _room(self) -> int:
        return max(3, self.height - len(self._window()) - 3)

    def _row(self, filed: Filed, now: float) -> str:
        request = filed.request
        mark = ">" if request.id == self.selected else " "
        agent = visible(request.principal.agent)
        left = max(0.0, request.expires_at - now)
        return f"{mark} {request.id}  {left:4.0f} s  risk {request.risk.score:3}  {agent}: {view_of(request).headline}"

    def _step(self, by: int) -> None:
        ids = [one.request.id for one in self.filed]
        if ids:
            here = ids.index(self.selected) + by if self.selected in ids else 0
            self._select(ids[min(len(ids) - 1, max(0, here))])

    def _select(self, id: str) -> None:
        self.selected, self.scroll, self.seen = id, 0, 0
        current = self.current
        lines = lines_of(view_of(current.request)) if current is not None else []
        self._lines = [part for line in lines for part in _wrapped(line, self.width)]

    def resize(self, width: int, height: int) -> None:
        """The terminal has another size: what was seen is laid out anew."""
        if (width, height) != (self.width, self.height):
            self.width, self.height = width, height
            self._select(self.selected)


def _wrapped(line: str, width: int) -> list[str]:
    """A line in pieces: whatever does not fit goes on below, nothing is cut off."""
    return [line[start : start + width] for start in range(0, len(line), width)] or [""]


def word(verdict: ApprovalStatus | Denial) -> str:
    """What came of a ballot, in a line."""
    if isinstance(verdict, Denial):
        return visible(f"not counted: {verdict.reason}" + (f" ({verdict.hint})" if verdict.hint else ""))
    return f"{verdict.id}: {standing(verdict)}"


async def watch(
    ls: Callable[[], Awaitable[Sequence[Filed]]],
    changed: Callable[[float], Awaitable[None]],
    decide: Decide,
    now: Callable[[], float],
    out: TextIO = sys.stdout,
) -> None:
    """Run on this process's terminal until q is pressed."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    keys: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    screen = Screen()
    tty.setcbreak(descriptor)

    def read() -> None:
        for key in read_keys(descriptor):
            keys.put_nowait(key)

    loop.add_reader(descriptor, read)
    out.write("\x1b[?1049h\x1b[?25l")
    try:
        while True:
            size = os.get_terminal_size(out.fileno())
            screen.resize(size.columns, size.lines)
            screen.take(await ls())
            out.write("\x1b[H" + "\x1b[K\r\n".join(screen.render(now())) + "\x1b[J")
            out.flush()
            key = await _next(keys, changed)
            if key == "quit":
                return
            ballot = screen.key(key) if key else None
            if ballot is not None and screen.current is not None:
                screen.message = word(await decide(screen.current, ballot))
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        out.write("\x1b[?25h\x1b[?1049l")
        out.flush()


async def _next(keys: asyncio.Queue[str], changed: Callable[[float], Awaitable[None]]) -> str:
    """The next key, or "" when something changed or a moment has passed."""
    key = asyncio.ensure_future(keys.get())
    news = asyncio.ensure_future(changed(LOOK_SECONDS))
    done, waiting = await asyncio.wait({key, news}, return_when=asyncio.FIRST_COMPLETED)
    for one in waiting:
        one.cancel()
    await asyncio.wait({key, news})
    return key.result() if key in done else ""


def read_keys(descriptor: int) -> list[str]:
    """The keys that were pressed, by name; others mean nothing. The end of the input is quit."""
    data = os.read(descriptor, 64)
    if not data:
        return ["quit"]
    found = []
    while data:
        length = next((len(code) for code in KEYS if data.startswith(code)), 1)
        name = KEYS.get(data[:length])
        if name is not None:
            found.append(name)
        data = data[length:]
    return found


def on_a_terminal() -> bool:
    """Whether there is somebody to watch."""
    return sys.stdin.isatty() and sys.stdout.isatty() and bool(select.select([], [sys.stdout], [], 0)[1])
