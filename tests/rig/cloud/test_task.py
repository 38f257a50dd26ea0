"""What a task definition's references to secrets mean; tasks themselves are tried by tests/e2e/test_cloud.py."""

from __future__ import annotations

from rig.cloud.task import PORTS, _free_port, _named

ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:blastwall/server-abcdef"


def test_a_reference_names_a_secret_and_perhaps_a_member_of_it() -> None:
    assert _named(ARN) == (ARN, "")
    assert _named(f"{ARN}:certificate::") == (ARN, "certificate")


def test_ports_are_not_among_those_of_outgoing_connections() -> None:
    assert _free_port() in PORTS and max(PORTS) < 32_768
