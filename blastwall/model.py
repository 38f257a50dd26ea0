"""The values every floor speaks in: frozen, protocol-neutral, standard library only.

Nothing here does I/O, reads a clock or knows a protocol. Three types are *proofs*, each minted in one place:
* :class:`Permit` by ``blastwall.policy.decide``: no permit, no ``forward``;
* :class:`Masked` by ``blastwall.masking.mask``: no mask, no ``relay``;
* :class:`Secret` anywhere, but its text leaves it only through :meth:`Secret.reveal`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol

from blastwall.asked import ApprovalState as ApprovalState
from blastwall.asked import Demand as Demand
from blastwall.secret import Secret as Secret
from blastwall.value import Fixed, mypyc_attr
from blastwall.value import Value as Value


class Effect(StrEnum):
    """What a statement does at worst. Each is a Cedar action of the same name; ordered by :data:`SEVERITY`."""

    SESSION = "session"  # transaction control, allow-listed settings, cursors and prepared names of the session itself
    READ = "read"
    WRITE = "write"  # changes rows, or locks them
    DEFINE = "define"  # makes or changes schema objects in a way that can be undone
    DESTROY = "destroy"  # drops or empties, or changes rows without a bound
    ADMINISTER = "administer"  # roles, grants, server files, other sessions, replication, code execution
    UNKNOWN = "unknown"  # not understood: unparsed, unlisted, unresolved


SEVERITY: Final[Mapping[Effect, int]] = {effect: rank for rank, effect in enumerate(Effect)}


class StatementKind(StrEnum):
    """Which step of a protocol asks. PREPARE names a text without running it; EXECUTE runs it."""

    CONNECT = "connect"
    PREPARE = "prepare"
    EXECUTE = "execute"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who speaks: an agent, the groups its token names, and the person it works for (None: nobody special)."""

    issuer: str
    subject: str
    agent: str
    groups: frozenset[str] = frozenset()
    on_behalf_of: str | None = None
    token_id: str = ""  # SHA-256 (hex) of the token: names the session without keeping the token
    issued_at: float = 0.0  # seconds since the epoch, as are all wall-clock times in the house
    expires_at: float = 0.0

    @property
    def identity(self) -> str:
        """The stable key of this agent: issuer and subject together (a subject is unique only within its issuer)."""
        return f"{self.issuer}|{self.subject}"


@dataclass(frozen=True, slots=True)
class Target:
    """One thing agents reach, as the configuration names it. ``options`` is the protocol folder's own model."""

    name: str
    protocol: str
    host: str
    port: int
    labels: Mapping[str, str] = field(default_factory=dict)  # environment: production, team: shop ...
    mode: str = "enforce"  # enforce | observe
    recording: str = "strict"  # strict | best_effort
    durability: str = "kernel"  # kernel: survives SIGKILL | power_loss: group fsync
    hold_seconds: float = 60.0
    outlive_token_minutes: float = 0.0
    linger_minutes: float = 5.0  # a session ends this long after its last connection
    agent_connections: int = 64  # of one agent at a time, in one gateway process
    budgets: Mapping[str, int] = field(default_factory=dict)  # rows, bytes, statements: per session
    options: Any = None
    masking: Any = None  # blastwall.masking.rules.Rules, narrowed to whoever's session it is; None: nothing is masked


@dataclass(frozen=True, slots=True)
class Session:
    """One agent token at one target; it spans connections and owns lease, budgets and tickets."""

    id: str
    principal: Principal
    target: str
    started_at: float
    expires_at: float
    break_glass: str | None = None  # the reason given, when a break-glass group opened it


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who uses a credential, for the target's own log: a session, its agent, the person it works for ("": nobody)."""

    session: str
    agent: str
    person: str = ""


@dataclass(frozen=True, slots=True)
class Credential:
    """What opens the target for one session. ``user`` is the target's own user name.

    ``kind``: ``role`` is a login of this session alone, which dies with it; ``iam`` a token that expires; ``static``
    outlives the session; ``none`` no secret at all. ``usable_until``: from when on the secret opens nothing new; None:
    as long as the credential lasts.
    """

    user: str
    secret: Secret | None
    kind: str  # role | iam | static | none
    expires_at: float | None = None
    bearer: Bearer | None = None
    usable_until: float | None = None


@dataclass(frozen=True, slots=True)
class Revocation:
    """A credential that was taken back at its session's end, and what showed that it opens nothing any more.

    ``verified`` False: it may still work; ``proof`` says what is known, ``left`` what it owned and who has it now.
    """

    user: str
    kind: str
    verified: bool
    proof: str
    seconds: float  # since the session's end
    connections: int = 0  # of it, ended there
    left: tuple[str, ...] = ()


@mypyc_attr(free_list_len=1)  # room for one is kept: each statement makes one, and forgets it
class Parameter(Fixed):
    """One bound parameter: ``value`` None is NULL; ``binary`` is its wire format; ``type_id`` 0 is unspecified.

    ``withheld``: it is compared with a masked column, or stored into one, and stands in no recording.
    """

    __slots__ = ("binary", "type_id", "value", "withheld")
    __match_args__ = ("value", "binary", "type_id", "withheld")

    def __init__(self, value: bytes | None, binary: bool = False, type_id: int = 0, withheld: bool = False) -> None:
        self.value: Final = value
        self.binary: Final = binary
        self.type_id: Final = type_id
        self.withheld: Final = withheld


@mypyc_attr(free_list_len=1)
class Statement(Fixed):
    """One thing an agent asks of a target, exactly as it asked.

    ``surroundings`` is the protocol's fingerprint of whatever changes the text's meaning (user, search_path, catalogue
    version ...): approvals are bound to it, caches keyed by it. ``number`` counts from 1 on its connection: the
    recording's key for all that follows. ``name`` is the client's own of a prepared statement. ``results`` are the
    formats asked for, one byte a column (0 text, 1 binary); one for all; none: all text.
    """

    __slots__ = ("kind", "name", "number", "parameters", "results", "surroundings", "text")
    __match_args__ = ("text", "kind", "parameters", "surroundings", "number", "name", "results")

    def __init__(
        self,
        text: str,
        kind: StatementKind = StatementKind.EXECUTE,
        parameters: tuple[Parameter, ...] = (),
        surroundings: str = "",
        number: int = 0,
        name: str = "",
        results: bytes = b"",
    ) -> None:
        self.text: Final = text
        self.kind: Final = kind
        self.parameters: Final = parameters
        self.surroundings: Final = surroundings
        self.number: Final = number
        self.name: Final = name
        self.results: Final = results


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """An object a statement touches: ``kind`` table, view, role ...; ``name`` fully qualified where it resolves."""

    kind: str
    name: str
    access: str  # read | write | call | define | destroy

    def __str__(self) -> str:
        return f"{self.access} {self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Facts:
    """Protocol-neutral findings about a statement: all that policy ever sees.

    ``effect`` is the worst effect of any part. ``verb`` is the protocol's own word in lower case ("select", "drop
    table"). ``flags`` come from the closed vocabulary in ``blastwall/policy/flags.toml``. ``bounded`` tells whether a
    write is limited by a predicate that is not trivially true (True for statements that write nothing). ``reason``
    says in one sentence what made the effect what it is; it is shown to agents and approvers.

    ``masked_columns`` are the masked columns ("public.customers.ssn") it reads or writes; ``filters_masked`` tells
    that one of them decides which rows come back, or in which order. ``refusal`` is set where masking cannot be kept:
    such a statement never runs, whatever policy says and whatever the target's mode is; it says why, for the agent.
    """

    effect: Effect
    verb: str
    objects: tuple[ObjectRef, ...] = ()
    flags: frozenset[str] = frozenset()
    bounded: bool = True
    reason: str = ""
    fingerprint: str = ""  # equal for statements that differ only in literals; "" when not parsed
    statements: int = 1
    masked_columns: frozenset[str] = frozenset()
    filters_masked: bool = False
    refusal: str = ""


class DenialCode(StrEnum):
    """Why a statement does not run. Clients can tell these apart (PostgreSQL: by SQLSTATE, see its refusals.toml)."""

    POLICY = "policy"  # a rule forbids it, or none permits it
    UNKNOWN = "unknown"  # the gateway does not understand it
    PENDING = "pending"  # a person must decide; the ticket says which request
    DENIED = "denied"  # a person refused
    EXPIRED = "expired"  # nobody decided in time
    WITHDRAWN = "withdrawn"  # the agent cancelled or went away
    BUDGET = "budget"  # a session limit is used up
    CROWD = "crowd"  # there are as many at a time as there may be
    BOUND = "bound"  # it changed more rows than were approved, or nobody could count them: rolled back
    IDENTITY = "identity"  # the token does not open this
    UNREACHABLE = "unreachable"  # the target does not answer, or takes nobody in now
    SHUTDOWN = "shutdown"  # the gateway ends; another takes the next connection
    FAULT = "fault"  # the gateway or the target failed; fail closed


@dataclass(frozen=True, slots=True)
class Risk:
    """A score from 0 to 100 and the weighted reasons that add up to it, for example ``(("verb delete", 30), ...)``."""

    score: int
    reasons: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Guard:
    """What an approved change of rows is held to while it runs, by the slow road: at most ``rows`` (None: any number),
    or it is rolled back. Up to ``keep`` rows (0: none) are kept as they were before, to be undone."""

    rows: int | None = None
    keep: int = 0


@mypyc_attr(free_list_len=1)  # each text that was never seen has one of its own
class Permit(Fixed):
    """Proof that policy let a statement pass. Minted only in ``blastwall.policy.decide``.

    ``upstream_text`` goes to the target. ``prepare_only``: it may be named there, not run. ``approval``: what it
    consumed; ``guard``: what that holds it to; ``would_have``: in observe mode, what enforce mode would have decided.
    """

    __slots__ = ("approval", "guard", "policies", "prepare_only", "risk", "upstream_text", "would_have")
    __match_args__ = ("upstream_text", "policies", "risk", "prepare_only", "approval", "would_have", "guard")

    def __init__(
        self,
        upstream_text: str,
        policies: tuple[str, ...] = (),
        risk: Risk = Risk(0),
        prepare_only: bool = False,
        approval: str | None = None,
        would_have: str | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.upstream_text: Final = upstream_text
        self.policies: Final = policies
        self.risk: Final = risk
        self.prepare_only: Final = prepare_only
        self.approval: Final = approval
        self.would_have: Final = would_have
        self.guard: Final = guard


@dataclass(frozen=True, slots=True)
class Pending:
    """A person must decide. ``approvers`` routes the request; whoever answers is authorised by policy again.

    ``demands`` are those of each rule that holds it, and all of them must be met; ``approvers`` and ``quorum`` sum them
    up: all their groups, and the largest number.
    """

    policies: tuple[str, ...] = ()
    approvers: tuple[str, ...] = ()  # groups, from @approvers annotations
    risk: Risk = Risk(0)
    reason: str = ""
    quorum: int = 1
    demands: tuple[Demand, ...] = ()


@dataclass(frozen=True, slots=True)
class Denial:
    """A refusal as a value. ``reason`` is for the agent; ``hint`` says what it may do instead, or how to ask."""

    code: DenialCode
    reason: str
    hint: str = ""
    policies: tuple[str, ...] = ()
    risk: Risk = Risk(0)
    ticket: str | None = None


Decision = Permit | Pending | Denial


class Direction(StrEnum):
    """Which way bytes travel."""

    TO_TARGET = "to_target"
    TO_AGENT = "to_agent"


class Sheet(Protocol):
    """How a chunk's bytes are laid out and what of them is masked. A protocol makes it, ``blastwall.masking.mask``
    applies it, once for each chunk and in their order: a value may begin in one chunk and end in the next.
    """

    def masked(self, data: bytes) -> tuple[bytes, int]:
        """The bytes as the agent may have them, and how many values were replaced in them."""


@mypyc_attr(free_list_len=1)
class Chunk(Value):
    """A buffer-full of wire bytes on its way to the agent, never a row.

    ``statement`` is the number of the statement it answers (0: none, as for an unsolicited notice). ``rows`` counts the
    complete rows inside, ``tag`` is the completion word of whatever ended here ("DELETE 3"). No ``sheet``: no mask.
    """

    __slots__ = ("data", "direction", "error", "rows", "sheet", "statement", "tag")
    __match_args__ = ("data", "statement", "rows", "tag", "error", "direction")

    def __init__(
        self,
        data: bytes,
        statement: int = 0,
        rows: int = 0,
        tag: str = "",
        error: str = "",
        direction: Direction = Direction.TO_AGENT,
        sheet: Sheet | None = None,
    ) -> None:
        self.data = data
        self.statement = statement
        self.rows = rows
        self.tag = tag
        self.error = error  # the target's own error code, when the chunk holds an error
        self.direction = direction  # TO_TARGET: what the agent streams in under a permit (COPY, uploads)
        self.sheet = sheet


@mypyc_attr(free_list_len=1)
class Masked(Fixed):
    """Proof that a chunk went through masking. Minted only in ``blastwall.masking.mask``. It has ``cells`` masks."""

    __slots__ = ("cells", "data", "direction", "error", "rows", "statement", "tag")
    __match_args__ = ("data", "statement", "rows", "tag", "error", "direction", "cells")

    def __init__(
        self,
        data: bytes,
        statement: int = 0,
        rows: int = 0,
        tag: str = "",
        error: str = "",
        direction: Direction = Direction.TO_AGENT,
        cells: int = 0,
    ) -> None:
        self.data: Final = data
        self.statement: Final = statement
        self.rows: Final = rows
        self.tag: Final = tag
        self.error: Final = error
        self.direction: Final = direction
        self.cells: Final = cells


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """What is asked of a person, bound to exactly one statement of one session.

    ``binding`` is the SHA-256 over principal, session, target, exact text, parameters, surroundings and policy version.
    ``shape`` is the same with the literals left out ("": the statement has none); `approve --same-shape` goes by it.
    ``canonical`` is the text as the gateway's own grammar writes it, without comments ("" when it cannot). From
    ``escalate_at`` on (0: never) the groups of ``escalation`` may decide, too. ``blast`` is what running it would do,
    as JSON values; None: not computed. ``bound`` is how many rows it may change unless whoever approves says another.
    ``demands``: see :class:`Pending`.
    """

    id: str
    binding: str
    session: str
    principal: Principal
    target: str
    statement: Statement
    facts: Facts
    risk: Risk
    approvers: tuple[str, ...]
    policy_version: str
    requested_at: float
    expires_at: float
    quorum: int = 1
    shape: str = ""
    canonical: str = ""
    escalation: tuple[str, ...] = ()
    escalate_at: float = 0.0
    blast: Mapping[str, Any] | None = None
    bound: int | None = None
    demands: tuple[Demand, ...] = ()


@dataclass(frozen=True, slots=True)
class ApprovalStatus:
    """Where a request stands; ``by`` and ``note`` belong to the last decision.

    ``uses`` it has in all until ``expires_at``, and ``used`` so far; ``same_shape``: for any statement of its shape.
    ``bound``: how many rows each use may change, as it was approved (None: any number). ``met`` is what was demanded of
    those who approve, as :meth:`Approvals.redeem` and ``latest`` tell it.
    """

    id: str
    state: ApprovalState
    by: tuple[str, ...] = ()
    note: str = ""
    changed_at: float = 0.0
    uses: int = 1
    used: int = 0
    same_shape: bool = False
    expires_at: float = 0.0
    bound: int | None = None
    met: tuple[Demand, ...] = ()
