"""What the ``approval_*`` functions share: their environment, their configuration and their clients, made once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from blastwall.approvals.flood import Limits
from blastwall.aws.approvals import ApprovalTable
from blastwall.aws.clients import client, publisher, read_secret
from blastwall.aws.office import Office
from blastwall.aws.sessions import SessionTable
from blastwall.aws.waiting import Waiting
from blastwall.config.bundle import Bundle
from blastwall.local.approvers import ApproverVerifier
from blastwall.local.clock import SystemClock
from blastwall.local.notifier import Notifier
from blastwall.local.post import post
from blastwall.model import Session
from blastwall.settings import ApprovalSettings
from lambdas.configuration import configuration


@cache
def settings() -> ApprovalSettings:
    """The function's environment. Raises ValueError naming what is missing."""
    return ApprovalSettings.from_env(os.environ)


@cache
def bundle() -> Bundle:
    """The configuration in the function's own bundle. Raises ConfigFault."""
    return configuration(settings().config, settings().config_version)


@cache
def secrets() -> Mapping[str, str]:
    """The values that the configuration names by ``..._env``: of the secret, and of the function's environment."""
    found = dict(os.environ)
    if settings().secrets_arn:
        found |= read_secret(settings().secrets_arn)
    return found


@cache
def verifier() -> ApproverVerifier:
    """Tokens of people."""
    config = bundle().config
    sign_in = config.approvals.page.sign_in
    clients = {} if sign_in is None else {sign_in.issuer: sign_in.client_id}
    return ApproverVerifier(
        [(issuer.rules(), issuer.jwks_url) for issuer in config.identity.issuers], SystemClock(), clients
    )


@cache
def table() -> ApprovalTable:
    """The approvals table, with the configuration's limits."""
    given, clock, dynamodb = settings(), SystemClock(), client("dynamodb")
    limits = Limits(**bundle().config.approvals.limits.model_dump())
    made = ApprovalTable(dynamodb, given.approvals_table, clock, limits)
    if given.sessions_table:

        def withdraw(session: Session, note: str) -> None:
            made.withdraw_all(session.principal.identity, session.id, note)

        made.doors = SessionTable(dynamodb, given.sessions_table, clock, withdraw=withdraw)
    return made


@cache
def office() -> Office:
    """Everything together. Raises ConfigFault or ValueError: then the function cannot work, and says why in its log."""
    given, clock = settings(), SystemClock()
    machines, keys = client("stepfunctions"), client("kms")
    channels = bundle().config.approvals.notify.channels()
    publish = publisher(given.topic_arn) if given.topic_arn else None
    notifier = Notifier(channels, secrets(), post, given.page_url, clock, publish=publish)
    return Office(
        table(),
        Waiting(machines, keys, given.state_machine_arn, given.token_key_id),
        notifier,
        verifier().verify,
        lambda person, request, ballot: bundle().may_decide(person, request, ballot, clock.now()),
        _slack(),
    )


def _slack() -> tuple[bytes, Mapping[str, tuple[str, tuple[str, ...]]]] | None:
    slack = bundle().config.approvals.notify.slack
    if slack is None or slack.signing_secret_env is None:
        return None
    people = {user: (person.subject, person.groups) for user, person in slack.people.items()}
    return secrets().get(slack.signing_secret_env, "").encode(), people


def forget() -> None:
    """Make everything anew at the next call."""
    for made in (settings, bundle, secrets, verifier, table, office):
        made.cache_clear()


Event = dict[str, Any]
