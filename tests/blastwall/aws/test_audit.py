"""Which sinks the settings name."""

from __future__ import annotations

import pytest

from blastwall.aws.audit import sinks
from blastwall.settings import AuditSettings


@pytest.fixture
def made():
    return []


def names(settings, made):
    return [sink.name for sink in sinks(settings, "task-1", lambda name, config: made.append(name))]


def test_only_what_is_configured_is_used(made):
    assert names(AuditSettings(), made) == []
    assert made == []
    arn = "arn:aws:cloudtrail:eu-central-1:123456789012:channel/x"
    everything = AuditSettings("bucket", "group", arn, True)
    assert names(everything, made) == ["s3", "logs", "lake", "stdout"]
    assert made == ["s3", "logs", "cloudtrail-data"]
    assert AuditSettings.from_env(everything.to_env()) == everything
    assert sinks(AuditSettings(audit_channel_arn=arn), "task", lambda name, config: None)[0]._account == "123456789012"
