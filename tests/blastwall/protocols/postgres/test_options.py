from __future__ import annotations

import pytest
from pydantic import ValidationError

from blastwall.protocols.postgres.options import Options, Tls


def test_the_defaults_are_the_careful_ones() -> None:
    options = Options()
    assert options.tls == Tls(mode="verify-full")
    assert not options.allow_listen
    assert options.allowed_functions == ()
    assert 0 < options.statement_timeout_ms <= 60_000
    assert 0 < options.lock_timeout_ms <= 60_000
    assert 0 < options.idle_in_transaction_ms <= 60_000


@pytest.mark.parametrize(
    "options",
    [
        {"statement_timeout_ms": -1},
        {"statement_timeout_ms": "5s"},
        {"statement_timeout_ms": True},
        {"databases": "shop"},
        {"databases": [""]},
        {"databases": ["x" * 64]},
        {"allowed_functions": ["total"]},
        {"allowed_functions": ["a.b.c"]},
        {"allow_listen": "yes"},
        {"tls": {"mode": "prefer"}},
        {"tls": {"mode": "require", "ca_file": "ca.pem"}},
        {"tls": {"ca": "ca.pem"}},
        {"password": "x"},
    ],
)
def test_nothing_is_guessed(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate(options)
