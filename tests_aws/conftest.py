"""Nothing is collected, let alone run, before the account is the one that was named."""

from __future__ import annotations

import os

import boto3
import pytest

from tests_aws.admission import CHANGES, NotAdmitted, admitted
from tests_aws.deployed import Deployed

REFUSED = 2


def pytest_sessionstart(session: pytest.Session) -> None:
    try:
        account = admitted(os.environ, lambda region: boto3.client("sts", region_name=region).get_caller_identity())
    except NotAdmitted as refusal:
        pytest.exit(f"nothing was tested: {refusal}", REFUSED)
    session.config.stash[DEPLOYED] = Deployed(account)


DEPLOYED = pytest.StashKey[Deployed]()


@pytest.fixture(scope="session")
def deployed(request: pytest.FixtureRequest) -> Deployed:
    return request.config.stash[DEPLOYED]


@pytest.fixture
def changing(deployed: Deployed) -> Deployed:
    """For tests that leave something behind or stop tasks: they say so, and want to be asked for."""
    if not deployed.account.changes:
        pytest.fail(f"this test changes the deployment: set {CHANGES}={deployed.account.id}, or leave it out with -k")
    return deployed
