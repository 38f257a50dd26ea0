"""Timeouts: agents lower them, never raise them."""

from __future__ import annotations

import pytest

from blastwall.protocols.postgres.options import Options
from blastwall.protocols.postgres.timeouts import milliseconds, raised


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1500", 1500.0),
        ("5s", 5000.0),
        ("'2 min'", 120_000.0),
        ("1.5 s", 1500.0),
        ("250us", 0.25),
        ("1d", 86_400_000.0),
        ("soon", None),
        ("5 weeks", None),
        ("", None),
    ],
)
def test_durations_are_read_as_the_server_reads_them(text: str, expected: float | None) -> None:
    assert milliseconds(text) == expected


@pytest.mark.parametrize("value", ["30001", "31s", "1min", "0", "-1", "default", "whatever"])
def test_lifting_the_targets_limit_is_refused_with_the_limit(value: str) -> None:
    assert "30000 ms" in raised("Statement_Timeout", value, Options(statement_timeout_ms=30_000))


@pytest.mark.parametrize("value", ["1", "30000", "30s", "'500ms'"])
def test_lowering_is_the_agents_own_affair(value: str) -> None:
    assert raised("statement_timeout", value, Options(statement_timeout_ms=30_000)) == ""


def test_a_target_without_a_limit_and_other_settings_are_left_alone() -> None:
    assert raised("lock_timeout", "1d", Options(lock_timeout_ms=0)) == ""
    assert raised("application_name", "1d", Options()) == ""
