"""Faults, and whose they are. A denial is a value (:class:`blastwall.model.Denial`); an exception is a fault.

::

    Fault
      OurFault                 Blastwall broke its own promise; the operator reads it
        RecordingFault         the record could not be written: strict targets stop
      ClientFault              the agent's client sent what its protocol forbids
        ProtocolViolation      ... on the wire; carries the protocol's own error code
        TokenFault             the token does not verify; ``reason`` is safe to show
          AgentLocked          ... or none of this agent's does, until an operator unlocks it
      UpstreamFault            the target failed, lied, or is not there
        Unreachable            the target does not answer, or takes nobody in now
        NotOffered             ... or agents do not get at it what this one asked for
      ConfigFault              the operator's files; carries every problem found, with file and line
"""

from __future__ import annotations

from dataclasses import dataclass


class Fault(Exception):
    """Base of all faults. ``str()`` is safe to show to whoever caused it and says what to do next."""


class OurFault(Fault):
    """Blastwall itself failed."""


class RecordingFault(OurFault):
    """A record could not be accepted by the recording's sink."""


class ClientFault(Fault):
    """The agent's side broke its protocol."""


class ProtocolViolation(ClientFault):
    """Bytes that the protocol forbids. ``code`` is the protocol's own (SQLSTATE); fatal ends the connection."""

    def __init__(self, message: str, *, code: str, fatal: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.fatal = fatal


class TokenFault(ClientFault):
    """A token that does not verify."""


class AgentLocked(TokenFault):
    """An agent that an operator has locked: no token of its opens a session."""


class UpstreamFault(Fault):
    """The target refused, failed or sent what its protocol forbids."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Unreachable(UpstreamFault):
    """The target does not answer, or takes nobody in at the moment: a restart, a failover, a name that nobody knows.
    Whoever connects again later may get through.
    """


class NotOffered(UpstreamFault):
    """The target, as it is configured, has no such database, or no such user, for agents: they may ask for another."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding in an operator's file. ``line`` counts from 1; 0 when the file as a whole is meant."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.message}"


class ConfigFault(Fault):
    """Configuration that does not validate: all problems at once."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
