"""What the credential functions share: their environment, their configuration and their clients, made once."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from blastwall.aws.approvals import ApprovalTable, AwsApprovals
from blastwall.aws.clients import client
from blastwall.aws.following import AwsSessions
from blastwall.aws.leases import AwsLeases
from blastwall.aws.recorder import AwsRecorder, compose_recorder
from blastwall.aws.roles import assume as assume_role
from blastwall.aws.sessions import SessionTable
from blastwall.aws.token_key import public_half
from blastwall.config.bundle import Bundle
from blastwall.config.issuers import accepted
from blastwall.config.vending import Composer, all_targets, logins_only, profiles_of, targets_of_roles
from blastwall.credentials.assuming import RoleDesk, RoleEndings
from blastwall.credentials.desk import Desk, revocation_of
from blastwall.credentials.logins import Logins, Reclaimed
from blastwall.credentials.marks import house_of
from blastwall.credentials.strays import Strays
from blastwall.credentials.telling import record_revocations
from blastwall.errors import Fault, OurFault
from blastwall.identity.keys import KeySet
from blastwall.identity.saml_token import key_set
from blastwall.local.clock import SystemClock
from blastwall.local.fetch import fetch
from blastwall.local.recordings import AUDIT
from blastwall.local.vendor import LocalVendor
from blastwall.local.verifier import TokenVerifier
from blastwall.model import Secret
from blastwall.settings import CredentialSettings, RecordingSettings
from lambdas.configuration import configuration
from lambdas.loop import run

Event = dict[str, Any]
T = TypeVar("T")
SWEEP_SECONDS = 600.0
_swept: list[float] = []  # when, in this process's own time


@cache
def settings() -> CredentialSettings:
    """The function's environment. Raises ValueError naming what is missing."""
    return CredentialSettings.from_env(os.environ)


@cache
def bundle() -> Bundle:
    """The configuration in the function's own bundle. Raises ConfigFault."""
    return configuration(settings().config, settings().config_version)


@cache
def _client(service: str) -> Any:  # noqa: ANN401  boto3 has no types
    """One for all calls of a life: making one, and its connection, costs more than most calls."""
    return client(service)


@cache
def verifier() -> TokenVerifier:
    """Agents' tokens, by the configuration's issuers and the gateway's own key."""
    clock = SystemClock()
    return TokenVerifier(accepted(bundle().config.identity, fetch, clock.monotonic, _own_keys), clock)


def _own_keys() -> KeySet:
    return key_set(public_half(_client("kms"), settings().gateway_key_id))


@cache
def composer() -> Composer:
    """Makes rules out of the configuration, with this function's AWS credentials."""
    return Composer(os.environ)


def logins(holder: str | None) -> Logins:
    """For one call: connections to targets belong to its event loop."""
    given, rules = settings(), composer().rules(bundle())
    dynamodb = _client("dynamodb")
    return Logins(
        logins_only(rules),
        bundle().targets,
        composer().roles(bundle()),
        AwsLeases(dynamodb, given.leases_table, given.sessions_table),
        AwsSessions(SessionTable(dynamodb, given.sessions_table, SystemClock())),
        SystemClock(),
        holder,
        _house(),
    )


def _house() -> str:
    """All functions of a deployment, which share a table of leases."""
    return house_of(f"{os.environ.get('AWS_REGION', '')} {settings().leases_table}")


def endings() -> RoleEndings:
    """Ends AWS roles of sessions. For one call."""
    given, clock = settings(), SystemClock()
    dynamodb = _client("dynamodb")
    sessions = AwsSessions(SessionTable(dynamodb, given.sessions_table, clock))
    leases = AwsLeases(dynamodb, given.leases_table, given.sessions_table)
    return RoleEndings(profiles_of(bundle()), leases, sessions, composer().deny, clock, leases.alone)


async def assume(token: Secret, name: str) -> dict[str, Any]:
    """Keys of a role for the token's session there: ``{keys, region}``, with their secrets. Recorded, or not given."""
    given, clock = settings(), SystemClock()
    dynamodb, sts = _client("dynamodb"), _client("sts")
    profiles = profiles_of(bundle())
    recorder = _recorder()
    try:
        desk = RoleDesk(
            verifier(),
            AwsSessions(SessionTable(dynamodb, given.sessions_table, clock)),
            AwsLeases(dynamodb, given.leases_table, given.sessions_table),
            lambda: bundle().policies,
            profiles,
            targets_of_roles(bundle()),
            clock,
            recorder,
            bundle().version,
        )
        keys = await desk.assume(token, name, lambda *order: assume_role(sts, *order))
    finally:
        await asyncio.to_thread(recorder.close)  # by then it has reached the bucket: nothing runs between two calls
    return {"keys": keys.document(), "region": profiles[name].region}


def _recorder() -> AwsRecorder:
    """Records on the spool that the tasks' audit trail follows. Raises OurFault where there is none."""
    try:
        given = RecordingSettings.from_env(os.environ)
        (given.spool_path / AUDIT).mkdir(mode=0o700, parents=True, exist_ok=True)  # or no trail would find it
        return compose_recorder(given, SystemClock())
    except (ValueError, OSError) as fault:
        raise OurFault(f"nothing can be recorded here, so nothing is given: {fault}") from None


def desk(made: list[Logins]) -> Desk:
    """For one call; the logins it works with are added to ``made``, to be released."""
    given, clock = settings(), SystemClock()
    dynamodb = _client("dynamodb")
    approvals = None
    if given.approvals_table:
        approvals = AwsApprovals(ApprovalTable(dynamodb, given.approvals_table, clock), _asks_nobody)
    rules = composer().rules(bundle())

    def vendor_for(holder: str | None) -> LocalVendor:
        made.append(logins(holder))
        return LocalVendor(rules, os.environ, made[-1], endings() if holder is None else None)

    return Desk(
        verifier(),
        AwsSessions(SessionTable(dynamodb, given.sessions_table, clock)),
        lambda: bundle().policies,
        lambda: bundle().targets,
        vendor_for,
        clock,
        approvals,
        assume,
    )


def serve(work: Callable[[Desk], Awaitable[T]]) -> T:
    """One call at the desk."""
    made: list[Logins] = []

    async def one() -> T:
        try:
            return await work(desk(made))
        finally:
            for each in made:
                await each.release()

    return run(one())


def reclaim() -> Sequence[Reclaimed]:
    """Take back the logins that nobody looks after, and now and then those that no lease knows."""

    async def one() -> Sequence[Reclaimed]:
        made = logins(None)
        try:
            if not _time_to_sweep():
                return await made.reclaim()
            left, lost = await asyncio.gather(made.reclaim(), _strays(made).sweep())  # neither waits for the other
            return (*left, *lost)
        finally:
            await made.release()

    return run(one())


def _strays(made: Logins) -> Strays:
    given, dynamodb = settings(), _client("dynamodb")
    sessions = AwsSessions(SessionTable(dynamodb, given.sessions_table, SystemClock()))
    leases = AwsLeases(dynamodb, given.leases_table, given.sessions_table)
    return Strays(made, leases, sessions, SystemClock(), _house())


def _time_to_sweep() -> bool:
    """Every ten minutes, and when the function starts: it asks every target, which costs a connection to each."""
    now = time.monotonic()
    if _swept and now - _swept[0] < SWEEP_SECONDS:
        return False
    _swept[:] = [now]
    return True


def reclaim_roles() -> Sequence[Reclaimed]:
    """The same for AWS roles."""
    return run(endings().reclaim(""))


def recorded(found: Sequence[Reclaimed]) -> None:
    """Put on record what was taken back although no gateway asked; a failure that is tried again, once."""
    known = all_targets(bundle())
    telling = [
        (one.session, one.revocation)
        for one in found
        if one.session is not None and (one.revocation.verified or not one.lease.note)  # a note: it failed before
    ]
    if not telling:
        return
    recorder = _recorder()
    try:
        for session, revocation in telling:
            reason = "nobody looked after it any more"
            record_revocations(recorder, session, known.get(session.target), reason, (revocation,))
    finally:
        recorder.close()


def record_keys(session: str, revocations: Sequence[Mapping[str, Any]]) -> None:
    """Put on record how AWS keys ended: no gateway ever held them. What one holds it records itself."""
    keys = [revocation_of(done) for done in revocations if done["kind"] in ("sts", "iam")]
    standing = SessionTable(_client("dynamodb"), settings().sessions_table, SystemClock()).show(session)
    if not keys or standing is None:
        return
    recorder = _recorder()
    try:
        target = targets_of_roles(bundle()).get(standing.session.target)
        record_revocations(recorder, standing.session, target, standing.reason or "the session ended", keys)
    finally:
        recorder.close()


def counted(found: Sequence[Reclaimed], logger: Logger, metrics: Metrics) -> dict[str, Any]:
    """Tell what became of what was taken back: what could not be shown to be dead raises an alarm."""
    try:
        recorded(found)
    except Fault as fault:  # it happened all the same
        logger.error(f"what was taken back could not be recorded: {fault}")
    for one in found:
        log = logger.info if one.revocation.verified or one.revocation.kind == "iam" else logger.error
        log(one.revocation.proof, session=one.lease.session, user=one.lease.id, target=one.lease.target)
    failed = sum(not one.revocation.verified and one.revocation.kind != "iam" for one in found)
    metrics.add_metric(name="revocation_failed", unit=MetricUnit.Count, value=failed)
    metrics.add_metric(name="revocation_verified", unit=MetricUnit.Count, value=len(found) - failed)
    return {"verified": len(found) - failed, "failed": failed}


def forget() -> None:
    """Make everything anew at the next call."""
    for made in (settings, bundle, _client, verifier, composer):
        made.cache_clear()
    _swept.clear()


def _asks_nobody(function: str, request: object) -> dict[str, Any]:
    raise OurFault(f"the vendor reads approvals and never calls {function}")
