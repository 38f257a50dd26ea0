"""Subprocesses that parse what might crash or stall the parser, and can be killed.

``python -m blastwall.sql.worker`` is the child; :class:`Pool` the gateway's side. They talk over a socket pair: a
request is ``length (4 bytes, big-endian) + operation (1) + payload``, an answer ``length + status (1) + payload``. A
child holds no secrets (its environment is empty but for the import path), opens no files, and kills itself at the
deadline even if its parent does not.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import queue
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import blastwall
from blastwall.sql import grammar
from blastwall.sql.grammar import Unparsed
from blastwall.sql.limits import LIMITS, Limits, excess

_PING, _PARSE, _DEPARSE, _RENAME, _SPELL = b"!", b"p", b"d", b"r", b"s"
_DONE, _REFUSED = b"+", b"-"
_HEAD = 5


@dataclass(frozen=True, slots=True)
class Parsed:
    """A worker's answer to a text: the serialised tree and what else was found on the way."""

    data: bytes
    fingerprint: str
    modern_numbers: bool


class Pool:
    """At most ``limits.worker_processes`` children, started when first needed. Safe to call from several threads.

    Every method that asks raises Unparsed when the child answers so, dies, or misses the deadline (it is killed and the
    next request gets a new one), and when all children stay busy.
    """

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._idle: queue.LifoQueue[_Child | None] = queue.LifoQueue()
        for _ in range(limits.worker_processes):
            self._idle.put(None)  # a place for a child that is not started yet
        self._threads = ThreadPoolExecutor(limits.worker_processes, thread_name_prefix="parse")
        self._closed = False
        self._lock = threading.Lock()
        self._children: set[_Child] = set()

    def parse(self, raw: bytes) -> Parsed:
        """Parse a UTF-8 text, with all limits but its length checked in the child. Blocks."""
        answer = self._ask(_PARSE, raw)
        return Parsed(data=answer[17:], fingerprint=answer[1:17].decode("ascii"), modern_numbers=answer[:1] == b"\1")

    async def parse_async(self, raw: bytes) -> Parsed:
        """As :meth:`parse`, on one of the pool's own threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.parse, raw)

    def deparse(self, data: bytes) -> str:
        """Deparse a serialised tree. Blocks."""
        return self._ask(_DEPARSE, data).decode("utf-8")

    def rename(self, raw: bytes, statements: dict[str, str], cursors: dict[str, str]) -> str:
        """:func:`blastwall.sql.rename.rename` of a UTF-8 text, in the child. Blocks."""
        names = json.dumps([statements, cursors]).encode("ascii")
        return self._ask(_RENAME, len(names).to_bytes(4, "big") + names + raw).decode("utf-8")

    def spell(self, data: bytes) -> tuple[str, bytes]:
        """Deparse a serialised tree of the gateway's own, and parse what comes of it: (text, its tree). Blocks."""
        answer = self._ask(_SPELL, data)
        size = int.from_bytes(answer[:4], "big")
        return answer[4 : 4 + size].decode("utf-8"), answer[4 + size :]

    def start(self) -> None:
        """Start one child now, so that the first large statement does not wait for it. Blocks."""
        self._ask(_PING, b"")

    @property
    def closed(self) -> bool:
        """Whether it was closed: it answers nothing any more."""
        return self._closed

    def close(self) -> None:
        """Kill the children and refuse everything from now on. Idempotent."""
        with self._lock:
            self._closed = True
            children = tuple(self._children)
            self._children.clear()
        for child in children:
            child.kill()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ask(self, operation: bytes, payload: bytes) -> bytes:
        try:
            child = self._idle.get(timeout=self._limits.worker_start_seconds)
        except queue.Empty:
            raise Unparsed("The parser is busy; try again.", code="53000") from None
        kept = None
        try:
            child = self._ready(child)
            try:
                status, answer = child.ask(operation, payload, self._limits.worker_seconds)
            except (BrokenPipeError, ConnectionResetError, EOFError):
                # It died: of the statement, or because a machine short of memory ended it. The next one will tell.
                self._retire(child)
                child = self._ready(None)
                status, answer = child.ask(operation, payload, self._limits.worker_seconds)
            kept = child
        except (OSError, EOFError, ValueError) as error:
            raise Unparsed("The statement costs too much to understand.", code="54001") from error
        finally:
            if kept is None or kept.asked >= self._limits.worker_requests:
                self._retire(child)
                kept = None
            self._idle.put(kept)
        if status == _DONE:
            return answer
        raise Unparsed(**json.loads(answer))

    def _ready(self, child: _Child | None) -> _Child:
        """``child`` if it lives, else a new one that has answered once. Raises Unparsed."""
        if child is not None and child.process.poll() is None:
            return child
        self._retire(child)
        fresh = None
        try:
            with self._lock:
                if self._closed:
                    raise Unparsed("The parser has stopped.", code="57P01")
                fresh = _Child(self._limits)
                self._children.add(fresh)
            fresh.ask(_PING, b"", self._limits.worker_start_seconds)
        except (OSError, EOFError, ValueError) as error:
            self._retire(fresh)
            raise Unparsed("The parser does not start; try again.", code="53000") from error
        return fresh

    def _retire(self, child: _Child | None) -> None:
        if child is not None:
            with self._lock:
                self._children.discard(child)
            child.kill()


class _Child:
    """The gateway's end of one worker process; used by one thread at a time."""

    def __init__(self, limits: Limits) -> None:
        self.asked = 0
        self._limits = limits
        self._socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - our own module, and numbers from limits.toml
                [sys.executable, "-s", "-P", "-m", "blastwall.sql.worker", json.dumps(asdict(limits))],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={"PYTHONPATH": str(Path(blastwall.__file__).parent.parent)},
                start_new_session=True,  # a terminal's interrupt is the gateway's to handle
            )

    def ask(self, operation: bytes, payload: bytes, seconds: float) -> tuple[bytes, bytes]:
        """Raises OSError (TimeoutError included) or EOFError when no answer comes in time, ValueError for a bad one."""
        deadline = time.monotonic() + seconds
        self.asked += 1
        self._socket.settimeout(seconds)
        self._socket.sendall(_frame(operation, payload))
        head = self._read(_HEAD, deadline)
        length = int.from_bytes(head[:4], "big")
        if length > self._limits.worker_answer_bytes or head[4:] not in (_DONE, _REFUSED):
            raise ValueError("the worker's answer is over its limit")
        return head[4:], self._read(length, deadline)

    def _read(self, count: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < count:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the worker missed its deadline")
            self._socket.settimeout(left)
            piece = self._socket.recv(min(count - len(data), 1 << 20))
            if not piece:
                raise EOFError("the worker died")
            data += piece
        return bytes(data)

    def kill(self) -> None:
        self._socket.close()
        self.process.kill()
        self.process.wait()


_shared: Pool | None = None
_shared_lock = threading.Lock()


def shared() -> Pool:
    """The process's one pool, made when first asked for, and again once it was closed."""
    global _shared  # noqa: PLW0603 - one pool per process is the point
    if _shared is None or _shared.closed:
        with _shared_lock:
            if _shared is None or _shared.closed:
                _shared = Pool()
                atexit.register(_shared.close)
    return _shared


def _frame(kind: bytes, payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + kind + payload


def _answer(operation: bytes, payload: bytes, limits: Limits) -> bytes:
    """One request, in the child. Raises Unparsed."""
    if operation == _PARSE:
        return _parse(payload, limits)
    if operation == _DEPARSE:
        return grammar.deparse(payload).encode("utf-8")
    if operation == _SPELL:
        text = grammar.deparse(payload).encode("utf-8")
        return len(text).to_bytes(4, "big") + text + grammar.parse(text)
    if operation == _RENAME:
        from blastwall.sql.rename import rename_inline  # which imports this module

        size = int.from_bytes(payload[:4], "big")
        statements, cursors = json.loads(payload[4 : 4 + size])
        return rename_inline(payload[4 + size :], statements, cursors).encode("utf-8")
    return b""


def _parse(raw: bytes, limits: Limits) -> bytes:
    over = excess(raw, limits)
    tokens = grammar.scan(raw) if over is None else None
    if tokens is not None and len(tokens.tokens) > limits.all_tokens:
        over = f"The statement has more than {limits.all_tokens} tokens."
    elif tokens is not None and len(tokens.tokens) > limits.structure_tokens < grammar.structure(tokens):
        over = f"The statement has more than {limits.structure_tokens} keywords, names and operators."
    if over is not None:
        raise Unparsed(over, code="54000")
    modern = b"\1" if grammar.modern_numbers(raw) else b"\0"
    return b"".join((modern, grammar.fingerprint(raw).encode("ascii"), grammar.parse(raw)))


def _serve(pipe: socket.socket, limits: Limits) -> None:
    """Answer requests until the other end closes."""
    _limit_memory(limits.worker_memory_bytes)
    stream = pipe.makefile("rb")
    while head := stream.read(_HEAD):
        payload = stream.read(int.from_bytes(head[:4], "big"))
        signal.setitimer(signal.ITIMER_REAL, limits.worker_seconds + 1)
        try:
            answer = _frame(_DONE, _answer(head[4:], payload, limits))
        except Unparsed as fault:
            told = {"reason": fault.reason, "message": fault.message, "position": fault.position, "code": fault.code}
            answer = _frame(_REFUSED, json.dumps(told).encode("ascii"))
        signal.setitimer(signal.ITIMER_REAL, 0)
        pipe.sendall(answer)


def _limit_memory(bytes_above: int) -> None:
    statm = Path("/proc/self/statm")
    if not statm.exists():  # not Linux: the deadline and the token limits still hold
        return
    held = int(statm.read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (held + bytes_above, held + bytes_above))


def main() -> None:
    """The child: serve requests from standard input's socket on a thread with a deep stack. Limits are argument 1."""
    limits = Limits(**json.loads(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold the client's text
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the timer ends the process, even inside the C library
    pipe = socket.socket(fileno=0)
    try:
        grammar.deep(lambda: _serve(pipe, limits), limits.worker_stack_bytes)
    finally:
        os._exit(0)  # whatever state the C library is in, do not run its destructors


if __name__ == "__main__":
    main()
