"""The gateway's second look: a connection beside the session's, with its login, that only reads and is soon over.

What it asks, without the values in it, and finds out is recorded and never told to the agent. Every question is a
transaction of its own that is READ ONLY and rolled back, has a time limit, waits for no lock to speak of, and takes
none above ACCESS SHARE.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from blastwall.blast import Blast, unknown
from blastwall.errors import UpstreamFault
from blastwall.model import Credential, Secret, Target
from blastwall.protocols.postgres.console import Console
from blastwall.protocols.postgres.options import Options
from blastwall.protocols.postgres.vend import literal
from blastwall.sql.blast import Answer, Failed, Question, Situation, foresee

#: Opening the connection may take this long (seconds), or as long as the questions, if that is longer.
OPEN_SECONDS: Final = 1.0
#: How long a question waits for a lock that somebody else holds (milliseconds).
LOCK_MS: Final = 100
#: What was asked is recorded to this length (characters); the rest of it is the statement's own.
TOLD: Final = 16_384
#: An unused connection is closed after this (seconds).
KEPT_SECONDS: Final = 30.0
#: Laid over the session's own settings: nothing here changes what a condition means.
SETTINGS: Final[Mapping[str, str]] = {
    "default_transaction_read_only": "on",
    "statement_timeout": "10000",
    "lock_timeout": str(LOCK_MS),
    "idle_in_transaction_session_timeout": "5000",
    "client_min_messages": "error",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}
#: What a session may change that changes what a condition means, and that the server reports.
MEANING: Final = ("TimeZone", "DateStyle", "IntervalStyle")
_CANCELLED: Final = "57014"  # query_canceled
_DATA: Final = "22"  # the class of what values cannot be: divided by, converted to ...
_WHO: Final = "SELECT current_user::text, pg_catalog.array_to_json(pg_catalog.current_schemas(false))::text"


class Side:
    """One session's second connection, opened when it is first needed. One statement at a time.

    ``credential`` is a copy of the session's; its secret is wiped by :meth:`close`. ``parameters`` are those of the
    session's own startup, database included.
    """

    def __init__(self, target: Target, credential: Credential, parameters: Mapping[str, str]) -> None:
        options: Options = target.options
        self._seconds = options.look_ahead_ms / 1000  # for all questions about a statement; before, for opening
        self._target = target
        self._credential = _copied(credential)
        self._database = parameters["database"]
        name = f"blastwall looks ahead for {parameters.get('application_name', '')}"
        self._settings = {**parameters, **SETTINGS, "application_name": name[:63]}
        self._console: Console | None = None
        self._who: tuple[str, tuple[str, ...]] = ("", ())
        self._ending: asyncio.TimerHandle | None = None
        self._closed = False

    async def foresee(
        self, situation: Situation, user: str, path: tuple[str, ...], reported: Mapping[str, str]
    ) -> tuple[Blast, list[str]]:
        """What the statement would do, and what was asked to find out.

        ``user`` and ``path`` are the session's present ones: under others the answers would be another's.
        Raises nothing but cancellation: what cannot be had is unknown.
        """
        asked: list[str] = []
        try:
            console = await self._open()
        except UpstreamFault as fault:
            return unknown(f"The gateway's second connection cannot be opened: {fault}"), asked
        if self._who != (user, path):
            return unknown("The session runs as another role, or under another search path, than its login."), asked
        meaning = "".join(
            f"; SET LOCAL {name} = {literal(reported[name])}"
            for name in MEANING
            if name in reported and reported[name] != console.reported.get(name)
        )
        try:
            return await self._drive(console, situation, meaning, asked), asked
        except UpstreamFault as fault:
            self._drop()
            return unknown(f"The gateway's second connection broke: {fault}"), asked
        except BaseException:
            self._drop()
            raise
        finally:
            self._rest()

    async def _drive(self, console: Console, situation: Situation, meaning: str, asked: list[str]) -> Blast:
        deadline = time.monotonic() + self._seconds
        seeing = foresee(situation)
        answer: Answer | None = None
        while True:
            try:
                question = next(seeing) if answer is None else seeing.send(answer)
            except StopIteration as end:
                found: Blast = end.value
                return found
            text = blanked(question.text)
            asked.append(text if len(text) <= TOLD else f"{text[:TOLD]} ...")
            answer = await self._ask(console, question, meaning, deadline)

    async def _ask(self, console: Console, question: Question, meaning: str, deadline: float) -> Answer:
        left = deadline - time.monotonic()
        milliseconds = int(min(question.share * self._seconds, left) * 1000)
        if milliseconds < 5:
            return Failed(_CANCELLED, "the time for looking ahead is over")
        path = "; SET LOCAL search_path = pg_catalog, pg_temp" if question.own else meaning
        begin = (
            f"BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {milliseconds}"
        )
        try:
            async with asyncio.timeout(max(left, 0.0) + 0.5):
                await console.run(begin + path)
                answer: Answer
                try:
                    answer = await console.ask(question.text, question.parameters)
                except UpstreamFault as fault:
                    if fault.code[:2] in ("08", "57", "54", "") and fault.code != _CANCELLED:
                        raise
                    answer = Failed(fault.code, _reason(fault.code))
                await console.run("ROLLBACK")
                return answer
        except TimeoutError:
            raise UpstreamFault("the database did not keep its own time limit", code="08006") from None

    async def _open(self) -> Console:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        if self._closed:
            raise UpstreamFault("the session has ended", code="08003")
        if self._console is not None and not self._console.closed:
            return self._console
        credential = _copied(self._credential)
        try:
            async with asyncio.timeout(max(self._seconds, OPEN_SECONDS)):
                console = await Console.open(self._target, credential, self._database, self._settings)
                try:
                    ((user, path),) = await console.ask(_WHO)
                except BaseException:
                    console.close()
                    raise
        except TimeoutError:
            raise UpstreamFault(
                f"the target did not open it within {max(self._seconds, OPEN_SECONDS):g} s", code="08001"
            ) from None
        finally:
            if credential.secret is not None:
                credential.secret.wipe()
        if self._ended():  # meanwhile: nobody else would close it
            console.close()
            raise UpstreamFault("the session has ended", code="08003")
        self._who = ((user or b"").decode(), tuple(json.loads(path or b"[]")))
        self._console = console
        return console

    def _rest(self) -> None:
        """Close the connection when it has not been used for a while."""
        if self._console is not None and not self._closed:
            self._ending = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._drop)

    def _drop(self) -> None:
        console, self._console = self._console, None
        if console is not None:
            console.close()

    def _ended(self) -> bool:
        return self._closed

    def close(self) -> None:
        """End the connection and wipe the credential. Idempotent."""
        self._closed = True
        if self._ending is not None:
            self._ending.cancel()
        self._drop()
        if self._credential.secret is not None:
            self._credential.secret.wipe()


_QUOTED: Final = re.compile(r"'(?:[^'\\]|''|\\.)*'", re.DOTALL)


def blanked(text: str) -> str:
    """Without what stands in quotes: the statement's own record has it, with what is secret taken out."""
    return _QUOTED.sub("'?'", text)


def _copied(credential: Credential) -> Credential:
    secret = credential.secret
    return credential if secret is None else replace(credential, secret=Secret(secret.reveal()))


#: A server's own words can hold values of rows ("invalid input syntax for type integer: ..."): only the kind is told.
_REASONS: Final[Mapping[str, str]] = {
    _CANCELLED: "it takes too long",
    "55P03": "somebody holds a lock on a table it needs",
    "42501": "the session's role may not read a table it needs",
    "42P01": "a table is not there, or only its own session sees it",
    "42883": "a function is not there, or does not take these values",
}


def _reason(code: str) -> str:
    fails = "its own expressions fail on rows as they are" if code[:2] == _DATA else "the database refused"
    return _REASONS.get(code, f"{fails} (SQLSTATE {code})")
