"""A function's configuration: the version that it was deployed with, which its log names once for each of its lives."""

from __future__ import annotations

from pathlib import Path

from aws_lambda_powertools import Logger

from blastwall.config.bundle import Bundle
from blastwall.config.deployed import load_deployed

logger = Logger()  # the service is the environment's POWERTOOLS_SERVICE_NAME


def configuration(directory: str, version: str) -> Bundle:
    """Raises ConfigFault for any other version: gateway and functions decide by the same rules, or not at all."""
    bundle = load_deployed(Path(directory), version)
    logger.info("configuration", version=bundle.version, policies=bundle.policies.version)
    return bundle
