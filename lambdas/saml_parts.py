"""Signing people in by SAML on AWS: sign-ins in DynamoDB, tokens signed by KMS. Made once for each of its lives."""

from __future__ import annotations

import os
import secrets
from functools import cache

from aws_lambda_powertools import Logger

from blastwall.approvals.web import Request, Response
from blastwall.aws.clients import client
from blastwall.aws.sign_ins import AwsSignIns
from blastwall.aws.token_key import KmsTokenKey
from blastwall.config.bundle import Bundle
from blastwall.config.federation import federations_of
from blastwall.identity.saml_door import Door
from blastwall.local.clock import SystemClock
from blastwall.settings import SamlSettings
from lambdas.configuration import configuration
from lambdas.loop import run

logger = Logger()  # the service is the environment's POWERTOOLS_SERVICE_NAME


@cache
def settings() -> SamlSettings:
    """The function's environment. Raises ValueError naming what is missing."""
    return SamlSettings.from_env(os.environ)


@cache
def bundle() -> Bundle:
    """The configuration in the function's own bundle. Raises ConfigFault."""
    return configuration(settings().config, settings().config_version)


@cache
def door() -> Door:
    """Everything together. Raises OurFault when KMS does not answer: then the next request tries again."""
    given, clock = settings(), SystemClock()
    return Door(
        federations_of(bundle().config.identity, given.page_url.rstrip("/")),
        AwsSignIns(client("dynamodb"), given.sign_ins_table),
        KmsTokenKey(client("kms"), given.gateway_key_id),
        clock.now,
        secrets.token_bytes,
        logger.info,
    )


def answer(request: Request) -> Response:
    """One request."""
    return run(door().handle(request))


def forget() -> None:
    """Make everything anew at the next call."""
    for made in (settings, bundle, door):
        made.cache_clear()
