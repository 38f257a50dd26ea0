"""The demo's surroundings: a local stack, an agent's clients, people's commands, and a view past the gateway."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg

from demo.clients import COMMAND_SECONDS, Door
from rig import account, running
from rig.postgres import SUPERUSER
from rig.running import Running

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 60.0
AGENT = "shop-assistant"
PERSON = "sales@example.test"


class StageFault(Exception):
    """The demo could not even begin; says why."""


class Stage:
    """``with Stage(width) as stage`` runs ``blastwall up`` on a state directory of its own, removed afterwards.

    ``width`` is the columns that people's commands have.
    """

    running: Running

    def __init__(self, width: int) -> None:
        self._width = width
        self.state = Path(tempfile.mkdtemp(prefix="blastwall-demo-"))
        self._up: subprocess.Popen[str] | None = None

    def __enter__(self) -> Stage:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        config = str(ROOT / "config")
        self._up = subprocess.Popen(
            [sys.executable, "-m", "cli", "up", "--config", config, "--state", str(self.state), "--port", "0"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C ends the demo, and the demo ends this
        )
        output: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, args=(output,), daemon=True).start()
        said: list[str] = []
        deadline = time.monotonic() + READY_SECONDS
        while not (said and said[-1].startswith("ready:")):
            try:
                line = output.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise StageFault("`blastwall up` did not become ready:\n" + "".join(said))
            said.append(line)
        found = running.read(self.state)
        if found is None:
            raise StageFault("`blastwall up` is ready but does not say where")
        self.running = found

    def _read(self, output: queue.Queue[str | None]) -> None:
        assert self._up is not None and self._up.stdout is not None
        for line in self._up.stdout:
            output.put(line)
        output.put(None)

    def stop(self) -> int:
        """Stop the stack as Ctrl-C does; returns its exit status."""
        process, self._up = self._up, None
        if process is None:
            return 0
        if process.poll() is None:
            process.terminate()
        try:
            return process.wait(COMMAND_SECONDS)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def close(self) -> None:
        """Stop, and remove the state directory with everything in it."""
        self.stop()
        account.remove_tree(self.state)

    # the agent

    def token(self, *groups: str) -> str:
        """A token for the demo's agent."""
        options = [option for group in groups for option in ("--group", group)]
        done = self.blastwall("token", "--agent", AGENT, "--on-behalf-of", PERSON, *options)
        if done.returncode:
            raise StageFault(f"no token: {done.stderr}")
        return done.stdout.strip()

    def psql(self, sql: str, token: str) -> subprocess.CompletedProcess[str]:
        """psql as an agent has it."""
        return self.door.psql(sql, token)

    def connect(self, token: str) -> psycopg.Connection[tuple[Any, ...]]:
        """psycopg as an agent has it."""
        return self.door.connect(token)

    @property
    def door(self) -> Door:
        """Where agents come in."""
        return Door(self.running.listening["postgres"], self.running.ca)

    # people, and the view past the gateway

    def blastwall(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line, as people use it."""
        verb = arguments[:2] if arguments[0] in ("approvals", "recordings", "audit") else arguments[:1]
        command = [sys.executable, "-m", "cli", *verb, "--state", str(self.state), *arguments[len(verb) :]]
        environment = {**os.environ, "COLUMNS": str(self._width)}
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )

    def lines(self, *arguments: str) -> list[Mapping[str, Any]]:
        """The JSON lines that a verb prints."""
        done = self.blastwall(*arguments, "--format", "json")
        if done.returncode:
            raise StageFault(f"blastwall {' '.join(arguments)}: {done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]

    def truth(self, sql: str) -> list[tuple[Any, ...]]:
        """What the database itself says, asked as superuser and not through the gateway."""
        place = json.loads((self.state / "overrides.json").read_text())["targets"]["shop"]
        password = (self.state / "targets" / "shop" / "superuser.password").read_text()
        with psycopg.connect(
            host=place["host"],
            port=place["port"],
            user=SUPERUSER,
            password=password,
            dbname="shop",
            autocommit=True,
        ) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def count(self, source: str) -> int:
        """Rows of a table, or of a table with a condition."""
        ((number,),) = self.truth(f"SELECT count(*) FROM {source}")  # noqa: S608  # the demo's own words
        return int(number)
