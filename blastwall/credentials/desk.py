"""Where credentials are asked for across a process boundary. It believes nothing that the one who asks says.

Whoever asks brings the agent's own token, which is verified here, names a session, which must be that token's and live,
and says what for, which policy is asked here. A gateway that was taken over gets what its live agents could get
through it, and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from blastwall.approvals import binding
from blastwall.approvals.demands import covers, demands_of
from blastwall.credentials.lease import role_name
from blastwall.credentials.logins import Sessions
from blastwall.errors import ClientFault, ConfigFault, Fault, OurFault, TokenFault, UpstreamFault
from blastwall.model import ApprovalState, Credential, Denial, Permit, Principal, Revocation, Secret, Session, Target
from blastwall.policy.connecting import connecting
from blastwall.policy.decide import Policies, Question
from blastwall.ports import Approvals, Clock, Vendor, Verifier

log = logging.getLogger("blastwall.credentials")

MOST_TEXT: Final = 300  # characters of a name that is asked for
MOST_TOKEN: Final = 8192


class Refused(Fault):
    """Policy said no. ``hint`` is for the agent."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.hint = hint


@dataclass(slots=True)
class Desk:
    """``vendor_for`` makes the vendor that hands out to one holder (None: it takes back what anybody was handed).
    ``approvals`` None: nothing here waits for people.

    ``policies`` and ``targets`` are the same bundle's as the gateway's.
    """

    verifier: Verifier
    sessions: Sessions
    policies: Callable[[], Policies]
    targets: Callable[[], Mapping[str, Target]]
    vendor_for: Callable[[str | None], Vendor]
    clock: Clock
    approvals: Approvals | None = None
    assume: Callable[[Secret, str], Awaitable[dict[str, Any]]] | None = None

    async def verify(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """``{token}`` to ``{principal}``, or ``{fault}``."""
        return await answered(self._verify(request))

    async def vend(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """``{token, session, target, place, database_user, holder}`` to ``{credential}``, or ``{fault}``.

        ``{token, aws_role}`` to ``{keys}``: an agent's own request, which opens its session there by itself.
        """
        return await answered(self._assume(request) if "aws_role" in request else self._vend(request))

    async def revoke(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """``{session, holder}`` to ``{revocations}``, or ``{fault}``.

        What that holder was handed is taken back at once; everybody's only of a session that has ended.
        """
        return await answered(self._revoke(request))

    async def _verify(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return {"principal": principal_document(await self.verifier.verify(_token(request)))}

    async def _vend(self, request: Mapping[str, Any]) -> dict[str, Any]:
        token = _token(request)
        try:
            principal = await self.verifier.verify(token)
            session = await self._session(request, principal)
            target = self.targets().get(session.target)
            if target is None:
                raise Refused(f"there is no target {session.target!r} in this configuration")
            permit = await self._decide(session, target, _named(request, "place"))
            user = request.get("database_user")
            user = None if user is None else _named(request, "database_user")
            credential = await self.vendor_for(_named(request, "holder")).vend(session, target, permit, user, token)
        finally:
            token.wipe()
        log.info("vended %s (%s) to session %s of %s", credential.user, credential.kind, session.id, principal.agent)
        return {"credential": credential_document(credential)}

    async def _assume(self, request: Mapping[str, Any]) -> dict[str, Any]:
        token = _token(request)
        try:
            if self.assume is None:
                raise Refused("no AWS roles are given here")
            return await self.assume(token, _named(request, "aws_role"))
        finally:
            token.wipe()

    async def _session(self, request: Mapping[str, Any], principal: Principal) -> Session:
        """The live session that is asked for, if it is this token's."""
        id = _named(request, "session")
        role_name(id)  # raises ValueError for what is no session id
        standing = await self.sessions.show(id)
        if standing is None or standing.session.principal.token_id != principal.token_id:
            raise TokenFault("this token has no such session; connect again")
        session = standing.session
        if session.principal.identity != principal.identity or session.target != _named(request, "target"):
            raise TokenFault("the session is another agent's, or for another target; connect again")
        if standing.ended_at is not None or session.expires_at <= self.clock.now():
            raise TokenFault("the session has ended; connect again, with a new token if this repeats")
        return session

    async def _decide(self, session: Session, target: Target, place: str) -> Permit:
        """Ask policy anew. Where a person must decide, one must have: the gateway redeemed that very request."""
        statement, facts = connecting(target, place)
        policies = self.policies()
        question = Question(
            principal=session.principal,
            target=target,
            statement_kind=statement.kind,
            facts=facts,
            hour=int(self.clock.now() // 3600 % 24),
            exhausted=frozenset(),
            break_glass=session.break_glass is not None,
            upstream_text=statement.text,
        )
        decision = policies.decide(question)
        if isinstance(decision, Permit):
            return decision
        if isinstance(decision, Denial):
            raise Refused(decision.reason, decision.hint)
        bound = binding(
            principal=session.principal,
            session=session.id,
            target=target.name,
            statement=statement,
            policy_version=policies.version,
        )
        status = None if self.approvals is None else await self.approvals.latest(bound)
        given = status is not None and status.state in (ApprovalState.APPROVED, ApprovalState.REDEEMED)
        if status is None or not given or not covers(status.met, demands_of(decision)):
            raise Refused("a person must approve this connection first", "Connect again once it is approved.")
        redeemed = policies.decide(question, approved=status.id)
        if not isinstance(redeemed, Permit):
            raise Refused("policy no longer allows this connection, although it was approved")
        return redeemed

    async def _revoke(self, request: Mapping[str, Any]) -> dict[str, Any]:
        id = _named(request, "session")
        role_name(id)
        standing = await self.sessions.show(id)
        if standing is None:
            raise Refused("there is no such session")
        over = standing.ended_at is not None or standing.session.expires_at <= self.clock.now()
        vendor = self.vendor_for(None if over else _named(request, "holder"))
        return {"revocations": [revocation_document(done) for done in await vendor.revoke(standing.session)]}


async def answered(work: Any) -> dict[str, Any]:  # noqa: ANN401  any awaitable of an answer
    """Faults are answers: the one who asks is told whose they are, and never gets a traceback."""
    try:
        answer: dict[str, Any] = await work
        return answer
    except TokenFault as fault:
        return _fault("token", fault)
    except Refused as fault:
        return _fault("policy", fault, fault.hint)
    except UpstreamFault as fault:
        return _fault("upstream", fault)
    except ConfigFault as fault:
        log.error("the configuration is not usable: %s", fault)
        return {"fault": {"kind": "ours", "message": "the function's configuration is not usable", "hint": ""}}
    except (ClientFault, ValueError) as fault:
        return _fault("policy", fault)
    except Fault as fault:
        log.exception("a credential function failed")
        return _fault("ours", fault)


def _fault(kind: str, fault: Exception, hint: str = "") -> dict[str, Any]:
    return {"fault": {"kind": kind, "message": str(fault), "hint": hint}}


def raised(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The answer itself, or its fault raised on this side of the boundary."""
    fault = answer.get("fault")
    if not isinstance(fault, Mapping):
        return answer
    message, hint = str(fault.get("message", "")), str(fault.get("hint", ""))
    match fault.get("kind"):
        case "token":
            raise TokenFault(message)
        case "policy" | "upstream":
            raise UpstreamFault(f"{message} {hint}".strip())
    raise OurFault(message or "a credential function failed")


def _token(request: Mapping[str, Any]) -> Secret:
    given = request.get("token")
    if not isinstance(given, str) or not 0 < len(given) <= MOST_TOKEN:
        raise TokenFault("there is no credential without the agent's own token")
    return Secret(given)


def _named(request: Mapping[str, Any], name: str) -> str:
    given = request.get(name)
    if not isinstance(given, str) or not 0 < len(given) <= MOST_TEXT or not given.isprintable():
        raise ValueError(f"{name} must be text of 1 to {MOST_TEXT} printable characters")
    return given


def principal_document(principal: Principal) -> dict[str, Any]:
    """As JSON."""
    return {
        "issuer": principal.issuer,
        "subject": principal.subject,
        "agent": principal.agent,
        "groups": sorted(principal.groups),
        "on_behalf_of": principal.on_behalf_of,
        "token_id": principal.token_id,
        "issued_at": principal.issued_at,
        "expires_at": principal.expires_at,
    }


def principal_of(document: Mapping[str, Any]) -> Principal:
    """The other way. Raises TypeError or KeyError for what is not one."""
    return Principal(**{**document, "groups": frozenset(document["groups"])})


def credential_document(credential: Credential) -> dict[str, Any]:
    """As JSON, with the secret in it: for the answer to whoever may have it, and for nothing else."""
    secret = None if credential.secret is None else credential.secret.reveal()
    return {
        "user": credential.user,
        "secret": secret,
        "kind": credential.kind,
        "expires_at": credential.expires_at,
        "usable_until": credential.usable_until,
    }


def credential_of(document: Mapping[str, Any]) -> Credential:
    """The other way."""
    secret = document["secret"]
    return Credential(**{**document, "secret": None if secret is None else Secret(secret)})


def revocation_document(revocation: Revocation) -> dict[str, Any]:
    """As JSON."""
    return {name: getattr(revocation, name) for name in Revocation.__slots__} | {"left": list(revocation.left)}


def revocation_of(document: Mapping[str, Any]) -> Revocation:
    """The other way."""
    return Revocation(**{**document, "left": tuple(document["left"])})
